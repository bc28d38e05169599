"""The value of an expression at one point, with a bound of its error."""

from __future__ import annotations

import cmath
import functools
import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from spark_verl.reward.expression import MalformedError, Node, UnreadableError

Value = tuple[Fraction | float | complex, float]
"""A value and a bound of its absolute error; exact ones have none."""

GENERAL, WHOLE = range(6), range(6, 12)
"""Points: numbers of either sign and different sizes, and small natural numbers."""

_MAX_BITS, _MAX_FACTORIAL = 60_000, 3_000
EPSILON = 2.0**-52
_RANGES = ((0.3, 1.7), (0.3, 1.7), (-2.5, 2.5), (-2.5, 2.5), (2.0, 30.0), (-30.0, -2.0))


class OutsideError(UnreadableError):
    """The expression has no value here, or none that a computer holds."""


@functools.lru_cache(maxsize=4096)
def _letter(name: str, point: int) -> float | Fraction:
    rng = random.Random(f"{name} {point}")
    if point in WHOLE:
        return Fraction(rng.randrange(2, 12))
    return rng.uniform(*_RANGES[point])


def inexact(value: Fraction | float | complex) -> float | complex:
    if not isinstance(value, Fraction):
        return value
    try:
        found = float(value)
    except OverflowError:
        raise OutsideError("too large") from None
    if value and abs(found) < 1e-290:
        raise OutsideError("too small")
    return found


class Point:
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
                return _letter(node.text, self._point), 0.0
            case "constant", []:
                return {"e": math.e, "pi": math.pi, "i": 1j}[node.text], 0.0 if node.text == "i" else EPSILON
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
                radians = inexact(x) * math.pi / 180
                return radians, _rounded(radians, e)
            case "!", [a]:
                return self._factorial(a)
            case "binomial", [(Fraction() as n, _), (Fraction() as k, _)] if n.denominator == k.denominator == 1:
                if not 0 <= k <= n <= _MAX_FACTORIAL:
                    raise OutsideError("binomial")
                return Fraction(math.comb(int(n), int(k))), 0.0
            case "binomial", [(x, e), (y, f)]:
                n, k = self._factorial((x, e)), self._factorial((y, f))
                rest = self._factorial((inexact(x) - inexact(y), e + f))
                return self._quotient(self._quotient(n, k), rest)
            case "root", [a, *index]:
                degree = index[0][0] if index else Fraction(2)
                if not isinstance(degree, Fraction) or degree.denominator != 1 or not 2 <= degree <= 100:
                    raise UnreadableError("index of a root")
                return self._power(a, (1 / degree, 0.0))
            case "log", [a, *base]:
                top = self._call("ln", a)
                return self._quotient(top, self._call("ln", base[0] if base else (self._log_base, EPSILON)))
            case "unknown", [(x, e)]:
                seed = random.Random(f"{node.text} {self._point}").uniform(1, 2)
                x = inexact(x)
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
        x, y = inexact(x), inexact(y)
        size = abs(y)
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
        base, exponent = inexact(x), inexact(y)
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
        x = inexact(x)
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
    return inexact(x), inexact(y)


def _rounded(value: Fraction | float | complex, error: float, steps: float = 1) -> float:
    return 0.0 if isinstance(value, Fraction) else error + steps * EPSILON * abs(value)


_FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    **{name: (getattr(math, name), getattr(cmath, name)) for name in "sin cos tan sinh cosh tanh exp".split()},
    **{
        f"arc{name}": (getattr(math, f"a{name}"), getattr(cmath, f"a{name}"))
        for name in "sin cos tan sinh cosh tanh".split()
    },
    "arccot": (lambda x: math.pi / 2 - math.atan(x), lambda x: math.pi / 2 - cmath.atan(x)),
    "cot": (lambda x: 1 / math.tan(x), lambda x: 1 / cmath.tan(x)),
    "sec": (lambda x: 1 / math.cos(x), lambda x: 1 / cmath.cos(x)),
    "csc": (lambda x: 1 / math.sin(x), lambda x: 1 / cmath.sin(x)),
    "ln": (math.log, cmath.log),
    "lg": (math.log10, cmath.log10),
}
"""Of real and of complex numbers."""
