"""What goes into the judge transform and what comes out: plain data, no Ray, no GPU, no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Message = dict[str, Any]
"""A chat message as verl holds it: ``{"role": str, "content": str | list[dict]}``; a content list mixes
``{"type": "image", "image": PIL.Image, ...}`` and ``{"type": "text", "text": str}``."""


class Correctness(str, Enum):
    """What the verifier found out about a rollout."""

    RIGHT = "right"
    WRONG = "wrong"
    NOT_VERIFIED = "not_verified"
    """The verification timed out or failed: the rollout is never labelled, neither right nor wrong."""


@dataclass(frozen=True)
class Rollout:
    """One sampled response to the group's question.

    Attributes:
        text: The response as the reward manager saw it (special tokens removed).
        answer: The parsed final answer that was rewarded; None when nothing could be parsed.
        correctness: The verifier's finding.
        truncated: True when generation stopped at the length limit.
    """

    text: str
    answer: str | None
    correctness: Correctness
    truncated: bool = False


@dataclass(frozen=True)
class RolloutGroup:
    """All rollouts of one prompt: the unit on which judge prompts are built.

    Attributes:
        uid: verl's id of the prompt (GRPO's group id).
        messages: The question: system, user and possibly earlier turns, images included.
        ground_truth: The task's ground truth, as the data set has it (a string, or a list of accepted answers).
        index: Index of the row in the data set (``extra_info.index``).
        step: Global training step.
        rollouts: In sampling order (session id), so that arrival order never matters.
        prompt_tokens: Length of the tokenized question with expanded image tokens; 0 when unknown.
    """

    uid: str
    messages: list[Message]
    ground_truth: Any
    index: int
    step: int
    rollouts: tuple[Rollout, ...]
    prompt_tokens: int = 0

    def of(self, correctness: Correctness) -> tuple[Rollout, ...]:
        """The rollouts with this correctness, in sampling order."""
        return tuple(r for r in self.rollouts if r.correctness is correctness)


@dataclass(frozen=True)
class JudgePrompt:
    """A new prompt for the same model about its own rollouts.

    Attributes:
        messages: The question's messages with the judge text appended to the last user turn. Images are the very same
            objects as in the group's messages.
        ground_truth: The label ("Yes", "No", "A", "B") or, for reflection, the task's ground truth.
        objective: "pointwise", "pairwise" or "reflection".
        source: "answer" or "cot": whether a bare answer or a whole response is shown.
        label_form: "yes_no", "a_b" or "free".
        parent_uid: uid of the group it was built from.
        n: Number of samples to draw; None means ``rollout.n``.
        about: Correctness of the candidate(s), for metrics: "right", "wrong" or "both".
    """

    messages: list[Message]
    ground_truth: Any
    objective: str
    source: str
    label_form: str
    parent_uid: str
    n: int | None
    about: str


@dataclass
class JudgeBuild:
    """Result of the transform for one group.

    Attributes:
        prompts: The judge prompts; possibly none.
        skipped: ``{reason: count}`` for every prompt that the budget asked for and that could not be built.
    """

    prompts: list[JudgePrompt] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str) -> None:
        """Count a judge prompt that was asked for and could not be built."""
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
