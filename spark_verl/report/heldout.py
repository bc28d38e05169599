"""Held-out accuracy per objective: ``val-core/*`` of the log, with the number of prompts behind each value."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from spark_verl.runs.metrics import Metrics
from spark_verl.runs.summary import VALIDATED
from spark_verl.statistics import effective, wilson

OBJECTIVE_OF = {
    "policy_acc": "policy",
    "pointwise_acc": "pointwise",
    "pairwise_acc": "pairwise",
    "reflection_fix_rate": "reflection",
    "reflection_keep_rate": "reflection",
}
"""Name of a validated quantity → the objective whose training curve it belongs to."""

SHORT = {
    "policy_acc": "Policy",
    "pointwise_acc": "Judge, pointwise",
    "pairwise_acc": "Judge, pairwise",
    "reflection_fix_rate": "Reflection, wrong put right",
    "reflection_keep_rate": "Reflection, right kept",
}


@dataclass(frozen=True)
class HeldOut:
    """One validated share.

    Attributes:
        step: Training step after which it was measured.
        share: In [0, 1]; the plain mean over the data sources.
        prompts: Number of prompts over all sources; None when no file of the run tells.
        low, high: 95 % interval; None without ``prompts``.
        sources: The data sources it is the mean of, if there are several.
    """

    step: int
    share: float
    prompts: int | None = None
    low: float | None = None
    high: float | None = None
    sources: Mapping[str, HeldOut] = field(default_factory=dict)

    @property
    def bounds(self) -> tuple[float, float, float] | None:
        """(share, low, high), or None without an interval."""
        return None if self.low is None or self.high is None else (self.share, self.low, self.high)


def held_out(metrics: Metrics, sizes: Mapping[str, int]) -> dict[str, list[HeldOut]]:
    """Every validated quantity over the steps, in the order of :data:`spark_verl.runs.summary.VALIDATED`.

    Several samples of one prompt (``mean@k``) are no independent observations; each prompt counts once.

    Args:
        metrics: Of the run.
        sizes: ``{data source: prompts}`` as far as they are known.
    """
    found: dict[str, list[HeldOut]] = {}
    for name, (_, belongs) in VALIDATED.items():
        points = [point for step in metrics.steps if (point := _point(metrics, step, belongs, sizes))]
        if points:
            found[name] = points
    return found


def _point(metrics: Metrics, step: int, belongs: Callable[[str], bool], sizes: Mapping[str, int]) -> HeldOut | None:
    by_source = {source: value for source, value in accuracies(metrics.steps[step]).items() if belongs(source)}
    if not by_source:
        return None
    if len(by_source) > 1:
        parts = {source: _measured(step, [value], [sizes.get(source)]) for source, value in sorted(by_source.items())}
    else:
        parts = {}
    return _measured(step, list(by_source.values()), [sizes.get(source) for source in by_source], parts)


def _measured(
    step: int, shares: list[float], prompts: list[int | None], parts: Mapping[str, HeldOut] | None = None
) -> HeldOut:
    share = sum(shares) / len(shares)
    known = [count for count in prompts if count]
    # A metric outside [0, 1] is no share (a reward function of the user's own): it has no such interval.
    if not 0 <= share <= 1 or len(known) < len(prompts):
        return HeldOut(step, share, sources=parts or {})
    low, high = wilson(share, effective(known))
    return HeldOut(step, share, sum(known), low, high, parts or {})


def accuracies(data: Mapping[str, float]) -> dict[str, float]:
    """``{data source: accuracy}`` of one step's metrics; the largest number of samples where there are several."""
    found: dict[str, tuple[int, float]] = {}
    for key, value in data.items():
        parts = key.split("/")
        if parts[0] == "val-core" and len(parts) >= 4 and parts[-2] == "acc" and parts[-1].startswith("mean@"):
            source, samples = "/".join(parts[1:-2]), parts[-1][len("mean@") :]
            rank = int(samples) if samples.isdecimal() else 0
            if source not in found or rank > found[source][0]:
                found[source] = (rank, value)
    return {source: value for source, (_, value) in found.items()}


def source_sizes(
    metrics: Metrics, in_files: Mapping[str, int], dumped: Mapping[str, int], dumped_sources: Mapping[str, int]
) -> dict[str, int]:
    """Prompts of each validated data source, from the best evidence there is.

    Args:
        metrics: Of the run: which sources were validated.
        in_files: ``{data source: rows}`` of the validation files, where they are still there.
        dumped: ``{objective: prompts}`` of a validation dump; tells only where an objective has one source.
        dumped_sources: ``{data source: prompts}`` of a validation dump that has the column.
    """
    sources = {source for data in metrics.steps.values() for source in accuracies(data)}
    by_objective: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        by_objective[_objective(source)].append(source)
    sizes: Counter[str] = Counter()
    for objective, members in by_objective.items():
        if len(members) == 1 and objective in dumped:
            sizes[members[0]] = dumped[objective]
    sizes.update({source: rows for source, rows in in_files.items() if source in sources and source not in sizes})
    for source, rows in dumped_sources.items():
        if source in sources:
            sizes[source] = rows
    return dict(sizes)


def _objective(source: str) -> str:
    if not source.startswith("spark/"):
        return "policy"
    objective = source[len("spark/") :]
    return "reflection" if objective.startswith("reflection") else objective
