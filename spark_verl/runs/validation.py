"""What a run measures on held-out questions: verl's ``val-core/*`` by what it says about the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from spark_verl.vocabulary import Objective


@dataclass(frozen=True)
class Quantity:
    """A share that is validated: the plain mean over the data sources that belong to it.

    Attributes:
        objective: What is trained for it.
        label: Its name in a chart.
        text: What it is.
        source: Its data source; None for every source that is the policy's.
    """

    objective: Objective
    label: str
    text: str
    source: str | None

    def belongs(self, source: str) -> bool:
        """Whether a data source is one of its own."""
        return source == self.source if self.source else not source.startswith("spark/")

    def shares(self, data: Mapping[str, float]) -> dict[str, float]:
        """``{data source: share}`` of one step's metrics; empty where nothing of it was validated."""
        return {source: share for source, share in accuracies(data).items() if self.belongs(source)}


QUANTITIES = {
    "policy_acc": Quantity(Objective.POLICY, "Policy", "policy: answers right", None),
    "pointwise_acc": Quantity(
        Objective.POINTWISE, "Judge, pointwise", "judge, pointwise: is this answer right?", "spark/pointwise"
    ),
    "pairwise_acc": Quantity(
        Objective.PAIRWISE, "Judge, pairwise", "judge, pairwise: which one is right?", "spark/pairwise"
    ),
    "reflection_fix_rate": Quantity(
        Objective.REFLECTION, "Reflection, wrong put right", "reflection: wrong attempts put right", "spark/reflection"
    ),
    "reflection_keep_rate": Quantity(
        Objective.REFLECTION, "Reflection, right kept", "reflection: right attempts kept", "spark/reflection_keep"
    ),
}
"""By their names in ``summary.json``, in the order in which they are shown."""


def objective_of(source: str) -> Objective:
    """The objective that a validated data source measures."""
    return next(quantity.objective for quantity in QUANTITIES.values() if quantity.belongs(source))


def accuracies(data: Mapping[str, float]) -> dict[str, float]:
    """``{data source: accuracy}`` of one step's metrics; of ``mean@k`` with several k the largest one."""
    found: dict[str, tuple[int, float]] = {}
    for key, value in data.items():
        source, _, samples = key.partition("/acc/mean@")
        if key.startswith("val-core/") and samples.isdecimal():
            source = source.removeprefix("val-core/")
            found[source] = max(found.get(source, (0, 0.0)), (int(samples), value))
    return {source: value for source, (_, value) in found.items()}


def validated(data: Mapping[str, float]) -> dict[str, float]:
    """``{name: share}`` of the :data:`QUANTITIES` that one step's metrics hold."""
    return {name: fmean(shares.values()) for name, one in QUANTITIES.items() if (shares := one.shares(data))}
