r"""Values of expressions: exact where there are only numbers, at a few points where there are letters.

Two analytic expressions that agree at random points agree everywhere, with a probability of error far below that of a
bit flip (Schwartz 1980, Zippel 1979); two that differ at one point are different. Every value that is not exact has a
bound of its error beside it, so that "the same" and "different" are certain, and everything between is left open.

Where a root or a logarithm has no real value is outside the domain, unless the expression has an ``i`` in it: there
nothing is compared. So ``\sqrt{1/n}`` is ``1/\sqrt{n}``, and ``\sqrt{x^2}`` is not ``x``.
"""

from __future__ import annotations

import cmath
import functools
import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from spark_verl.reward.expression import MalformedError, Node, UnreadableError, called_letters, parse, parse_numbers

Real = Fraction | float
Value = tuple[Fraction | float | complex, float]
"""A value and a bound of its absolute error; exact ones have none."""

_MAX_BITS, _MAX_FACTORIAL = 60_000, 3_000
_UNIT = 2.0**-52
_GENERAL, _WHOLE = range(6), range(6, 12)
_RANGES = ((0.3, 1.7), (0.3, 1.7), (-2.5, 2.5), (-2.5, 2.5), (2.0, 30.0), (-30.0, -2.0))
_ANY_BASE = (math.e, 10.0)
"""Of a logarithm without one; people mean either."""


class OutsideError(UnreadableError):
    """The expression has no value here, or none that a computer holds."""


def evaluate(text: str) -> Fraction:
    """The exact value of an expression of numbers.

    Args:
        text: Canonical text (see :mod:`spark_verl.reward.text`).

    Raises:
        MalformedError: It has only numbers, ``+ - * / ^ ! %``, fractions and brackets, and yet no value.
        UnreadableError: It has anything else, or the value, the nesting or the text is too large.
    """
    value, _ = _At(0, complex_=False).value(parse_numbers(text))
    if isinstance(value, Fraction):
        return value
    raise UnreadableError("root")


def constant(text: str) -> Real | None:
    """The real value of an expression without letters; None for anything else, for complex ones too."""
    try:
        node = parse(text)
        if node.has("symbol") or node.has("unknown") or _has_open_log(node):
            return None
        value, _ = _At(0, complex_=False).value(node)
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
    for points in (_GENERAL, _WHOLE) if free else (_GENERAL[:1],):
        for point in points:
            try:
                at = _At(point, complex_, log_base)
                found.append((at.value(a), at.value(b)))
            except OutsideError:
                continue
        if len(found) >= (2 if free else 1) and points is _GENERAL or not free:
            return found
    if len(found) < len(_WHOLE):
        raise UnreadableError("too few points")
    return found


def _same(pairs: list[tuple[Value, Value]]) -> bool | None:
    verdicts = [_close(*pair) for pair in pairs]
    return False if False in verdicts else None if None in verdicts or not verdicts else True


def _close(a: Value, b: Value) -> bool | None:
    (x, e), (y, f) = a, b
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x == y
    x, y = _inexact(x), _inexact(y)
    difference, scale, error = abs(x - y), max(abs(x), abs(y)), e + f
    if difference <= 64 * error + 4 * _UNIT * scale:
        return True if 64 * error <= max(1e-9, 1e-7 * scale) and error <= 1e-10 * max(1.0, scale) else None
    return False if difference > max(1e-9 * scale, 1e4 * error) else None


def _same_ratio(positive: bool, pairs: list[tuple[Value, Value]]) -> bool | None:
    ratios: list[Value] = []
    for (x, e), (y, f) in pairs:
        x, y = _inexact(x), _inexact(y)
        small_x, small_y = (abs(value) <= 1e4 * error + 1e-280 for value, error in ((x, e), (y, f)))
        if small_x and small_y:
            continue
        if small_x or small_y:
            return False
        ratios.append((x / y, (e + abs(x / y) * f) / abs(y) + 4 * _UNIT * abs(x / y)))
    if not ratios:
        return None
    first = ratios[0]
    if positive and (isinstance(first[0], complex) or first[0] < 0):
        return False
    return _same([(first, other) for other in ratios])


# -- values ------------------------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=4096)
def _letter(name: str, point: int) -> float | Fraction:
    rng = random.Random(f"{name} {point}")
    if point in _WHOLE:
        return Fraction(rng.randrange(2, 12))
    return rng.uniform(*_RANGES[point])


