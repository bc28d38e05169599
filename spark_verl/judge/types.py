"""What goes into the judge transform and what comes out: plain data, no Ray, no GPU, no torch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from spark_verl.vocabulary import LabelForm, Message, Objective, RowTag, Source


@dataclass(frozen=True)
class JudgePrompt:
    """A new prompt for the same model about its own rollouts.

    Attributes:
        messages: The question's messages with ``text`` appended to the last user turn. Images are the very same objects
            as in the group's messages.
        text: What the judge is told and asked, after the question.
        ground_truth: The label ("Yes", "No", "A", "B") or, for reflection, the task's ground truth.
        objective: One of the three judge objectives.
        source: Whether a bare answer or a whole response is shown.
        label_form: How it wants its verdict.
        parent_uid: uid of the group it was built from.
        n: Number of samples to draw; None means ``rollout.n``.
        about: Correctness of the candidate(s), for metrics: "right", "wrong" or "both".
        step: In which the rollouts were sampled that it shows.
    """

    messages: list[Message]
    text: str
    ground_truth: Any
    objective: Objective
    source: Source
    label_form: LabelForm
    parent_uid: str
    n: int | None
    about: str
    step: int

    @property
    def tag(self) -> RowTag:
        """What its rows are."""
        labels = self.label_form.labels
        positive = self.ground_truth == labels[0] if labels else None
        return RowTag(
            self.objective,
            self.source,
            self.label_form,
            self.about,
            self.parent_uid,
            positive,
            shown_step=self.step,
        )


@dataclass
class JudgeBuild:
    """Result of the transform for one group.

    Attributes:
        prompts: The judge prompts; possibly none.
        skipped: ``{reason: count}`` for every prompt that was asked for and not built.
        adapted: ``{how: count}`` for every prompt that was built, but not quite as asked for: "shortened" (the middle
            of a chain of thought was left out), "answer_only" (its answer is shown in its place), "other_source"
            (answer shown for chain of thought or the other way round, because the one asked for had no candidate),
            "other_label" (a right candidate for a wrong one or the other way round).
    """

    prompts: list[JudgePrompt] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    adapted: Counter[str] = field(default_factory=Counter)
