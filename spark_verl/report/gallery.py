"""Samples to look at: whole groups from question to verdicts, and held-out prompts before and after training.

Nothing is picked by eye: of each kind the first rows of a dump are taken that fit, those with a known image before
others. Dumps are ordered by random ids, so the first rows are a random choice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from spark_verl.report.data_rows import DataRow, images, user_text
from spark_verl.report.frame import Run
from spark_verl.report.section import Missing, Section, lacking
from spark_verl.report.style import NAMES
from spark_verl.runs import dumps
from spark_verl.runs.dumps import Row
from spark_verl.runs.validation import QUANTITIES
from spark_verl.vocabulary import UNDECIDED, Correctness, Objective, Source, Status

LONGEST_TEXT = 3000
"""Characters of a prompt or response that are shown; of a longer one its beginning and its end."""

LONGEST_GIST = 160

MOST_ROWS = 50_000
"""Rows of a dump that are looked at."""

MOST_SAMPLES = 8
"""Responses of a group that are shown."""

NO_DUMPS = (
    "there are neither rollout nor validation dumps",
    "set trainer.rollout_data_dir and trainer.validation_data_dir",
)
DATA_BACK = "copy the data files to where the config has them, or into RUN_DIR/data"
NO_DATA = ("the run's data files are not known", "copy them into RUN_DIR/data")
NO_INDEX = (
    "several rows of the data have the same question and answer, and the dump does not say which one it was",
    "dump with a version that writes the column `index`, and give each row of the data its own extra_info.index",
)


@dataclass(frozen=True)
class Reply:
    """One response.

    Attributes:
        label: "before", "after", "step 40" (validated once) or "sample 3".
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
        objective: What it is trained for.
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
        return NAMES[Objective(self.objective)]

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
        without_image: Samples of which it cannot be told which row of the data they are.
    """

    name: str
    families: list[Family] = field(default_factory=list)
    kinds: list[tuple[str, list[Sample]]] = field(default_factory=list)
    held_out: bool = False
    without_image: int = 0

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self.families and not self.kinds


KINDS: tuple[tuple[str, Objective, Correctness | None, bool], ...] = (
    ("Policy: right", Objective.POLICY, None, True),
    ("Policy: wrong", Objective.POLICY, None, False),
    ("Pointwise: right verdict", Objective.POINTWISE, None, True),
    ("Pointwise: wrong verdict", Objective.POINTWISE, None, False),
    ("Pairwise: right verdict", Objective.PAIRWISE, None, True),
    ("Pairwise: wrong verdict", Objective.PAIRWISE, None, False),
    ("Reflection: fixed", Objective.REFLECTION, Correctness.WRONG, True),
    ("Reflection: broken", Objective.REFLECTION, Correctness.RIGHT, False),
    ("Reflection: not fixed", Objective.REFLECTION, Correctness.WRONG, False),
    ("Reflection: kept", Objective.REFLECTION, Correctness.RIGHT, True),
)
"""(Heading, objective, what the candidate shown is if that matters, whether the response is right)."""

SHOWN = {Source.ANSWER: "bare answer", Source.COT: "whole response"}
ABOUT = {Correctness.RIGHT: "right candidate", Correctness.WRONG: "wrong candidate"}


def gallery(runs: Sequence[Run]) -> Section:
    """Samples of every run: fewer of each where there are two."""
    collected = {run.name: collect(run, *((3, 2) if len(runs) == 1 else (1, 1))) for run in runs}
    missing = lacking(runs, lambda run: collected[run.name].empty, "Samples", NO_DUMPS)
    for run in runs:
        count = collected[run.name].without_image
        if count and run.data.absent:
            why = f"not on this machine: {', '.join(run.data.absent)}"
            missing.append(Missing(run.name, "Images of samples", why, DATA_BACK))
        elif count and not any(run.data.files.values()):
            missing.append(Missing(run.name, "Images of samples", *NO_DATA))
        elif count:
            missing.append(Missing(run.name, f"Images of {count} of the samples", *NO_INDEX))
    return Section(
        "gallery",
        "Samples",
        "The first that fit in each dump, whose order is random; nothing was picked by eye. What a model wrote is "
        "shown as plain text.",
        missing=missing,
        content={"galleries": [found for found in collected.values() if not found.empty]},
    )


def collect(run: Run, families: int = 3, per_kind: int = 2) -> Gallery:
    """Choose what to show of a run.

    Args:
        run: With dumps; without any, the gallery is empty.
        families: Groups from training, spread over the run.
        per_kind: Samples of each of :data:`KINDS`.
    """
    found = Gallery(run.name, held_out=bool(run.validation_files))
    for step in dumps.spread(run.rollout_files, families):
        _add_family(found, run, step, _of_step(run, step))
    paths = list((run.validation_files or run.rollout_files).values())
    if not paths:
        return found
    last, rows = (max(run.validation_files), _rows(paths[-1])) if found.held_out else _latest(run)
    refs = _references(run, "val" if found.held_out else "train", rows)
    for row, ref in zip(rows, refs, strict=True):
        if not row.get("about") and ref is not None:
            row["about"] = _KEEP_OR_FIX.get(ref.source)
    twice = found.held_out and len(paths) > 1
    before = _unique(_rows(paths[0])) if twice else {}
    alone = "after" if twice else f"step {last}"
    after = _unique(rows)
    for heading, objective, about, right in KINDS:
        fitting = [
            (row, ref)
            for row, ref in zip(rows, refs, strict=True)
            if row["objective"] == objective
            and (about is None or row.get("about") == about)
            and (mark_of(row) == Correctness.RIGHT) == right
        ]
        samples = []
        for row, ref in sorted(fitting, key=lambda pair: pair[1] is None)[:per_kind]:
            earlier = before.get(_identity(row)) if _identity(row) in after else None
            replies = [_reply(earlier, "before"), _reply(row, "after")] if earlier else [_reply(row, alone)]
            samples.append(_sample(row, replies, ref))
            found.without_image += ref is None
        if samples:
            found.kinds.append((heading, samples))
    return found


_KEEP_OR_FIX = {
    QUANTITIES["reflection_fix_rate"].source: Correctness.WRONG,
    QUANTITIES["reflection_keep_rate"].source: Correctness.RIGHT,
}
"""Data source of a held-out reflection prompt → what the attempt in it is."""


def mark_of(row: Row) -> str:
    """ "right", "wrong", "unparsable" or "not verified"."""
    status = row.get("status")
    if status in UNDECIDED:
        return Correctness.NOT_VERIFIED.replace("_", " ")
    accuracy = row["score"] if row.get("acc") is None else row["acc"]
    if accuracy > 0.5:
        return Correctness.RIGHT
    return Status.UNPARSABLE if status == Status.UNPARSABLE else Correctness.WRONG


def shorten(text: str, limit: int = LONGEST_TEXT) -> str:
    """The text, or its beginning and end with how much is left out between them."""
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n[… {len(text) - head - tail:,} characters left out …]\n{text[-tail:]}"


def _rows(path: Path) -> list[Row]:
    return list(islice(dumps.rows(path), MOST_ROWS))


def _of_step(run: Run, step: int) -> list[Row]:
    """A step's policy rows, and the judge rows that show them: with ``spark.judge_step: next`` one dump later."""
    after = [other for other in run.rollout_files if other > step]
    return [
        row
        for dumped in (step, *after[:1])
        for row in _rows(run.rollout_files[dumped])
        if (dumped if row["objective"] == Objective.POLICY else row.get("shown_step") or dumped) == step
    ]


