r"""Values of expressions: exact where there are only numbers, at a few points where there are letters.

Two analytic expressions that agree at random points agree everywhere, with a probability of error far below that of a
bit flip (Schwartz 1980, Zippel 1979); two that differ at one point are different. Every value that is not exact has a
bound of its error beside it, so that "the same" and "different" are certain, and everything between is left open.

Where a root or a logarithm has no real value is outside the domain, unless the expression has an ``i`` in it: there
nothing is compared. So ``\sqrt{1/n}`` is ``1/\sqrt{n}``, and ``\sqrt{x^2}`` is not ``x``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from fractions import Fraction

from spark_verl.reward.certainty import all_of
from spark_verl.reward.evaluation import EPSILON, GENERAL, WHOLE, OutsideError, Point, Value, inexact
from spark_verl.reward.expression import Node, UnreadableError, called_letters, parse, parse_numbers

Real = Fraction | float

_ANY_BASE = (math.e, 10.0)
"""Of a logarithm without one; people mean either."""


def evaluate(text: str) -> Fraction:
    """The exact value of an expression of numbers.

    Args:
        text: Canonical text (see :mod:`spark_verl.reward.text`).

    Raises:
        MalformedError: It has only numbers, ``+ - * / ^ ! %``, fractions and brackets, and yet no value.
        UnreadableError: It has anything else, or the value, the nesting or the text is too large.
    """
    value, _ = Point(0, complex_=False).value(parse_numbers(text))
    if isinstance(value, Fraction):
        return value
    raise UnreadableError("root")


def constant(text: str) -> Real | None:
    """The real value of an expression without letters; None for anything else, for complex ones too."""
    try:
        node = parse(text)
        if node.has("symbol") or node.has("unknown") or _has_open_log(node):
            return None
        value, _ = Point(0, complex_=False).value(node)
    except UnreadableError:
        return None
    return None if isinstance(value, complex) else value


def same_function(a: str, b: str) -> bool | None:
    """Compare two expressions.

    Returns:
        True or False when certain; None when an expression cannot be read here or the values leave a doubt.
    """
    return _compare(a, b, _same)


def proportional(a: str, b: str, *, positive: bool = False) -> bool | None:
    """Whether one expression is the other times a number: then ``a = 0`` and ``b = 0`` say the same.

    Args:
        a: An expression.
        b: An expression.
        positive: Of a number above zero, which keeps ``a > 0``.

    Returns:
        As :func:`same_function`.
    """
    return _compare(a, b, functools.partial(_same_ratio, positive))


def _compare(a: str, b: str, judge: Callable[[list[tuple[Value, Value]]], bool | None]) -> bool | None:
    try:
        called = called_letters(a, b)
        nodes = parse(a, called), parse(b, called)
        complex_ = any(node.has("constant", "i") for node in nodes)
        bases = _ANY_BASE if any(map(_has_open_log, nodes)) else _ANY_BASE[:1]
        verdicts = {judge(_pairs(*nodes, complex_, base)) for base in bases}
    except UnreadableError:
        return None
    return verdicts.pop() if len(verdicts) == 1 else None


def _has_open_log(node: Node) -> bool:
    return (node.kind == "log" and len(node.parts) == 1) or any(map(_has_open_log, node.parts))


def _pairs(a: Node, b: Node, complex_: bool, log_base: float) -> list[tuple[Value, Value]]:
    """Values of both at the points where both have one; at one point where there are no letters."""
    free = any(node.has("symbol") or node.has("unknown") for node in (a, b))
    found: list[tuple[Value, Value]] = []
    for points in (GENERAL, WHOLE) if free else (GENERAL[:1],):
        for point in points:
            try:
                at = Point(point, complex_, log_base)
                found.append((at.value(a), at.value(b)))
            except OutsideError:
                continue
        if len(found) >= (2 if free else 1) and points is GENERAL or not free:
            return found
    if len(found) < len(WHOLE):
        raise UnreadableError("too few points")
    return found


def _same(pairs: list[tuple[Value, Value]]) -> bool | None:
    return all_of(_close(*pair) for pair in pairs) if pairs else None


def _close(a: Value, b: Value) -> bool | None:
    (x, e), (y, f) = a, b
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x == y
    x, y = inexact(x), inexact(y)
    difference, scale, error = abs(x - y), max(abs(x), abs(y)), e + f
    if difference <= 64 * error + 4 * EPSILON * scale:
        return True if 64 * error <= max(1e-9, 1e-7 * scale) and error <= 1e-10 * max(1.0, scale) else None
    return False if difference > max(1e-9 * scale, 1e4 * error) else None


def _same_ratio(positive: bool, pairs: list[tuple[Value, Value]]) -> bool | None:
    ratios: list[Value] = []
    for (x, e), (y, f) in pairs:
        x, y = inexact(x), inexact(y)
        small_x, small_y = (abs(value) <= 1e4 * error + 1e-280 for value, error in ((x, e), (y, f)))
        if small_x and small_y:
            continue
        if small_x or small_y:
            return False
        ratios.append((x / y, (e + abs(x / y) * f) / abs(y) + 4 * EPSILON * abs(x / y)))
    if not ratios:
        return None
    first = ratios[0]
    if positive and (isinstance(first[0], complex) or first[0] < 0):
        return False
    return _same([(first, other) for other in ratios])
