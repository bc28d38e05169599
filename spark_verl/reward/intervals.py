r"""Sets of real numbers: intervals, their unions, and the inequalities that describe them.

``(-\infty,-5]\cup[5,\infty)``, ``x \le -5 or x \ge 5``, ``|x| \ge 5``, ``\mathbb{R}\setminus\{0\}``, ``x \ne 0``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from spark_verl.reward.points import Real, constant

_INFINITE = re.compile(r"([+-]?)\s*\\infty|([+-]?)\s*(?:infinity|inf|oo)", re.IGNORECASE)
_CUP = re.compile(r"\\cup(?![A-Za-z])|(?<=[)\]])\s*(?:U|or)\s*(?=[(\[])")
_CAP = re.compile(r"\\cap(?![A-Za-z])")
_INTERVAL = re.compile(r"([(\[])(.+)([)\]])")
_REALS = re.compile(r"\\mathbb\{R\}|(?:the set of )?all real(?:s| numbers)?(?: x)?|R|全体实数|任意实数", re.IGNORECASE)
_WITHOUT = re.compile(r"\s*(?:\\setminus|,? ?(?:except|excluding|other than|but))(?![A-Za-z])\s*(?:for )?")


@dataclass(frozen=True)
class Interval:
    """An interval of real numbers, not empty.

    Attributes:
        low: Lower bound, exact where it is rational.
        low_closed: Whether it belongs to it.
        high: Upper bound.
        high_closed: Whether it belongs to it.
    """

    low: Real
    low_closed: bool
    high: Real
    high_closed: bool


Intervals = tuple[Interval, ...]
"""A set: in order, and nothing that could be joined."""

EVERYTHING: Intervals = (Interval(-math.inf, False, math.inf, False),)


def read_intervals(text: str) -> Intervals | None:
    """Read intervals with constant bounds, and their unions; None for anything else. ``(1,2)`` may also be a pair."""
    base, *without = _WITHOUT.split(text)
    if len(without) == 1:
        found = read_intervals(base)
        holes = _points(without[0])
        return intersection(found, *(beside("\\ne", hole) for hole in holes)) if found and holes else None
    if _REALS.fullmatch(text):
        return EVERYTHING
    for sign, join in ((_CUP, union), (_CAP, intersection)):
        parts = [part.strip() for part in sign.split(text)]
        if len(parts) > 1:
            sets = [read_intervals(part) for part in parts]
            return None if not all(sets) else join(*(one for one in sets if one))
    return _interval(text)


def _interval(text: str) -> Intervals | None:
    match = _INTERVAL.fullmatch(text)
    bounds = [bound(part.strip()) for part in match[2].split(",")] if match else []
    if match is None or len(bounds) != 2:
        points = _points(text) if text[:1] in "\\{" else None
        return union(*((Interval(point, True, point, True),) for point in points)) if points else None
    low, high = bounds
    if low is None or high is None or not low < high:
        return None
    if (low == -math.inf and match[1] == "[") or (high == math.inf and match[3] == "]"):
        return None
    return (Interval(low, match[1] == "[", high, match[3] == "]"),)


def _points(text: str) -> list[Real] | None:
    inner = re.sub(r"^(?:\\?\{)|(?:\\?\})$", "", text.strip())
    inner = re.sub(r"^[a-z] ?(?:=|\\ne) ?", "", inner)
    found = [bound(part.strip()) for part in re.split(r",| and ", inner)]
    return None if None in found else [point for point in found if point is not None]


def bound(text: str) -> Real | None:
    """A constant, or plus or minus infinity."""
    if match := _INFINITE.fullmatch(text):
        return -math.inf if "-" in (match[1], match[2]) else math.inf
    return constant(text)


def solution(left: str, sign: str, right: str) -> tuple[str, Intervals] | None:
    """What an inequality says of a variable: its name, and where it is; None unless it has one alone on a side.

    Args:
        left: Left side, canonical.
        sign: ``<``, ``>``, ``\\le``, ``\\ge`` or ``\\ne``.
        right: Right side.
    """
    value, name = bound(right), left.strip()
    if value is None:
        value, name, sign = bound(left), right.strip(), _TURNED[sign]
    if value is None:
        return None
    if size := re.fullmatch(r"\| ?(\\?[A-Za-z]+(?:_\{\w+\})?) ?\|", name):
        if not 0 < value < math.inf:
            return None
        sides = beside(sign, value), beside(_TURNED[sign], -value)
        return size[1], union(*sides) if sign in (">", "\\ge") else intersection(*sides)
    if not re.fullmatch(r"\\?[A-Za-z]+(?:_\{\w+\})?'?(?: ?\([a-z]\))?", name) or name in ("\\infty", "\\pi", "e", "i"):
        return None
    return name, beside(sign, value)


_TURNED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "\\ne": "\\ne"}


def beside(sign: str, value: Real) -> Intervals:
    """The numbers that are ``<``, ``>``, ``\\le``, ``\\ge`` or ``\\ne`` a value."""
    if sign == "\\ne":
        return union(beside("<", value), beside(">", value))
    if sign in ("<", "\\le"):
        return (Interval(-math.inf, False, value, sign == "\\le" and value != math.inf),)
    return (Interval(value, sign == "\\ge" and value != -math.inf, math.inf, False),)


def union(*sets: Intervals) -> Intervals:
    """What is in one of them, joined where it touches."""
    found: list[Interval] = []
    for part in sorted((part for one in sets for part in one), key=lambda part: (part.low, not part.low_closed)):
        last = found[-1] if found else None
        touches = last and (part.low < last.high or (part.low == last.high and (part.low_closed or last.high_closed)))
        if last and touches:
            high, closed = max((last.high, last.high_closed), (part.high, part.high_closed))
            found[-1] = Interval(last.low, last.low_closed, high, closed)
        else:
            found.append(part)
    return tuple(found)


def intersection(*sets: Intervals) -> Intervals:
    """What is in all of them."""
    found: Iterable[Interval] = EVERYTHING
    for one in sets:
        found = [both for a in found for b in one if (both := _common(a, b))]
    return tuple(found)


def _common(a: Interval, b: Interval) -> Interval | None:
    low, low_open = max((a.low, not a.low_closed), (b.low, not b.low_closed))
    high, high_closed = min((a.high, a.high_closed), (b.high, b.high_closed))
    if low > high or (low == high and (low_open or not high_closed)):
        return None
    return Interval(low, not low_open, high, high_closed)


def same_intervals(a: Intervals, b: Intervals) -> bool:
    """Whether two sets are one."""
    return len(a) == len(b) and all(
        (x.low_closed, x.high_closed) == (y.low_closed, y.high_closed)
        and _same_bound(x.low, y.low)
        and _same_bound(x.high, y.high)
        for x, y in zip(a, b, strict=True)
    )


def _same_bound(a: Real, b: Real) -> bool:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a == b
    return a == b or math.isclose(a, b, rel_tol=1e-11, abs_tol=1e-13)
