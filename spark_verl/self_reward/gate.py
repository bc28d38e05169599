"""How much the judge's word is worth: measured on audit groups, where the truth is known.

The gate's weight is the lower bound of the 95 % interval of ρ̂, or ρ̂ itself where that bound opens the gate
(``spark.self_reward.weight``). ρ̂ is the mean correlation within a group between the rewards
that the group's samples would get and the truth, over the groups that would teach something. It is the slope of the
best linear prediction of the advantage by truth from the self-made one, hence the factor that the self-made one
deserves. A group whose rewards are all the same has no self-made advantage and no part in that slope: counted as a 0,
it would take weight from the others, the more of it the more of the answers are right. A group that would teach
although all of its answers are right, or all wrong, does count as 0.

For binary verdicts and a share p of right samples ρ = J √(p(1-p) / (q(1-q))) with J = TPR - FPR and q = FPR + J p: a
judge with J ≤ 0 has no weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spark_verl.self_reward.answers import ScoredGroup
from spark_verl.self_reward.posterior import Posterior, fit
from spark_verl.self_reward.rewards import sample_rewards, sample_truth, teaches

FOLDS = 5
"""Parts of the audit questions; each is judged with coefficients that were fitted on the others."""

RESAMPLES = 2000

Rewards = Callable[[ScoredGroup, Posterior], list[float]]


@dataclass(frozen=True)
class Measured:
    """What audit groups say about the judge.

    Attributes:
        groups, questions: Groups measured, and the different questions among them.
        taught: Share of the groups that would teach something.
        rho, low, high: ρ̂ of those, with its 95 % interval.
        tpr, fpr: Shares of favourable verdicts on right and on wrong answers; NaN without any.
        reward, accuracy: Mean reward of the samples, and their share of right ones: equal where π is calibrated.
        brier: Mean squared difference between a class's reward and its truth.
        first: Share of the groups with a right class in which that class has the highest reward (a tie counts in part).
        first_vote: The same by votes alone.
        unreadable: Share of verdicts that could not be read; NaN where none was asked for.
    """

    groups: int
    questions: int
    taught: float
    rho: float
    low: float
    high: float
    tpr: float
    fpr: float
    reward: float
    accuracy: float
    brier: float
    first: float
    first_vote: float
    unreadable: float

    @property
    def youden(self) -> float:
        """J = TPR - FPR."""
        return self.tpr - self.fpr


def correlation(rewards: Sequence[float], truth: Sequence[float]) -> float:
    """Pearson's, 0 where either side has no variance."""
    a, b = np.asarray(rewards) - np.mean(rewards), np.asarray(truth) - np.mean(truth)
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 1e-12 else 0.0


def cross_fitted(groups: Sequence[ScoredGroup], rewards: Rewards) -> list[list[float]]:
    """Each group's class rewards by coefficients that its question had no part in.

    Args:
        groups: Audit groups.
        rewards: Of a group, given coefficients.
    """
    # By order of first appearance: a question stays in its part as long as the window holds it.
    part: dict[str, int] = {}
    for group in groups:
        part.setdefault(group.question, len(part) % FOLDS)
    fitted = [fit([group for group in groups if part[group.question] != fold]) for fold in range(min(FOLDS, len(part)))]
    return [rewards(group, fitted[part[group.question]]) for group in groups]


def measure(groups: Sequence[ScoredGroup], rewards: Rewards, min_std: float, seed: int = 0) -> Measured:
    """Measure the judge on groups whose truth is known.

    Args:
        groups: Audit groups; those in which no sample gave an answer count as well, with nothing to tell apart.
        rewards: Of a group's classes, given coefficients.
        min_std: A group whose rewards deviate less would teach nothing.
        seed: Of the bootstrap.
    """
    found = cross_fitted(groups, rewards)
    correlations, taught, questions, samples, classes, first, first_vote = [], [], [], [], [], [], []
    for group, of_classes in zip(groups, found, strict=True):
        given, truth = sample_rewards(group, of_classes), sample_truth(group)
        pairs = [(given[session], truth[session]) for session in given]
        samples += pairs
        taught.append(teaches(given.values(), min_std))
        correlations.append(correlation(*zip(*pairs, strict=True)) if taught[-1] else 0.0)
        questions.append(group.question)
        right = [bool(each.right) for each in group.classes]
        classes += zip(of_classes, map(float, right), strict=True)
        if any(right):
            first.append(_right_first(of_classes, right))
            first_vote.append(_right_first([float(each.votes) for each in group.classes], right))
    rho, low, high = _bounds(correlations, taught, questions, seed)
    judged = [each for group in groups for each in group.classes]
    asked = sum(each.asked for each in judged)
    given, truth = np.array(samples or [(np.nan, np.nan)]).T
    predicted, actual = np.array(classes or [(np.nan, np.nan)]).T
    return Measured(
        groups=len(groups),
        questions=len(set(questions)),
        taught=float(np.mean(taught)) if taught else 0.0,
        rho=rho,
        low=low,
        high=high,
        tpr=_yes_rate([each for each in judged if each.right]),
        fpr=_yes_rate([each for each in judged if not each.right]),
        reward=float(given.mean()),
        accuracy=float(truth.mean()),
        brier=float(((predicted - actual) ** 2).mean()),
        first=float(np.mean(first)) if first else float("nan"),
        first_vote=float(np.mean(first_vote)) if first_vote else float("nan"),
        unreadable=1 - sum(each.read for each in judged) / asked if asked else float("nan"),
    )


def _right_first(scores: list[float], right: list[bool]) -> float:
    best = [is_right for score, is_right in zip(scores, right, strict=True) if score >= max(scores) - 1e-9]
    return sum(best) / len(best)


def _yes_rate(classes: list) -> float:
    read = sum(each.read for each in classes)
    return sum(each.yes for each in classes) / read if read else float("nan")


def _bounds(values: list[float], counts: list[bool], questions: list[str], seed: int) -> tuple[float, float, float]:
    """The mean of the values that count, with its 95 % interval when questions, with all their groups, are drawn anew.

    Questions of which nothing counts are drawn as well, and a draw of them alone says 0: with very few that count
    nothing is certain.
    """
    if not any(counts):
        return 0.0, 0.0, 0.0
    numbers = {question: place for place, question in enumerate(dict.fromkeys(questions))}
    index = [numbers[question] for question in questions]
    sums, sizes = np.bincount(index, weights=values), np.bincount(index, weights=counts)
    draws = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), RESAMPLES)
    means = (draws @ sums) / np.maximum(draws @ sizes, 1.0)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(sums.sum() / sizes.sum()), float(low), float(high)
