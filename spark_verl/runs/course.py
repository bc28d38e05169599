"""A run's metrics over its course: beginning and end, sums and extremes."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from spark_verl.runs.metrics import Metrics
from spark_verl.runs.validation import validated

MIN_PROMPTS = 50
"""With fewer judge prompts in the last third nothing is said about shares of labels."""
MIN_STEPS = 12
"""With fewer steps nothing is said about whether something was learned."""


class Course:
    """A run's metrics as the rules ask for them; whatever the log does not have is NaN.

    Args:
        log: The run's metrics.
    """

    def __init__(self, log: Metrics) -> None:
        self.log = log
        self.steps = [values for _, values in sorted(log.steps.items()) if "timing_s/step" in values]
        self.validations = [found for _, values in sorted(log.steps.items()) if (found := validated(values))]

    def first(self, key: str) -> float:
        """Mean over the first third of the steps that have it, weighed by the rows that it is about."""
        return self._mean(key, lambda have: have[: max(1, len(have) // 3)])

    def last(self, key: str) -> float:
        """The same over the last third."""
        return self._mean(key, lambda have: have[-max(1, len(have) // 3) :])

    def _mean(self, key: str, part: Callable[[list], list]) -> float:
        chosen = part([values for values in self.steps if key in values])
        count = f"{key.rpartition('/')[0]}/count"
        weights = [values.get(count, 1.0) for values in chosen]
        return float(np.average([values[key] for values in chosen], weights=weights)) if any(weights) else math.nan

    def prompts(self, prefix: str) -> float:
        """Groups of an objective (``spark/judge/pointwise``) in the last third of the steps that have any."""
        have = [values[f"{prefix}/groups"] for values in self.steps if f"{prefix}/groups" in values]
        return sum(have[-max(1, len(have) // 3) :])

    def total(self, *keys: str) -> float:
        """Sum over all steps; a step without it counts 0."""
        return float(sum(values.get(key, 0.0) for values in self.steps for key in keys))

    def least(self, key: str) -> float:
        """The smallest value of any step."""
        return min((values[key] for values in self.steps if key in values), default=math.nan)

    def progress(self, name: str) -> float:
        """Change of a validated share from the first to the last validation."""
        have = [found[name] for found in self.validations if name in found]
        return have[-1] - have[0] if len(have) > 1 else math.nan

    @property
    def long_enough(self) -> bool:
        """Whether something could have been learned."""
        return len(self.steps) >= MIN_STEPS
