r"""Expressions: one parser, two evaluations.

:func:`evaluate` gives the exact value of what has only numbers in it (``3+4``, ``2^{10}``, ``\frac{3 \times 4}{6}``,
``5!``). Most answers that are not plain numbers are this; a malformed one ("12+") is known to be wrong.

:func:`same_function` compares what also has letters, roots, pi and simple trigonometry (``2\sqrt{3}`` and
``\sqrt{12}``, ``(x+1)(x+2)`` and ``x^2+3x+2``) by its values at a few points. Two analytic expressions that agree at
random points agree everywhere, with a probability of error far below that of a bit flip (Schwartz 1980, Zippel 1979);
two that differ at one point are different. It is a short cut, never a second opinion: what cannot be read with
certainty is left to algebra. Left out on purpose: decimals beside irrational numbers (how many digits count is the
algebra's rule), letters with a meaning (e, i, d), products written as words, roots of variables (true for positive
numbers only), large exponents.
"""

from __future__ import annotations

import math
import operator
import random
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)"
    r"|(?P<name>\\(?:[dt]?frac|sqrt|pi|sin|cos|tan|cdot|times|div|left|right)(?![A-Za-z]))"
    r"|(?P<letter>[A-Za-z])(?![A-Za-z])|(?P<sign>[-+*/^!%()\[\]{}π]))"
)
_SPELLING = {"\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\cdot": "*", "\\times": "*", "\\div": "/", "π": "\\pi"}
_TIMES = re.compile(r"(?<=[\d)])( ?)x\1(?=[\d(])")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "negative": operator.neg,
}
_FUNCTIONS = {"\\sin": math.sin, "\\cos": math.cos, "\\tan": math.tan}
_RESERVED = frozenset("deiDEI")
_MAX_CHARS, _MAX_DEPTH = 300, 40

# Of exact values
_MAX_BITS, _MAX_FACTORIAL = 2048, 200

# Letters take values without any relation among them (equal steps from letter to letter would make y - x and z - y
# the same); one point decides nothing, three do.
_random = random.Random(2509)
_POINTS: list[dict[str, float]] = [
    {letter: _random.uniform(0.3, 1.7) for letter in string.ascii_letters} for _ in range(3)
]
_SAME, _DIFFERENT = 1e-11, 1e-7
_MAX_DIGITS, _MAX_EXPONENT, _MAX_VALUE, _MIN_DIVISOR = 9, 12, 1e9, 1e-9


class UnreadableError(ValueError):
    """Nothing certain can be said here: other symbols, no rational number, or too large to be an answer."""


class MalformedError(UnreadableError):
    """An expression without a value: ``12+``, ``(3``, ``1/0``."""


@dataclass(frozen=True)
class Node:
    """A part of an expression.

    Attributes:
        kind: "number", "letter", an operator (``+ - * / ^ ! %``, "negative"), or ``\\pi``, ``\\sqrt``, ``\\sin``, ...
        parts: Operands; of a root what is under it, then its index where one is written.
        text: A number or letter as written.
    """

    kind: str
    parts: tuple[Node, ...] = ()
    text: str = ""

    def has(self, kind: str) -> bool:
        """Whether a part of it is of this kind."""
        return self.kind == kind or any(part.has(kind) for part in self.parts)


def evaluate(text: str) -> Fraction:
    """The exact value of an expression of numbers.

    Args:
        text: Canonical text (see :mod:`spark_verl.reward.text`).

    Raises:
        MalformedError: It has only numbers, ``+ - * / ^ ! %``, fractions and brackets, and yet no value.
        UnreadableError: It has anything else, or the value, the nesting or the text is too large.
    """
    tokens = _tokens(_TIMES.sub("*", text))
    if any(token[-1].isalpha() and token != "\\frac" for token in tokens):
        raise UnreadableError("not numbers only")
    return _exact(_Parser(tokens).whole())


def same_function(a: str, b: str) -> bool | None:
    """Compare two expressions at a few points.

    Returns:
        True or False when certain; None when an expression cannot be read here or the values leave a doubt.
    """
    try:
        first, second = (_Parser(_tokens(text)).whole() for text in (a, b))
        doubt = False
        for point in _POINTS:
            x, y = _at(first, point), _at(second, point)
            error = abs(x - y) / max(1.0, abs(x), abs(y))
            if error > _DIFFERENT:
                return False
            doubt = doubt or error > _SAME
        return None if doubt else True
    except UnreadableError:
        return None


# -- reading -----------------------------------------------------------------------------------------------------------


def _tokens(text: str) -> list[str]:
    if len(text) > _MAX_CHARS:
        raise UnreadableError(f"{len(text)} characters")
    found, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match or match["letter"] in _RESERVED:
            raise UnreadableError(text[position : position + 20])
        position = match.end()
        token = match[0].lstrip()
        if token not in ("\\left", "\\right"):
            found.append(_SPELLING.get(token, token))
    return found


