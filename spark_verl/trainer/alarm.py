"""An alarm for self-confirmation: the judge says Yes more and more while the policy gets no better.

A model that judges itself can learn to agree with itself. The labels of its judge prompts come from the verifier, so
this does not pay as long as the labels are balanced and the verifier is right; the alarm tells when it happens anyway,
for instance because judge rows weigh too little or a verifier accepts what it should not.

Two windows of the same number of steps are compared. Saying Yes is measured against the labels (share of Yes among the
verdicts minus share of Yes among the labels), as the labels may move, too. Progress is held-out accuracy where the run
validates, else the accuracy of the policy's rows; both are decided by the verifier, never by the judge.

The rule is :func:`compare`: the alarm applies it to the last two windows while a run trains, the report to the first
and the last third of a whole run.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance
from typing import Any

MIN_DRIFT = 0.05
"""A smaller rise of the Yes share between the two windows is no alarm, however certain."""

MIN_Z = 3.0
"""Standard errors by which the rise must differ from zero."""

YES_RATE = "spark/judge/pointwise/yes_rate"
LABEL_YES_RATE = "spark/judge/pointwise/label_yes_rate"
ACCURACY = "spark/policy/acc"


@dataclass(frozen=True)
class Drift:
    """How two windows of a run differ.

    Attributes:
        earlier, later: Mean excess of Yes in either window, a difference of shares.
        error: Standard error of ``later - earlier``.
        progress: Change of the policy's accuracy meanwhile.
    """

    earlier: float
    later: float
    error: float
    progress: float

    @property
    def rise(self) -> float:
        """How much the excess grew."""
        return self.later - self.earlier

    @property
    def rising(self) -> bool:
        """The judge says Yes more often than it did, and that is more than noise."""
        return self.rise >= MIN_DRIFT and self.rise >= MIN_Z * self.error

    @property
    def suspicious(self) -> bool:
        """It does so while the policy gets no better."""
        return self.rising and self.progress <= 0.0


def compare(earlier: Sequence[float], later: Sequence[float], progress: float) -> Drift:
    """Compare two windows of the same number of steps.

    Args:
        earlier, later: Share of Yes among the verdicts minus its share among the labels, of each step.
        progress: See :func:`policy_progress`.
    """
    # A step's rate is noisy; how much, the windows themselves tell.
    error = math.sqrt((pvariance(earlier) + pvariance(later)) / len(later))
    return Drift(fmean(earlier), fmean(later), error, progress)


def policy_progress(held_out: Sequence[Sequence[float]], in_training: Sequence[Sequence[float]]) -> float:
    """Change of the policy's accuracy.

    Args:
        held_out: Validated before and after, in order; the last of each counts. Either may be empty.
        in_training: Of the policy's rows, by step, in the earlier and in the later window; counts where too little was
            validated.
    """
    before, after = held_out
    if before and after:
        return after[-1] - before[-1]
    earlier, later = in_training
    return fmean(later) - fmean(earlier)


class SelfConfirmationAlarm:
    """Watches a run.

    Args:
        window: Steps per window, at least 2. The alarm can ring after two windows.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._excess: deque[float] = deque(maxlen=2 * window)
        self._accuracy: deque[float] = deque(maxlen=2 * window)
        self._held_out: deque[tuple[int, float]] = deque(maxlen=64)
        self._step = 0

    def validated(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take in a validation.

        Args:
            step: After which it was made.
            metrics: verl's; the mean of ``val-core/<data source>/acc/mean@1`` over the policy's data sources counts.
        """
        found = [
            value
            for name, value in metrics.items()
            if name.startswith("val-core/") and not name.startswith("val-core/spark/") and "/acc/mean@" in name
        ]
        if found:
            self._held_out.append((step, fmean(found)))

    def update(self, step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        """Take in a step.

        Args:
            step: Number of the step.
            metrics: With ``spark/judge/pointwise/{yes_rate,label_yes_rate}``, absent in a step without such rows, and
                ``spark/policy/acc``.

        Returns:
            After two windows: ``yes_excess`` (of the later window), ``yes_drift`` and ``accuracy_drift`` (later minus
            earlier window), ``self_confirmation`` (1.0 or 0.0). Before: nothing.
        """
        self._step = step
        if YES_RATE not in metrics or ACCURACY not in metrics:
            return {}
        self._excess.append(metrics[YES_RATE] - metrics[LABEL_YES_RATE])
        self._accuracy.append(metrics[ACCURACY])
        if len(self._excess) < 2 * self.window:
            return {}
        border = self._step - self.window
        held_out = (
            [accuracy for when, accuracy in self._held_out if when <= border],
            [accuracy for when, accuracy in self._held_out if when > border],
        )
        drift = compare(*_halves(self._excess), policy_progress(held_out, _halves(self._accuracy)))
        return {
            "yes_excess": drift.later,
            "yes_drift": drift.rise,
            "accuracy_drift": drift.progress,
            "self_confirmation": float(drift.suspicious),
        }

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint; can be written as JSON."""
        return {
            "excess": list(self._excess),
            "accuracy": list(self._accuracy),
            "held_out": [list(point) for point in self._held_out],
            "step": self._step,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`; steps beyond two windows of this object's size are forgotten."""
        self._excess.extend(state["excess"])
        self._accuracy.extend(state["accuracy"])
        self._held_out.extend((step, accuracy) for step, accuracy in state["held_out"])
        self._step = state["step"]


def _halves(values: deque[float]) -> tuple[list[float], list[float]]:
    middle = len(values) // 2
    return list(values)[:middle], list(values)[middle:]