def _inexact(value: Fraction | float | complex) -> float | complex:
    if not isinstance(value, Fraction):
        return value
    try:
        found = float(value)
    except OverflowError:
        raise OutsideError("too large") from None
    if value and abs(found) < 1e-290:
        raise OutsideError("too small")
    return found


class _At:
    """The values of expressions at one point."""

    def __init__(self, point: int, complex_: bool, log_base: float = math.e) -> None:
        self._point = point
        self._complex = complex_
        self._log_base = log_base

    def value(self, node: Node) -> Value:
        """See :data:`Value`.

        Raises:
            MalformedError: Numbers that have none, as in 1/0.
            OutsideError: There is none here.
        """
        parts = [self.value(part) for part in node.parts]
        try:
            found = self._value(node, parts)
        except (OverflowError, ZeroDivisionError, ValueError) as error:
            if isinstance(error, UnreadableError):
                raise
            raise OutsideError(str(error)) from None
        if isinstance(found[0], Fraction):
            if max(found[0].numerator.bit_length(), found[0].denominator.bit_length()) > _MAX_BITS:
                raise UnreadableError("value")
        elif not cmath.isfinite(found[0]) or not math.isfinite(found[1]):
            raise OutsideError("not finite")
        return found

    def _value(self, node: Node, parts: list[Value]) -> Value:
        match node.kind, parts:
            case "number", []:
                return Fraction(node.text.replace(",", "").rstrip(".")), 0.0
            case "symbol", []:
                value = _letter(node.text, self._point)
                return value, 0.0
            case "constant", []:
                return {"e": math.e, "pi": math.pi, "i": 1j}[node.text], 0.0 if node.text == "i" else _UNIT
            case "negative", [(x, e)]:
                return -x, e
            case (("+" | "-"), [(x, e), (y, f)]):
                x, y = _both(x, y)
                total = x + y if node.kind == "+" else x - y
                return total, _rounded(total, e + f)
            case "*", [(x, e), (y, f)]:
                x, y = _both(x, y)
                product = x * y
                return product, _rounded(product, float(abs(x)) * f + float(abs(y)) * e if e or f else 0.0)
            case "/", [a, b]:
                return self._quotient(a, b)
            case "^", [a, b]:
                return self._power(a, b)
            case "%", [(x, e)]:
                return x / 100, e / 100
            case "°", [(x, e)]:
                radians = _inexact(x) * math.pi / 180
                return radians, _rounded(radians, e)
            case "!", [a]:
                return self._factorial(a)
            case "binomial", [(Fraction() as n, _), (Fraction() as k, _)] if n.denominator == k.denominator == 1:
                if not 0 <= k <= n <= _MAX_FACTORIAL:
                    raise OutsideError("binomial")
                return Fraction(math.comb(int(n), int(k))), 0.0
            case "binomial", [(x, e), (y, f)]:
                n, k = self._factorial((x, e)), self._factorial((y, f))
                rest = self._factorial((_inexact(x) - _inexact(y), e + f))
                return self._quotient(self._quotient(n, k), rest)
            case "root", [a, *index]:
                degree = index[0][0] if index else Fraction(2)
                if not isinstance(degree, Fraction) or degree.denominator != 1 or not 2 <= degree <= 100:
                    raise UnreadableError("index of a root")
                return self._power(a, (1 / degree, 0.0))
            case "log", [a, *base]:
                top = self._call("ln", a)
                return self._quotient(top, self._call("ln", base[0] if base else (self._log_base, _UNIT)))
            case "unknown", [(x, e)]:
                seed = random.Random(node.text).uniform(1, 2)
                x = _inexact(x)
                value = cmath.sin(seed * x + seed) if isinstance(x, complex) else math.sin(seed * x + seed) + seed / 3
                return value, _rounded(value, 4 * e)
            case "call", [a]:
                return self._call(node.text, a)
        raise UnreadableError(node.kind)

    def _quotient(self, a: Value, b: Value) -> Value:
        (x, e), (y, f) = a, b
        if isinstance(y, Fraction) and y == 0 and isinstance(x, Fraction):
            raise MalformedError("division by zero")
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return x / y, 0.0
        x, y = _inexact(x), _inexact(y)
        size = abs(_inexact(y))
        if size <= 16 * f:
            raise OutsideError("division by almost zero")
        quotient = x / y
        return quotient, _rounded(quotient, (e + abs(quotient) * f) / size)

    def _power(self, a: Value, b: Value) -> Value:
        (x, e), (y, f) = a, b
        whole = isinstance(y, Fraction) and y.denominator == 1
        if x == 0 and (isinstance(y, complex) or y <= 0):
            raise MalformedError("power of zero")
        if isinstance(x, Fraction) and isinstance(y, Fraction) and whole:
            if abs(y) * max(x.numerator.bit_length(), x.denominator.bit_length()) > _MAX_BITS and abs(x) != 1:
                raise UnreadableError("power")
            return x ** int(y), 0.0
        base, exponent = _inexact(x), _inexact(y)
        size = abs(base)
        if size <= 16 * e or size == 0:
            # The root of what may be zero: only exactly zero has one that is certain
            if x == 0 and e == 0.0:
                return Fraction(0), 0.0
            raise OutsideError("power of almost zero")
        if whole:
            power = base ** int(y)
        elif isinstance(base, complex) or isinstance(exponent, complex) or (self._complex and base < 0):
            power = cmath.exp(exponent * cmath.log(base))
        elif base > 0:
            power = base**exponent
        elif isinstance(y, Fraction) and y.denominator % 2:
            power = (-1) ** (y.numerator % 2) * size**exponent
        else:
            raise OutsideError("no real power")
        bound = abs(power) * (abs(exponent) * e / size + (abs(cmath.log(base)) * f if f else 0.0))
        return power, _rounded(power, bound, 4 + abs(exponent))

    def _factorial(self, a: Value) -> Value:
        x, e = a
        if isinstance(x, Fraction) and x.denominator == 1:
            if x < 0:
                raise MalformedError("factorial of a number that is not natural")
            if x > _MAX_FACTORIAL:
                raise UnreadableError("factorial")
            return Fraction(math.factorial(int(x))), 0.0
        if isinstance(x, Fraction):
            raise MalformedError("factorial of a number that is not natural")
        if isinstance(x, complex) or x < -0.9:
            raise OutsideError("factorial")
        value = math.gamma(x + 1)
        return value, _rounded(value, value * e * (2 + abs(x)), 64 + 64 * abs(x))

    def _call(self, name: str, a: Value) -> Value:
        x, e = a
        if name == "abs":
            return abs(x), e
        if name in ("floor", "ceil"):
            whole = isinstance(x, Fraction)
            if isinstance(x, complex) or (not whole and abs(x - round(x)) < 1e-6):
                raise OutsideError(name)
            return Fraction(math.floor(x) if name == "floor" else math.ceil(x)), 0.0
        x = _inexact(x)
        if self._complex and not isinstance(x, complex) and (name in ("ln", "lg") and x < 0):
            x = complex(x)
        of = _FUNCTIONS[name][isinstance(x, complex)]
        value = of(x)
        step = 1e-6 * (1 + abs(x))
        slope = 0.0
        if e:
            try:
                slope = abs(of(x + step) - value) / step
            except ValueError:
                slope = abs(of(x - step) - value) / step
        return value, _rounded(value, 2 * slope * e, 8)


