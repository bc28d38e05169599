"""Samples to look at: whole groups from question to verdicts, and held-out prompts before and after training.

Nothing is picked by eye: of each kind the first rows of a dump are taken that fit, those with a known image before
others. Dumps are ordered by random ids, so the first rows are a random choice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from spark_verl.report.data_rows import RowRef, user_text
from spark_verl.report.run import Run
from spark_verl.report.style import NAMES
from spark_verl.runs import dumps

LONGEST_TEXT = 3000
"""Characters of a prompt or response that are shown; of a longer one its beginning and its end."""

LONGEST_GIST = 160

MOST_ROWS = 50_000
"""Rows of a dump that are looked at."""

MOST_SAMPLES = 8
"""Responses of a group that are shown."""


@dataclass(frozen=True)
class Reply:
    """One response.

    Attributes:
        label: "before", "after" or "sample 3".
        text: What the model wrote, cut.
        answer: The parsed answer or verdict; "" without one.
        mark: "right", "wrong", "unparsable" or "not verified".
    """

    label: str
    text: str
    answer: str
    mark: str


@dataclass(frozen=True)
class Sample:
    """A prompt with its responses.

    Attributes:
        objective: One of :data:`dumps.OBJECTIVES`.
        prompt: Its text.
        truth: Ground truth: the accepted answer, or the right verdict.
        replies: In order.
        images: ``data:`` URIs.
        detail: What else the dump tells: what is shown and whether it is right.
        after: Text with which the prompt begins and that is known already: a judge prompt begins with the question.
    """

    objective: str
    prompt: str
    truth: str
    replies: tuple[Reply, ...]
    images: tuple[str, ...] = ()
    detail: str = ""
    after: str = ""

    @property
    def name(self) -> str:
        """Of the objective."""
        return NAMES[self.objective]

    @property
    def gist(self) -> str:
        """The beginning of the prompt on one line."""
        text = " ".join(self.prompt.removeprefix(self.after).split())
        return text if len(text) <= LONGEST_GIST else f"{text[: LONGEST_GIST - 2]} …"


@dataclass(frozen=True)
class Family:
    """A group of policy rollouts and the judge prompts that were built from them."""

    step: int
    question: Sample
    children: tuple[Sample, ...]


@dataclass
class Gallery:
    """Everything shown of one run.

    Attributes:
        name: Of the run.
        families: Groups from training.
        kinds: (heading, samples), held out where there was validation.
        held_out: Whether ``kinds`` are held out.
        without_image: Samples whose image could not be told.
    """

    name: str
    families: list[Family] = field(default_factory=list)
    kinds: list[tuple[str, list[Sample]]] = field(default_factory=list)
    held_out: bool = False
    without_image: int = 0


Row = dict[str, Any]

KINDS: tuple[tuple[str, str, Callable[[Row], bool]], ...] = (
    ("Policy: right", "policy", lambda row: mark_of(row) == "right"),
    ("Policy: wrong", "policy", lambda row: mark_of(row) != "right"),
    ("Pointwise: right verdict", "pointwise", lambda row: mark_of(row) == "right"),
    ("Pointwise: wrong verdict", "pointwise", lambda row: mark_of(row) != "right"),
    ("Pairwise: right verdict", "pairwise", lambda row: mark_of(row) == "right"),
    ("Pairwise: wrong verdict", "pairwise", lambda row: mark_of(row) != "right"),
    ("Reflection: fixed", "reflection", lambda row: row.get("about") == "wrong" and mark_of(row) == "right"),
    ("Reflection: broken", "reflection", lambda row: row.get("about") == "right" and mark_of(row) != "right"),
    ("Reflection: not fixed", "reflection", lambda row: row.get("about") == "wrong" and mark_of(row) != "right"),
    ("Reflection: kept", "reflection", lambda row: row.get("about") == "right" and mark_of(row) == "right"),
)
"""(Heading, objective, which rows)."""


def collect(run: Run, families: int = 3, per_kind: int = 2) -> Gallery:
    """Choose what to show of a run.

    Args:
        run: With dumps; without any, the gallery is empty.
        families: Groups from training, spread over the run.
        per_kind: Samples of each of :data:`KINDS`.
    """
    gallery = Gallery(run.name)
    for step in dumps.spread(run.rollout_files, families) if families > 1 else list(run.rollout_files)[-1:]:
        if (family := _family(run, step)) is not None:
            gallery.families.append(family)
    before: dict[tuple[str, str], Row] = {}
    if run.validation_files:
        steps = list(run.validation_files)
        rows = _rows(run.validation_files[steps[-1]])
        before = _unique(_rows(run.validation_files[steps[0]])) if len(steps) > 1 else {}
        gallery.held_out = True
    else:
        rows = _rows(run.rollout_files[max(run.rollout_files)]) if run.rollout_files else []
    split = "val" if gallery.held_out else "train"
    refs = _references(run, split, rows)
    for row, ref in zip(rows, refs, strict=True):
        if not row.get("about") and ref is not None:
            row["about"] = {"spark/reflection": "wrong", "spark/reflection_keep": "right"}.get(run.data.source_of(ref))
    unique_after = _unique(rows)
    for heading, objective, fits in KINDS:
        fitting = [i for i, row in enumerate(rows) if dumps.objective_of(row) == objective and fits(row)]
        known = sorted(fitting, key=lambda i: refs[i] is None)[:per_kind]
        samples = []
        for i in known:
            earlier = before.get(_identity(rows[i])) if _identity(rows[i]) in unique_after else None
            replies = [_reply(earlier, "before")] if earlier else []
            replies.append(_reply(rows[i], "after" if earlier else "response"))
            samples.append(_sample(run, rows[i], replies, refs[i]))
        if samples:
            gallery.kinds.append((heading, samples))
    shown = [sample for _, samples in gallery.kinds for sample in samples] + [f.question for f in gallery.families]
    gallery.without_image = sum(not sample.images for sample in shown)
    return gallery


def mark_of(row: Row) -> str:
    """ "right", "wrong", "unparsable" or "not verified"."""
    if row.get("status") in ("timeout", "error"):
        return "not verified"
    accuracy = dumps.number(row.get("acc"))
    accuracy = dumps.number(row.get("score")) if accuracy is None else accuracy
    if accuracy is not None and accuracy > 0.5:
        return "right"
    return "unparsable" if row.get("status") == "unparsable" else "wrong"


def shorten(text: str, limit: int = LONGEST_TEXT) -> str:
    """The text, or its beginning and end with how much is left out between them."""
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n[… {len(text) - head - tail:,} characters left out …]\n{text[-tail:]}"


def _text(value: Any) -> str:
    return "" if value is None else shorten(value if isinstance(value, str) else str(value))


def _rows(path) -> list[Row]:
    return [row for row, _ in zip(dumps.rows(path), range(MOST_ROWS), strict=False)]


def _identity(row: Row) -> tuple[str, str]:
    return str(row.get("input")), str(row.get("gts"))


def _unique(rows: Iterable[Row]) -> dict[tuple[str, str], Row]:
    """Rows whose prompt and ground truth no other row of the dump has: the same prompt in another dump is theirs."""
    rows = list(rows)
    counts = Counter(_identity(row) for row in rows)
    return {_identity(row): row for row in rows if counts[_identity(row)] == 1}


def _references(run: Run, split: str, rows: list[Row]) -> list[RowRef | None]:
    """The data row of each dumped row, where it can be told; of a judge row in training, that of its parent."""
    prompts = {dumps.group_of(row): row for row in rows if dumps.objective_of(row) == "policy"}
    found = []
    for row in rows:
        source = row
        if split == "train" and dumps.objective_of(row) != "policy":
            source = prompts.get(str(row.get("parent")), row)
        index = row.get("index")
        found.append(run.data.row_of(split, str(source.get("input", "")), str(source.get("gts")), index))
    return found


def _reply(row: Row, label: str) -> Reply:
    return Reply(label, _text(row.get("output")), shorten(str(row.get("answer") or ""), 200), mark_of(row))


def _sample(run: Run, row: Row, replies: list[Reply], ref: RowRef | None) -> Sample:
    about, source = row.get("about"), row.get("source")
    shown = {"answer": "bare answer", "cot": "whole response"}.get(source) if isinstance(source, str) else None
    truth = {"right": "right candidate", "wrong": "wrong candidate"}.get(about) if isinstance(about, str) else None
    return Sample(
        objective=dumps.objective_of(row) or "policy",
        prompt=shorten(user_text(str(row.get("input", "")))),
        truth=shorten(str(row.get("gts", "")), 200),
        replies=tuple(replies),
        images=tuple(run.data.images(ref)) if ref is not None else (),
        detail=", ".join(part for part in (truth, shown) if part),
    )


def _family(run: Run, step: int) -> Family | None:
    """The first group of a step with most kinds of judge prompts, one with an image before others."""
    rows = _rows(run.rollout_files[step])
    members: dict[str, list[Row]] = defaultdict(list)
    children: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if dumps.objective_of(row) == "policy":
            members[dumps.group_of(row)].append(row)
        elif dumps.objective_of(row):
            children[str(row.get("parent"))][dumps.group_of(row)].append(row)
    if not members:
        return None

    def reference(uid: str) -> RowRef | None:
        row = members[uid][0]
        return run.data.row_of("train", str(row.get("input", "")), str(row.get("gts")), row.get("index"))

    def rank(uid: str) -> tuple[int, bool]:
        kinds = {dumps.objective_of(group[0]) for group in children.get(uid, {}).values()}
        return -len(kinds), reference(uid) is None

    uid = min(members, key=rank)

    def sample(group: list[Row], ref: RowRef | None) -> Sample:
        replies = [_reply(row, f"sample {number}") for number, row in enumerate(group[:MOST_SAMPLES], start=1)]
        return _sample(run, group[0], replies, ref)

    question = sample(members[uid], reference(uid))
    return Family(
        step,
        question,
        tuple(replace(sample(group, None), after=question.prompt) for group in children.get(uid, {}).values()),
    )
