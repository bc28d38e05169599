r"""How likely each answer of a group is right, from votes and verdicts.

    ℓ_c = β₀ + β₁ logit((yes_c + ½) / (asked_c + 1)) + β₂ log v_c       π_c = e^ℓ_c / (1 + Σ e^ℓ)

``v_c`` is the share of the group's samples that gave answer ``c``; the 1 stands for "none of them is right". The
coefficients are fitted on audit groups, whose truth is known. β₁ and β₂ are never negative: a verdict or a vote may be
worth nothing, but a judge that is right less often than chance is no judge turned upside down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from spark_verl.self_reward.answers import ScoredGroup

PRIOR_STRENGTH = 1.0
"""Precision of the prior around :class:`Posterior`'s defaults: a few audit groups outweigh it, and separable ones (all
verdicts right so far) do not drive the coefficients to infinity."""


@dataclass(frozen=True)
class Posterior:
    """Coefficients; the defaults take verdicts and votes for independent evidence at face value.

    Attributes:
        intercept: β₀.
        judge: β₁.
        vote: β₂.
    """

    intercept: float = 0.0
    judge: float = 1.0
    vote: float = 1.0

    def of(self, group: ScoredGroup) -> list[float]:
        """π of each class of the group; together less than 1."""
        if not group.classes:
            return []
        scores = _features(group) @ np.array(astuple(self))
        # Relative to the largest, the 1's logarithm 0 included: no overflow.
        top = max(0.0, float(scores.max()))
        weights = np.exp(scores - top)
        return (weights / (np.exp(-top) + weights.sum())).tolist()


def _features(group: ScoredGroup) -> np.ndarray:
    """(classes, 3): 1, the log odds of the verdicts, the logarithm of the vote."""
    share = np.array([each.favour for each in group.classes])
    votes = np.array([each.votes / group.size for each in group.classes])
    return np.stack([np.ones_like(share), np.log(share / (1 - share)), np.log(votes)], axis=1)


def fit(groups: Sequence[ScoredGroup], prior: Posterior | None = None) -> Posterior:
    """The most likely coefficients, given groups whose truth is known.

    Args:
        groups: Audit groups; those without classes say nothing.
        prior: Where the coefficients are pulled to.
    """
    from scipy.optimize import minimize  # half a second, which not every reader of this module needs

    centre = np.array(astuple(prior or Posterior()))
    known = [group for group in groups if group.known]
    if not known:
        return Posterior(*centre.tolist())
    width = max(len(group.classes) for group in known)
    features = np.zeros((len(known), width, 3))
    present, right = np.zeros((2, len(known), width), dtype=bool)
    for row, group in enumerate(known):
        count = len(group.classes)
        features[row, :count] = _features(group)
        present[row, :count] = True
        right[row, :count] = [bool(each.right) for each in group.classes]
    none_right = ~right.any(axis=1)

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        scores = np.where(present, features @ beta, -np.inf)
        top = np.maximum(scores.max(axis=1), 0.0)
        weights = np.exp(scores - top[:, None])
        nothing = np.exp(-top)
        total = weights.sum(axis=1) + nothing
        wanted = np.where(right, weights, 0.0)
        of_truth = wanted.sum(axis=1) + np.where(none_right, nothing, 0.0)
        # d log Σ e^ℓ = softmax-weighted mean of the features, over the right classes minus over all of them
        pull = np.einsum("gc,gcf->f", wanted / of_truth[:, None] - weights / total[:, None], features)
        away = beta - centre
        value = -(np.log(of_truth) - np.log(total)).sum() + PRIOR_STRENGTH * (away @ away) / 2
        return float(value), -pull + PRIOR_STRENGTH * away

    bounds = [(None, None), (0.0, None), (0.0, None)]
    return Posterior(*minimize(loss, centre, jac=True, method="L-BFGS-B", bounds=bounds).x.tolist())
