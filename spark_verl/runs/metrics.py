"""``metrics.jsonl`` of a run as numbers one can plot, whatever state the file is in."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Records = dict[int, dict[str, float]]


@dataclass
class Metrics:
    """The finite numbers of a run's log.

    Attributes:
        steps: ``{step: {key: value}}`` in ascending order; step 0 holds the validation before training.
        resumed_after: Steps after which the log goes back to an earlier one: the run was resumed there.
        unreadable_lines: Lines that are no record (a killed run can leave half a line).
        not_finite: ``{key: how often}`` for values that are NaN, infinite or null (which is how verl writes NaN).
    """

    steps: Records = field(default_factory=dict)
    resumed_after: list[int] = field(default_factory=list)
    unreadable_lines: int = 0
    not_finite: Counter[str] = field(default_factory=Counter)

    @property
    def trained(self) -> list[int]:
        """Steps that were trained, ascending."""
        return [step for step, data in self.steps.items() if "timing_s/step" in data or "training/global_step" in data]

    @property
    def last_step(self) -> int | None:
        """The last step of the log; None when there is none."""
        return max(self.steps, default=None)

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Steps and values of one metric, both of shape (number of steps that have it,)."""
        found = [(step, data[key]) for step, data in self.steps.items() if key in data]
        return np.array([step for step, _ in found], dtype=int), np.array([value for _, value in found], dtype=float)

    def names(self, prefix: str) -> list[str]:
        """What follows ``prefix`` in the keys of any step, sorted."""
        keys = {key for data in self.steps.values() for key in data if key.startswith(prefix)}
        return sorted(key[len(prefix) :] for key in keys)

    def total(self, key: str) -> float:
        """Sum over the steps."""
        return float(self.series(key)[1].sum())


def read(path: Path) -> Metrics:
    """Read verl's file logger; an absent file gives no steps.

    Lines of the same step are merged. Where the log goes back to an earlier step, a run was resumed from a checkpoint:
    later steps of the abandoned part are dropped, as the final model has not seen them.

    Args:
        path: A file with one ``{"step": int, "data": {key: number}}`` per line.
    """
    metrics = Metrics()
    if not path.is_file():
        return metrics
    steps: Records = {}
    previous: int | None = None
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            record = _record(line)
            if record is None:
                metrics.unreadable_lines += bool(line.strip())
                continue
            step, data = record
            if previous is not None and step < previous:
                checkpoint = step - 1 if "timing_s/step" in data else step
                metrics.resumed_after.append(checkpoint)
                steps = {old: values for old, values in steps.items() if old <= checkpoint}
            previous = step
            values = steps.setdefault(step, {})
            for key, value in data.items():
                if isinstance(value, bool) or not isinstance(value, (int, float, type(None))):
                    continue
                if value is None or not math.isfinite(value):
                    metrics.not_finite[key] += 1
                else:
                    values[key] = float(value)
    metrics.steps = dict(sorted(steps.items()))
    return metrics


def _record(line: str) -> tuple[int, dict[str, Any]] | None:
    try:
        record = json.loads(line)
        step, data = record["step"], record["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if isinstance(step, bool) or not isinstance(step, int) or not isinstance(data, dict):
        return None
    return step, data


def rolling(
    steps: np.ndarray, values: np.ndarray, weights: np.ndarray, width: int, *, trailing: bool = False
) -> np.ndarray:
    """Weighted mean over a window of steps around (or up to) each step.

    Args:
        steps, values, weights: Shape (n,); weights are rows or groups, so that a step with few counts little.
        width: Window in steps.
        trailing: The window ends at the step instead of being centred on it.

    Returns:
        Shape (n,).
    """
    if trailing:
        inside = (steps[None, :] <= steps[:, None]) & (steps[None, :] > steps[:, None] - width)
    else:
        inside = 2 * np.abs(steps[None, :] - steps[:, None]) <= width
    mass = inside * np.maximum(weights, 1e-12)[None, :]
    return (mass * values[None, :]).sum(axis=1) / mass.sum(axis=1)


def smoothing_width(steps: Sequence[int]) -> int:
    """Steps of the moving average: an eighth of the run, between 3 and 25."""
    return min(25, max(3, round(len(steps) / 8)))


def weighted(metrics: Metrics, key: str, weight_key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps, values and weights of one metric; steps without the weight count as one row."""
    steps, values = metrics.series(key)
    weights = np.array([metrics.steps[int(step)].get(weight_key, 1.0) for step in steps])
    return steps, values, weights
