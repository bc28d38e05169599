"""What the objectives share: which rollouts can be shown, and how."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spark_verl.judge.types import Rollout


@dataclass(frozen=True)
class Draft:
    """A judge prompt before it is rendered: the objective's choice, nothing about templates or tokens.

    Attributes:
        variables: The template's variables without ``source``; values are untrusted rollout text.
        ground_truth, objective, label_form, source, about, n: As in :class:`spark_verl.judge.types.JudgePrompt`.
    """

    objective: str
    label_form: str
    source: str
    variables: dict[str, str]
    ground_truth: Any
    about: str
    n: int | None


def choose_source(cot_share: float, rng: random.Random) -> str:
    """ "cot" with probability ``cot_share``, else "answer"."""
    return "cot" if rng.random() < cot_share else "answer"


def usable(rollouts: Sequence[Rollout], source: str) -> list[Rollout]:
    """The rollouts that can be shown in this form, one per distinct shown text.

    A rollout without a parsed answer cannot be shown as an answer. One that was cut off is not shown as a chain of
    thought: its end is missing, so the judge would learn to spot the cut. Duplicates are dropped because a frequent
    answer should not be more likely to be judged.
    """
    seen: dict[str, Rollout] = {}
    for rollout in rollouts:
        if source == "answer" and rollout.answer is None:
            continue
        if source == "cot" and (rollout.truncated or not rollout.text.strip()):
            continue
        seen.setdefault(shown_text(rollout, source), rollout)
    return list(seen.values())


def shown_text(rollout: Rollout, source: str) -> str:
    """The untrusted text to show: the whole response or the parsed answer."""
    return rollout.text.strip() if source == "cot" else (rollout.answer or "").strip()
