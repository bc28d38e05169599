"""The reader of ``metrics.jsonl``, verl's file logger: one ``{"step": int, "data": {key: number}}`` per line."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

Steps = dict[int, dict[str, float]]
"""``{step: {key: value}}``, ascending; step 0 holds the validation before training."""


@dataclass
class Metrics:
    """The finite numbers of a run's log, and what was odd about it.

    Attributes:
        steps: What the final model has seen.
        resumed_after: Steps after which the log goes back to an earlier one: the run was resumed there.
        unreadable_lines: Lines that are no JSON (a killed run leaves half a line).
        not_finite: ``{key: how often}`` for values that are NaN, infinite or null (which is how verl writes NaN).
    """

    steps: Steps = field(default_factory=dict)
    resumed_after: list[int] = field(default_factory=list)
    unreadable_lines: int = 0
    not_finite: Counter[str] = field(default_factory=Counter)


def read(path: Path) -> Metrics:
    """Read a log, finished or not.

    Lines of the same step are merged. Where the log goes back to an earlier step, a run was resumed from a checkpoint:
    later steps of the abandoned part are dropped, as the final model has not seen them.

    Raises:
        FileNotFoundError: There is no such file: the run wrote no metrics.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: did the run start, with `file` among trainer.logger?")
    found = Metrics()
    previous = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
                step, data = record["step"], record["data"]
            except (ValueError, KeyError):
                found.unreadable_lines += bool(line.strip())
                continue
            if step < previous:
                checkpoint = step - 1 if "timing_s/step" in data else step
                found.resumed_after.append(checkpoint)
                found.steps = {old: values for old, values in found.steps.items() if old <= checkpoint}
            previous = step
            values = found.steps.setdefault(step, {})
            for key, value in data.items():
                if value is None or isinstance(value, float) and not math.isfinite(value):
                    found.not_finite[key] += 1
                elif isinstance(value, (int, float)):
                    values[key] = float(value)
    return found


def read_metrics(path: Path) -> Steps:
    """The steps of :func:`read`."""
    return read(path).steps
