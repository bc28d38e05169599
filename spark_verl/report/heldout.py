"""Held-out accuracy per quantity, with the number of prompts behind each value and the interval that follows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from spark_verl.runs.metrics import Steps
from spark_verl.runs.validation import QUANTITIES, objective_of
from spark_verl.statistics import effective, wilson


@dataclass(frozen=True)
class HeldOut:
    """One validated share.

    Attributes:
        step: Training step after which it was measured.
        share: In [0, 1]; the plain mean over the data sources.
        prompts: Number of prompts over all sources; None when no file of the run tells.
        bounds: (share, low, high) of its 95 % interval; None without ``prompts``.
        sources: The data sources it is the mean of, if there are several.
    """

    step: int
    share: float
    prompts: int | None = None
    bounds: tuple[float, float, float] | None = None
    sources: Mapping[str, HeldOut] = field(default_factory=dict)


def held_out(steps: Steps, sizes: Mapping[str, int]) -> dict[str, list[HeldOut]]:
    """Every validated quantity over the steps, in the order of :data:`spark_verl.runs.validation.QUANTITIES`.

    Several samples of one prompt (``mean@k``) are no independent observations; each prompt counts once.

    Args:
        steps: Of the run's log.
        sizes: ``{data source: prompts}`` as far as they are known.
    """
    found = {
        name: [_measured(step, shares, sizes) for step, data in steps.items() if (shares := quantity.shares(data))]
        for name, quantity in QUANTITIES.items()
    }
    return {name: points for name, points in found.items() if points}


def _measured(step: int, shares: Mapping[str, float], sizes: Mapping[str, int]) -> HeldOut:
    several = len(shares) > 1
    parts = {name: _measured(step, {name: shares[name]}, sizes) for name in sorted(shares)} if several else {}
    share = fmean(shares.values())
    known = [sizes[source] for source in shares if sizes.get(source)]
    # A metric outside [0, 1] is no share (a reward function of the user's own): it has no such interval.
    if not 0 <= share <= 1 or len(known) < len(shares):
        return HeldOut(step, share, sources=parts)
    return HeldOut(step, share, sum(known), (share, *wilson(share, effective(known))), parts)


def source_sizes(
    sources: Iterable[str], in_files: Mapping[str, int], dumped: Mapping[str, int], dumped_sources: Mapping[str, int]
) -> dict[str, int]:
    """Prompts of each validated data source, from the best evidence there is.

    Args:
        sources: Those that were validated.
        in_files: ``{data source: rows}`` of the validation files, where they are still there.
        dumped: ``{objective: prompts}`` of a validation dump; tells only where an objective has one source.
        dumped_sources: ``{data source: prompts}`` of a validation dump that has the column.
    """
    by_objective: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        by_objective[objective_of(source)].append(source)
    alone = {of[0]: dumped[name] for name, of in by_objective.items() if len(of) == 1 and name in dumped}
    known = {**in_files, **alone, **dumped_sources}
    return {source: known[source] for of in by_objective.values() for source in of if source in known}
