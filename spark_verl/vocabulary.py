"""The words that everything here is called by, and what travels from one part to the next.

Each word is a string with its own type: it can be compared with, formatted and stored as the plain string (in YAML,
JSON, parquet, metric names), and a misspelt one fails where it is written, not where it is read.

    prompt ──► Rollout × n ──► RolloutGroup ──► judge prompts ──► rows, each with a RowTag
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

Message = dict[str, Any]
"""A chat message as verl holds it: ``{"role": str, "content": str | list[dict]}``; a content list mixes
``{"type": "image", "image": PIL.Image, ...}`` and ``{"type": "text", "text": str}``."""


class Word(str, Enum):
    """A string with a type. Also in dictionaries and sets it stands for the plain string."""

    __str__ = str.__str__
    __format__ = str.__format__  # ty: ignore[lost-keyword-for-regular-parameter]
    __hash__ = str.__hash__


class Objective(Word):
    """What a row is trained for."""

    POLICY = "policy"
    """Answer the question."""
    POINTWISE = "pointwise"
    """Is this answer right?"""
    PAIRWISE = "pairwise"
    """Which of these two is right?"""
    REFLECTION = "reflection"
    """Here is an attempt: do better."""

    @property
    def role(self) -> str:
        """ "policy" or "judge"."""
        return "policy" if self is Objective.POLICY else "judge"


JUDGE_OBJECTIVES = (Objective.POINTWISE, Objective.PAIRWISE, Objective.REFLECTION)


class LabelForm(Word):
    """How a judge prompt wants its verdict."""

    YES_NO = "yes_no"
    A_B = "a_b"
    FREE = "free"
    """No label: a reflection is answered like its question."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The verdicts, the favourable one first: "correct" (pointwise) or "the first is right" (pairwise)."""
        return {"yes_no": ("Yes", "No"), "a_b": ("A", "B"), "free": ()}[self.value]


POSITIVE_LABELS = frozenset(form.labels[0] for form in LabelForm if form.labels)


class Source(Word):
    """What of a rollout is shown to the judge."""

    ANSWER = "answer"
    """Its parsed answer."""
    COT = "cot"
    """The whole response."""


class Status(Word):
    """What became of a verification."""

    OK = "ok"
    UNPARSABLE = "unparsable"
    """There is no answer, or nothing that means anything: a wrong answer."""
    TIMEOUT = "timeout"
    ERROR = "error"
    UNLABELLED = "unlabelled"
    """There is no truth to compare with, on purpose (``spark.self_reward``)."""

    @property
    def decided(self) -> bool:
        """False where nothing was found out: such a row is neither right nor wrong, and must teach nothing."""
        return self in (Status.OK, Status.UNPARSABLE)


UNDECIDED = tuple(status for status in Status if not status.decided)


class Supervision(Word):
    """Where the reward of a question's answers comes from."""

    LABELLED = "labelled"
    """It has a ground truth: the verifier rewards, and the judge is trained on what it finds."""
    AUDIT = "audit"
    """It has a ground truth that only serves to measure the judge; nothing is trained on it."""
    UNLABELLED = "unlabelled"
    """It has none: the model's own judgement rewards, as far as the gate lets it."""


class SelfRewardKind(Word):
    """What the reward of an answer is made of."""

    POSTERIOR = "posterior"
    """Probability that it is right, from verdicts and votes, fitted on audit groups."""
    JUDGE = "judge"
    """Share of favourable verdicts."""
    VOTE = "vote"
    """Share of the group that gave it."""
    VOTE_JUDGE = "vote_judge"
    """Vote times a judge that is never certain."""
    MAJORITY = "majority"
    """1 for the most frequent answer, else 0 (test-time reinforcement learning, TTRL)."""

    @property
    def needs_verdicts(self) -> bool:
        """Whether the judge is asked at all."""
        return self not in (SelfRewardKind.VOTE, SelfRewardKind.MAJORITY)


class SelfRewardWeight(Word):
    """How much of the judge's measured worth its word gets while the gate is open."""

    ESTIMATE = "estimate"
    """All of it: the best linear prediction of the advantage by truth."""
    BOUND = "bound"
    """What it is worth at least, with 97.5 % confidence."""


HIDDEN_TRUTH = "hidden_truth"
"""Key of ``extra_info`` with the truth of an unlabelled row, for experiments: metrics see it, training does not."""


