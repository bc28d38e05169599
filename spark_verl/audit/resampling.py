"""Figures with their 95 % intervals when questions, with all that belongs to them, are drawn anew."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np

from spark_verl.self_reward.gate import RESAMPLES
from spark_verl.statistics import Interval

Draws = np.ndarray
"""A figure of the questions as they are, then of each time that they are drawn anew: ``(1 + RESAMPLES,)``."""


class Bootstrap:
    """Sums over groups, for the questions as they are and for each of many draws with replacement.

    Every figure of an audit is made of such sums, so each draw gives all of them; what depends on several sums (ratios,
    differences, calibration errors) is right in its interval, too. The draws are those of the gate.

    Args:
        questions: Of each group; groups of one question are drawn together.
        seed: Of the draws.
    """

    def __init__(self, questions: Sequence[str], seed: int = 0) -> None:
        numbers = {question: number for number, question in enumerate(dict.fromkeys(questions))}
        self.questions = len(numbers)
        self._question = np.array([numbers[question] for question in questions])
        drawn = np.random.default_rng(seed).multinomial(
            self.questions, np.full(self.questions, 1 / self.questions), RESAMPLES
        )
        self._times = np.concatenate([np.ones((1, self.questions), dtype=int), drawn])

    def of_parts(self, groups: Sequence[int]) -> Bootstrap:
        """The same draws for parts of the groups, given the number of each part's group."""
        parts = copy(self)
        parts._question = self._question[np.asarray(groups, dtype=int)]
        return parts

    def total(self, values: Any) -> np.ndarray:
        """Sums of ``values``, one row per group or part: ``(1 + RESAMPLES, ...)``."""
        values = np.asarray(values, dtype=float)
        by_question = np.zeros((self.questions, *values.shape[1:]))
        np.add.at(by_question, self._question, values)
        return self._times @ by_question

    def ratio(self, above: Any, below: Any = None) -> Draws:
        """The sum of ``above`` by that of ``below``; NaN where the latter is 0. None: by the number of groups."""
        return divide(self.total(above), self.total(np.ones(len(self._question)) if below is None else below))


def divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """One by the other; NaN where the latter is 0."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) != 0)


def interval(draws: Draws, count: int) -> Interval:
    """The figure with its bounds; draws in which it is not defined are left out.

    Args:
        draws: The figure.
        count: What it is about, as a number of observations.
    """
    known = draws[1:][~np.isnan(draws[1:])]
    if np.isnan(draws[0]) or not len(known):
        return Interval(float("nan"), float("nan"), float("nan"), count)
    low, high = np.quantile(known, [0.025, 0.975])
    return Interval(float(draws[0]), float(low), float(high), count)
