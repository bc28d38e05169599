"""What the objectives share: which rollouts can be shown, and how."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from spark_verl.vocabulary import Correctness, LabelForm, Objective, Rollout, RolloutGroup, Source

Pools = dict[Correctness, list[Rollout]]


@dataclass(frozen=True)
class Draft:
    """A judge prompt before it is rendered: the objective's choice, nothing about templates or tokens.

    Attributes:
        candidates: The rollout for each of the template's variables.
        adapted: How it differs from what was asked for, see :class:`spark_verl.judge.types.JudgeBuild`.
        objective, label_form, source, ground_truth, about, n: As in :class:`spark_verl.judge.types.JudgePrompt`.
    """

    objective: Objective
    label_form: LabelForm
    source: Source
    candidates: dict[str, Rollout]
    ground_truth: Any
    about: str
    n: int | None
    adapted: tuple[str, ...] = field(default=())

    @property
    def variables(self) -> dict[str, str]:
        """The template's variables without ``source``; values are untrusted rollout text."""
        return {name: shown_text(rollout, self.source) for name, rollout in self.candidates.items()}


def shown_text(rollout: Rollout, source: Source) -> str:
    """The untrusted text to show: the whole response or the parsed answer; empty when there is none."""
    return (rollout.text if source is Source.COT else rollout.answer or "").strip()


def usable(rollout: Rollout, source: Source) -> bool:
    """Whether a rollout can be shown in this form.

    One without a parsed answer cannot be shown as an answer, but it is a wrong chain of thought like any other. One
    that was cut off is not shown as a chain of thought: its end is missing, so the judge would learn to spot the cut.
    """
    return bool(shown_text(rollout, source)) and not (source is Source.COT and rollout.truncated)


def pools(group: RolloutGroup, source: Source) -> Pools:
    """The right and the wrong rollouts that can be shown in this form, one per distinct shown text.

    A frequent answer is not judged more often than a rare one. A text that is right in one rollout and wrong in
    another (a reward function may grade more than what is shown) has no label, and is left out.
    """
    by_text: dict[str, list[Rollout]] = {}
    for rollout in group.rollouts:
        if rollout.correctness is not Correctness.NOT_VERIFIED and usable(rollout, source):
            by_text.setdefault(shown_text(rollout, source), []).append(rollout)
    found: Pools = {Correctness.RIGHT: [], Correctness.WRONG: []}
    for same in by_text.values():
        if len({rollout.correctness for rollout in same}) == 1:
            found[same[0].correctness].append(same[0])
    return found


def choose_source(cot_share: float, rng: random.Random) -> list[Source]:
    """The sources to try, in order: chain of thought first with probability ``cot_share``.

    The other one stands in where nothing can be shown in the first, unless the config rules it out (a share of 0 or 1).
    """
    order = [Source.COT, Source.ANSWER] if rng.random() < cot_share else [Source.ANSWER, Source.COT]
    return order if 0.0 < cot_share < 1.0 else order[:1]
