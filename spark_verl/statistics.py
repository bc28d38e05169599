"""Intervals: of shares (Wilson, Newcombe), and of means over questions (bootstrap). All are 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

Z = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""

_BATCH = 1 << 22
"""Numbers drawn at a time: 32 MB."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    Attributes:
        value: The mean; NaN of nothing.
        low, high: Bounds.
        count: Number of values.
    """

    value: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is more than chance at this level."""
        return self.low > 0 or self.high < 0


def wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's score interval of a share; it stays inside [0, 1] and has a width even at 0 and 1.

    Args:
        share: Observed, in [0, 1].
        n: Number of independent observations; need not be whole (see :func:`effective`).

    Raises:
        ValueError: ``n`` is not positive.
    """
    if n <= 0:
        raise ValueError(f"an interval needs at least one observation, got n = {n}")
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(max(0.0, share * (1 - share)) / n + Z * Z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe(before: tuple[float, float, float], after: tuple[float, float, float]) -> tuple[float, float, float]:
    """Change between two independent shares with Newcombe's hybrid score interval (method 10 of Newcombe 1998).

    Args:
        before, after: (share, low, high) with Wilson's bounds.

    Returns:
        (after - before, low, high).
    """
    change = after[0] - before[0]
    low = change - math.hypot(after[0] - after[1], before[2] - before[0])
    high = change + math.hypot(after[2] - after[0], before[0] - before[1])
    return change, low, high


def effective(sizes: Sequence[float]) -> float:
    """Rows that one share would need to be as certain as a plain mean over several data sources.

    The variance of a mean of S shares of equal height is p(1-p)/S² · Σ 1/n, hence n = S² / Σ 1/n.
    """
    return len(sizes) ** 2 / sum(1 / size for size in sizes)


def bootstrap(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, *, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile bootstrap of a mean (Efron and Tibshirani, 1993, chapter 13), by :func:`scipy.stats.bootstrap`.

    Values that are all the same give an interval of width 0, which says nothing about other questions: with n right
    answers out of n, up to about 3 / n of all questions may still be answered wrong.

    For a paired comparison give the differences: resampling questions, each with its difference, keeps the pairing.

    Args:
        values: One per question.
        clusters: Questions with the same cluster (variants of one problem) are drawn together, because they are not
            independent; None treats every question on its own.
        resamples: Number of resamples.
        seed: Fixes what is drawn.

    Example:
        >>> interval = bootstrap([1.0, 1.0, 0.0, 1.0])
        >>> interval.value, interval.low, interval.high
        (0.75, 0.25, 1.0)
    """
    from scipy import stats  # a second, which not every reader of this module needs

    data = np.asarray(values, dtype=float)
    if data.size == 0:
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    sums, sizes = data, np.ones_like(data)
    if clusters is not None:
        numbers: dict[Hashable, int] = {}
        index = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
        sums, sizes = np.bincount(index, weights=data), np.bincount(index).astype(float)
    mean = float(data.mean())
    if len(sums) == 1:
        return Interval(mean, mean, mean, int(data.size))
    found = stats.bootstrap(
        (sums, sizes),
        lambda total, count, axis: total.sum(axis=axis) / count.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, _BATCH // len(sums)),
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), int(data.size))
