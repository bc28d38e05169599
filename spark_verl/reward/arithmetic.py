"""Exact value of an expression made of numbers only: ``3+4``, ``2^{10}``, ``\\frac{3 \\times 4}{6}``, ``5!``.

Most answers that are not plain numbers are this. It is decided here in microseconds and without sympy, and a malformed
one ("12+") is known to be wrong.
"""

from __future__ import annotations

import re
from fractions import Fraction

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:,\d{3})+(?:\.\d+)?|\d+\.?\d*|\.\d+)|(?P<frac>\\frac)(?![A-Za-z])"
    r"|(?P<op>\*\*|\\times(?![A-Za-z])|\\cdot(?![A-Za-z])|\\div(?![A-Za-z])|[-+*/^!()\[\]{}%]|(?<=[\d) ])x(?=[\d( ])))"
)
_SPELLING = {"**": "^", "x": "*", r"\times": "*", r"\cdot": "*", r"\div": "/", "{": "(", "}": ")", "[": "(", "]": ")"}
_MAX_CHARS = 300
_MAX_DEPTH = 40
_MAX_BITS = 2048


class NotArithmeticError(ValueError):
    """The text has something else than numbers and operators, or is no rational number (a root)."""


class MalformedError(ValueError):
    """Numbers and operators only, but no value: ``12+``, ``(3``, ``1/0``."""


class TooLargeError(ValueError):
    """The value, the nesting or the text is too large to be an answer."""


def evaluate(text: str) -> Fraction:
    """Value of an expression of numbers.

    Args:
        text: Canonical text (see :mod:`spark_verl.reward.text`).

    Raises:
        NotArithmeticError: The text has anything but numbers and ``+ - * / ^ ! %``, fractions and brackets.
        MalformedError: It has only these and yet no value.
        TooLargeError: The value, the nesting or the text is too large.
    """
    if len(text) > _MAX_CHARS:
        raise TooLargeError(f"{len(text)} characters")
    tokens: list[str] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if not match:
            raise NotArithmeticError(stripped[position : position + 20])
        position = match.end()
        op = match["op"]
        tokens.append(_SPELLING.get(op, op) if op else match["number"] or match["frac"])
    parser = _Parser(tokens)
    value = parser.sum(0)
    if parser.peek() is not None:
        raise MalformedError(f"unexpected {parser.peek()}")
    return value


class _Parser:
    """Recursive descent: sum > product > unary sign > power > postfix > atom."""

    def __init__(self, tokens: list[str]):
        self.tokens = tokens
        self.at = 0

    def peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self) -> str:
        token = self.peek()
        if token is None:
            raise MalformedError("unexpected end")
        self.at += 1
        return token

    def sum(self, depth: int) -> Fraction:
        if depth > _MAX_DEPTH:
            raise TooLargeError("nesting")
        value = self.product(depth)
        while self.peek() in ("+", "-"):
            negative = self.take() == "-"
            term = self.product(depth)
            value = _checked(value - term if negative else value + term)
        return value

    def product(self, depth: int) -> Fraction:
        value = self.signed(depth)
        while (token := self.peek()) is not None:
            if token in ("*", "/"):
                self.take()
                factor = self.signed(depth)
                if token == "/" and factor == 0:
                    raise MalformedError("division by zero")
                value = _checked(value / factor if token == "/" else value * factor)
            elif token == "(" or token == r"\frac":  # 2(3+4)
                value = _checked(value * self.power(depth))
            else:
                break
        return value

    def signed(self, depth: int) -> Fraction:
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take() == "-"
        value = self.power(depth)
        return -value if negative else value

    def power(self, depth: int) -> Fraction:
        base = self.postfix(depth)
        if self.peek() != "^":
            return base
        self.take()
        if depth > _MAX_DEPTH:
            raise TooLargeError("nesting")
        negative = False
        while self.peek() in ("+", "-"):
            negative ^= self.take() == "-"
        exponent = self.power(depth + 1) * (-1 if negative else 1)
        if exponent.denominator != 1:
            raise NotArithmeticError("root")  # may be exact, but that is algebra
        size = max(base.numerator.bit_length(), base.denominator.bit_length())
        if abs(exponent) * size > _MAX_BITS:
            raise TooLargeError("power")
        if base == 0 and exponent <= 0:
            raise MalformedError("power of zero")
        return base ** int(exponent)

    def postfix(self, depth: int) -> Fraction:
        value = self.atom(depth)
        while self.peek() in ("!", "%"):
            if self.take() == "%":
                value /= 100
            elif value.denominator != 1 or value < 0:
                raise MalformedError("factorial of a number that is not natural")
            elif value > 200:
                raise TooLargeError("factorial")
            else:
                product = 1
                for factor in range(2, int(value) + 1):
                    product *= factor
                value = Fraction(product)
        return value

    def atom(self, depth: int) -> Fraction:
        token = self.take()
        if token == "(":
            value = self.sum(depth + 1)
            if self.take() != ")":
                raise MalformedError("unbalanced brackets")
            return value
        if token == r"\frac":
            numerator, denominator = self.argument(depth), self.argument(depth)
            if denominator == 0:
                raise MalformedError("division by zero")
            return numerator / denominator
        if token[0].isdigit() or token[0] == ".":
            return Fraction(token.replace(",", "").rstrip("."))
        raise MalformedError(f"unexpected {token}")

    def argument(self, depth: int) -> Fraction:
        if self.peek() != "(":
            raise MalformedError(r"\frac without braces")
        return self.atom(depth)


def _checked(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 2 * _MAX_BITS:
        raise TooLargeError("value")
    return value
