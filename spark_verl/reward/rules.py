"""The table of rules: which kinds can be equal, and how.

Two values are compared by the rules for their two kinds, in the order in which these were added; the first that is
certain decides. Kinds without a common rule are different things: what cannot be told is not rewarded.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from spark_verl.reward.certainty import all_of
from spark_verl.reward.text import squash
from spark_verl.reward.values import Kind, Value

Rule = Callable[[Value, Value, float | None], bool | None]
RULES: dict[tuple[Kind, Kind], list[Rule]] = {}
"""By the kinds of answer and truth. A rule takes both and the relative tolerance for numbers."""


def equal(answer: Value, truth: Value, tolerance: float | None = None) -> bool | None:
    """Compare two values.

    Returns:
        True or False when certain; None when only algebra can tell.
    """
    if squash(answer.text) == squash(truth.text):
        return True
    rules = RULES.get((answer.kind, truth.kind), ())
    for compares in rules:
        decided = compares(answer, truth, tolerance)
        if decided is not None:
            return decided
    return None if rules else False


def rule(answers: str, truths: str, *, swapped: bool = False) -> Callable[[Rule], Rule]:
    """Add a rule for all pairs of these kinds, named by their values; ``swapped``: also the other way round."""
    pairs = set(product(map(Kind, answers.split()), map(Kind, truths.split())))

    def add(compares: Rule) -> Rule:
        for pair in pairs | ({(t, a) for a, t in pairs} if swapped else set()):
            RULES.setdefault(pair, []).append(compares)
        return compares

    return add


def all_equal(a: tuple[Value, ...], t: tuple[Value, ...], tolerance: float | None) -> bool | None:
    """Whether there are as many values here as there, equal one by one."""
    return len(a) == len(t) and all_of(equal(x, y, tolerance) for x, y in zip(a, t, strict=True))