class _Parser:
    """Recursive descent: sum > product > sign > power > postfix > atom."""

    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = self._depth = 0

    def whole(self) -> Node:
        """The expression that all tokens make.

        Raises:
            MalformedError: They make none.
            UnreadableError: Brackets are nested too deeply.
        """
        node = self._sum()
        if self._peek():
            raise MalformedError(f"unexpected {self._peek()}")
        return node

    def _peek(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        """The next token, which has to be one of these, if any are given."""
        token = self._peek()
        if not token or (wanted and token not in wanted):
            raise MalformedError(f"unexpected {token or 'end'}")
        self._position += 1
        return token

    def _sum(self) -> Node:
        node = self._product()
        while self._peek() in ("+", "-"):
            node = Node(self._take(), (node, self._product()))
        return node

    def _product(self) -> Node:
        node = self._signed(self._power)
        while token := self._peek():
            if token in ("*", "/"):
                node = Node(self._take(), (node, self._signed(self._power)))
            elif token[0].isalpha() or token in _CLOSING or token[0] == "\\":
                node = Node("*", (node, self._power()))  # side by side: 2x, 3(x+1), 2\sqrt{3}; "2 3" is no product
            else:
                break
        return node

    def _signed(self, operand: Callable[[], Node]) -> Node:
        negative = False
        while self._peek() in ("+", "-"):
            negative ^= self._take() == "-"
        return Node("negative", (operand(),)) if negative else operand()

    def _power(self) -> Node:
        base = self._postfix()
        if self._peek() != "^":
            return base
        self._take()
        self._deeper()
        exponent = self._signed(self._power)
        self._depth -= 1
        return Node("^", (base, exponent))

    def _postfix(self) -> Node:
        node = self._atom()
        while self._peek() in ("!", "%"):
            node = Node(self._take(), (node,))
        return node

    def _atom(self) -> Node:
        token = self._take()
        if token in _CLOSING:
            self._deeper()
            node = self._sum()
            self._take(_CLOSING[token])
            self._depth -= 1
            return node
        if token[0].isdigit() or token[0] == ".":
            return Node("number", text=token)
        if token.isalpha():
            return Node("letter", text=token)
        if token == "\\pi":
            return Node(token)
        if token == "\\frac":
            return Node("/", (self._argument(), self._argument()))
        if token == "\\sqrt":
            index = (self._atom(),) if self._peek() == "[" else ()
            return Node(token, (self._argument(), *index))
        if token in _FUNCTIONS:
            return self._function(token)
        raise MalformedError(f"unexpected {token}")

    def _argument(self) -> Node:
        """``{...}``; LaTeX also takes one bare digit, which is easily misread."""
        if self._peek() not in ("{", "("):
            raise MalformedError("an argument without braces")
        return self._atom()

    def _function(self, name: str) -> Node:
        # "sin 2x" and "sin(x)^2" are read differently by different people; "sin(2x)" and "sin x" are not.
        bracket = self._peek() in ("(", "{")
        if not bracket and not self._peek().isalpha():
            raise UnreadableError(name)
        node = Node(name, (self._atom(),))
        if self._peek() == "^" or (not bracket and self._peek() not in ("", "+", "-", ")", "}", "]")):
            raise UnreadableError(name)
        return node

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise UnreadableError("nested too deeply")


# -- exact values ------------------------------------------------------------------------------------------------------


def _exact(node: Node) -> Fraction:
    values = [_exact(part) for part in node.parts]
    match node.kind, values:
        case "number", []:
            return Fraction(node.text.replace(",", "").rstrip("."))
        case "%", [x]:
            return x / 100
        case "!", [x]:
            return _factorial(x)
        case "^", [x, y]:
            return _whole_power(x, y)
        case "/", [_, y] if y == 0:
            raise MalformedError("division by zero")
    value = _OPERATORS[node.kind](*values)
    if _bits(value) > 2 * _MAX_BITS:
        raise UnreadableError("value")
    return value


def _factorial(x: Fraction) -> Fraction:
    if x.denominator != 1 or x < 0:
        raise MalformedError("factorial of a number that is not natural")
    if x > _MAX_FACTORIAL:
        raise UnreadableError("factorial")
    return Fraction(math.factorial(int(x)))


def _whole_power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise UnreadableError("root")  # may be exact, but that is algebra
    if abs(exponent) * _bits(base) > _MAX_BITS:
        raise UnreadableError("power")
    if base == 0 and exponent <= 0:
        raise MalformedError("power of zero")
    return base ** int(exponent)


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


# -- values at a point -------------------------------------------------------------------------------------------------


def _at(node: Node, point: dict[str, float]) -> float:
    values = [_at(part, point) for part in node.parts]
    match node.kind, values:
        case "number", [] if node.text.isdigit() and len(node.text) <= _MAX_DIGITS:
            value = float(node.text)
        case "letter", []:
            value = point[node.text]
        case "\\pi", []:
            value = math.pi
        case "^", [x, y] if _is_plain_exponent(node.parts[1], y) and (x != 0 or y > 0):
            value = x ** int(y)
        case "\\sqrt", [x, *index] if x >= 0 and not node.parts[0].has("letter"):
            value = x ** (1 / _root_index(index))
        case kind, [*_, y] if kind in _OPERATORS and (kind != "/" or abs(y) >= _MIN_DIVISOR):
            value = _OPERATORS[kind](*values)
        case kind, [x] if kind in _FUNCTIONS:
            value = _FUNCTIONS[kind](x)
        case _:
            raise UnreadableError(node.kind)
    if abs(value) > _MAX_VALUE:
        raise UnreadableError("value")
    return value


def _is_plain_exponent(node: Node, value: float) -> bool:
    """Whether it is a small whole number without letters, and no tower."""
    return not (node.has("letter") or node.has("^")) and value == int(value) and abs(value) <= _MAX_EXPONENT


def _root_index(index: list[float]) -> float:
    found = index[0] if index else 2.0
    if found != int(found) or not 2 <= found <= _MAX_EXPONENT:
        raise UnreadableError("index of a root")
    return found