def _latest(run: Run) -> tuple[int, list[Row]]:
    """The last step about which there are judge rows, else the last one, and its rows."""
    for step in sorted(run.rollout_files, reverse=True):
        rows = _of_step(run, step)
        if any(row["objective"] != Objective.POLICY for row in rows):
            return step, rows
    return max(run.rollout_files), _of_step(run, max(run.rollout_files))


def _identity(row: Row) -> tuple[str, str]:
    return str(row.get("input")), str(row.get("gts"))


def _unique(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """Rows whose prompt and ground truth no other row of the dump has: the same prompt in another dump is theirs."""
    counts = Counter(_identity(row) for row in rows)
    return {_identity(row): row for row in rows if counts[_identity(row)] == 1}


def _references(run: Run, split: str, rows: Sequence[Row]) -> list[DataRow | None]:
    """The data row of each dumped row, where it can be told; of a judge row in training, that of its parent."""
    prompts = {dumps.group_of(row): row for row in rows if row["objective"] == Objective.POLICY}
    found = []
    for row in rows:
        source = prompts.get(str(row.get("parent")), row) if split == "train" else row
        found.append(run.data.row_of(split, str(source.get("input", "")), str(source.get("gts")), row.get("index")))
    return found


def _reply(row: Row, label: str) -> Reply:
    text, answer = (str(row.get(name) or "") for name in ("output", "answer"))
    return Reply(label, shorten(text), shorten(answer, 200), mark_of(row))


def _sample(row: Row, replies: Sequence[Reply], ref: DataRow | None, after: str = "") -> Sample:
    detail: list[Any] = [ABOUT.get(row.get("about")), SHOWN.get(row.get("source"))]
    return Sample(
        objective=row["objective"],
        prompt=shorten(user_text(str(row.get("input", "")))),
        truth=shorten(str(row.get("gts", "")), 200),
        replies=tuple(replies),
        images=tuple(images(ref)) if ref is not None else (),
        detail=", ".join(part for part in detail if part),
        after=after,
    )


def _add_family(found: Gallery, run: Run, step: int, rows: Sequence[Row]) -> None:
    """Add the first group of a step with most kinds of judge prompts, one with an image before others."""
    groups: dict[str, list[Row]] = defaultdict(list)
    children: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    refs: dict[str, DataRow | None] = {}
    for row, ref in zip(rows, _references(run, "train", rows), strict=True):
        uid = dumps.group_of(row)
        if row["objective"] == Objective.POLICY:
            groups[uid].append(row)
            refs.setdefault(uid, ref)
        else:
            children[str(row.get("parent"))][uid].append(row)
    if not groups:
        return

    def rank(uid: str) -> tuple[int, bool]:
        kinds = {group[0]["objective"] for group in children[uid].values()}
        return -len(kinds), refs[uid] is None

    def sample(group: Sequence[Row], ref: DataRow | None = None, after: str = "") -> Sample:
        replies = [_reply(row, f"sample {number}") for number, row in enumerate(group[:MOST_SAMPLES], start=1)]
        return _sample(group[0], replies, ref, after)

    uid = min(groups, key=rank)
    question = sample(groups[uid], refs[uid])
    shown = tuple(sample(group, after=question.prompt) for group in children[uid].values())
    found.families.append(Family(step, question, shown))
    found.without_image += refs[uid] is None