class JudgeStep(Word):
    """The step in which judge prompts are sampled, and trained on."""

    SAME = "same"
    """That of the rollouts that they show: each group's as soon as it has ended."""
    NEXT = "next"
    """The one after it, beside its questions: nothing waits for them."""


class Correctness(Word):
    """What the verifier found out about a rollout."""

    RIGHT = "right"
    WRONG = "wrong"
    NOT_VERIFIED = "not_verified"
    """The verification timed out or failed: the rollout is never labelled, neither right nor wrong."""


class Outcome(Word):
    """What a group of rollouts turned out to be."""

    MIXED = "mixed"
    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"
    """Nothing was verified."""


@dataclass(frozen=True)
class Rollout:
    """One sampled response to the group's question.

    Attributes:
        text: The response as the reward manager saw it (special tokens removed).
        answer: The parsed final answer that was rewarded; None when nothing could be parsed.
        correctness: The verifier's finding.
        finish_reason: "stop", or "length" when generation ended at the length limit.
    """

    text: str
    answer: str | None
    correctness: Correctness
    finish_reason: str = "stop"

    @property
    def truncated(self) -> bool:
        """Whether the response was cut off at the length limit."""
        return self.finish_reason == "length"


@dataclass(frozen=True)
class RolloutGroup:
    """All rollouts of one prompt: the unit on which judge prompts are built.

    Attributes:
        uid: verl's id of the prompt (GRPO's group id).
        messages: The question: system, user and possibly earlier turns, images included.
        ground_truth: The task's ground truth, as the data set has it (a string, or a list of accepted answers).
        index: Index of the row in the data set (``extra_info.index``); any value with a stable ``str``.
        step: Global training step.
        rollouts: In sampling order (session id), so that arrival order never matters. Failed ones are absent.
        prompt_tokens: Length of the tokenized question with expanded image tokens; 0 when unknown.
    """

    uid: str
    messages: list[Message]
    ground_truth: Any
    index: int | str
    step: int
    rollouts: tuple[Rollout, ...]
    prompt_tokens: int = 0

    def of(self, correctness: Correctness) -> tuple[Rollout, ...]:
        """The rollouts with this correctness, in sampling order."""
        return tuple(r for r in self.rollouts if r.correctness is correctness)

    @property
    def outcome(self) -> Outcome:
        """What the verified rollouts say."""
        right, wrong = self.of(Correctness.RIGHT), self.of(Correctness.WRONG)
        if right and wrong:
            return Outcome.MIXED
        return Outcome.RIGHT if right else Outcome.WRONG if wrong else Outcome.NONE


@dataclass(frozen=True)
class RowTag:
    """What a row of a step is, in its TransferQueue tag, its dump and its ``extra_info``.

    Attributes:
        objective: What it is trained for.
        source: What its prompt shows of a rollout; None for policy rows, as all that follows.
        label_form: How it wants its verdict.
        about: Correctness of the candidate(s): "right", "wrong" or "both".
        parent: uid of the group that the prompt is about.
        positive: Whether its label is the favourable one; None where there are no labels.
        supervision: Where a policy row's reward comes from; judge rows are labelled.
        shown_step: Step of the rollouts that its prompt shows.
    """

    objective: Objective = Objective.POLICY
    source: Source | None = None
    label_form: LabelForm | None = None
    about: str | None = None
    parent: str | None = None
    positive: bool | None = None
    supervision: Supervision = Supervision.LABELLED
    shown_step: int | None = None

    @property
    def role(self) -> str:
        """ "policy" or "judge"."""
        return self.objective.role

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the role among them, as they are stored."""
        fields = {name: value.value if isinstance(value, Word) else value for name, value in asdict(self).items()}
        return {"role": self.role, **fields}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> RowTag:
        """Read :meth:`to_dict` back.

        Raises:
            ValueError: A word is none of ours.
        """
        source, form = stored.get("source"), stored.get("label_form")
        return cls(
            objective=Objective(stored["objective"]),
            source=Source(source) if source else None,
            label_form=LabelForm(form) if form else None,
            about=stored.get("about"),
            parent=stored.get("parent"),
            positive=stored.get("positive"),
            supervision=Supervision(stored.get("supervision", Supervision.LABELLED)),
            shown_step=stored.get("shown_step"),
        )


POLICY = RowTag()
"""The tag of rows that come from the data set."""