def _both(x: Fraction | float | complex, y: Fraction | float | complex) -> tuple[Any, Any]:
    """Both exact, or neither."""
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x, y
    return _inexact(x), _inexact(y)


def _rounded(value: Fraction | float | complex, error: float, steps: float = 1) -> float:
    return 0.0 if isinstance(value, Fraction) else error + steps * _UNIT * abs(value)


def _lg(x: Any) -> Any:
    return cmath.log10(x) if isinstance(x, complex) else math.log10(x)


_FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    **{name: (getattr(math, name), getattr(cmath, name)) for name in "sin cos tan sinh cosh tanh exp".split()},
    **{f"arc{name}": (getattr(math, f"a{name}"), getattr(cmath, f"a{name}")) for name in ("sin", "cos", "tan")},
    "arccot": (lambda x: math.pi / 2 - math.atan(x), lambda x: math.pi / 2 - cmath.atan(x)),
    "cot": (lambda x: 1 / math.tan(x), lambda x: 1 / cmath.tan(x)),
    "sec": (lambda x: 1 / math.cos(x), lambda x: 1 / cmath.cos(x)),
    "csc": (lambda x: 1 / math.sin(x), lambda x: 1 / cmath.sin(x)),
    "ln": (math.log, cmath.log),
    "lg": (_lg, _lg),
}
"""Of real and of complex numbers."""
