"""From classes to rewards and advantages: the posterior, and what others have done, for comparison."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from random import Random

import numpy as np

from spark_verl.self_reward.answers import ScoredGroup
from spark_verl.self_reward.posterior import Posterior
from spark_verl.vocabulary import SelfRewardKind

EPSILON = 1e-6
"""Beside the deviation, as in verl's GRPO; a smaller one is rounding."""


def class_rewards(kind: SelfRewardKind, group: ScoredGroup, posterior: Posterior) -> list[float]:
    """The reward of each class of a group, in [0, 1]."""
    if kind is SelfRewardKind.POSTERIOR:
        return posterior.of(group)
    if kind is SelfRewardKind.MAJORITY:
        return [float(place == 0) for place in range(len(group.classes))]
    votes = [each.votes / group.size for each in group.classes]
    if kind is SelfRewardKind.VOTE:
        return votes
    if kind is SelfRewardKind.JUDGE:
        # Where nothing was asked there is as much for it as against.
        return [each.yes / each.asked if each.asked else 0.5 for each in group.classes]
    return [vote * each.favour for vote, each in zip(votes, group.classes, strict=True)]


def sample_rewards(group: ScoredGroup, rewards: list[float]) -> dict[int, float]:
    """``{session: reward}``; 0 for a sample without an answer, nothing for one whose class was not judged."""
    found = {session: reward for each, reward in zip(group.classes, rewards, strict=True) for session in each.sessions}
    return found | dict.fromkeys(group.unanswered, 0.0)


def sample_truth(group: ScoredGroup) -> dict[int, float]:
    """``{session: 1.0 or 0.0}`` of the samples that :func:`sample_rewards` has; the truth must be known."""
    found = {session: float(bool(each.right)) for each in group.classes for session in each.sessions}
    return found | dict.fromkeys(group.unanswered, 0.0)


def teaches(rewards: Collection[float], min_std: float) -> bool:
    """Whether a group's rewards differ enough to teach anything."""
    return len(rewards) > 1 and _deviation(rewards) >= max(min_std, EPSILON)


def _deviation(rewards: Collection[float]) -> float:
    return float(np.std([*rewards], ddof=1))


def advantages(rewards: dict[int, float], weight: float, min_std: float) -> dict[int, float]:
    """GRPO's advantages of a group, times the gate's weight.

    Args:
        rewards: ``{session: reward}``.
        weight: Of the gate.
        min_std: A group whose rewards deviate less teaches nothing: dividing by a small deviation would turn a shade
            of doubt into certainty.

    Returns:
        ``{session: advantage}``; empty where nothing is taught.
    """
    if weight <= 0.0 or not teaches(rewards.values(), min_std):
        return {}
    values = np.array([*rewards.values()])
    scaled = weight * (values - values.mean()) / (_deviation(values) + EPSILON)
    return dict(zip(rewards, scaled.tolist(), strict=True))


def shuffle_verdicts(groups: Sequence[ScoredGroup], rng: Random) -> list[ScoredGroup]:
    """The groups with their verdicts handed round among all their classes: as many of each kind, about nothing."""
    verdicts = [(each.yes, each.read, each.asked) for group in groups for each in group.classes]
    rng.shuffle(verdicts)
    dealt = iter(verdicts)
    return [
        replace(group, classes=tuple(replace(each, **_verdicts(next(dealt))) for each in group.classes))
        for group in groups
    ]


def _verdicts(counts: tuple[int, int, int]) -> dict[str, int]:
    return dict(zip(("yes", "read", "asked"), counts, strict=True))
