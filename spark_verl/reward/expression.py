r"""Expressions: from canonical text to a tree, or to the reason why there is none.

What is read: numbers, letters (also Greek, with indices and primes, under a hat or a dot), ``+ - * / ^ ! % °``,
fractions, roots, absolute values, the elementary functions, ``e``, ``i`` and ``\pi``, derivatives as symbols of their
own (``\frac{dx}{dt}``, ``y''``), and functions that only have a name (``f(2)``). Whatever people read in two ways is
not read: ``\sin(x)^2``, ``2\frac{1}{3}x``, ``x3``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from spark_verl.reward.words import has_words

_ACCENTS = r"\\(?:d?dot|ddot|hat|widehat|bar|vec|tilde|overline|overrightarrow)"
_NUMBER = r"\d+(?:,\d{3})+(?:\.\d+)?(?!\d)|\d+\.?\d*|\.\d+"
_DERIVATIVE = (
    r"\\frac\s*\{\s*(?:d|\\partial)(?![a-z]{2})[^{}]{0,12}(?:\{\d\}[^{}]{0,8})?\}"
    r"\s*\{\s*(?:d|\\partial)[^{}]{1,12}(?:\{\d\}\s*)?\}|d[a-zA-Z]/d[a-zA-Z]"
)
_TOKEN = re.compile(
    rf"\s*(?:(?P<number>{_NUMBER})|(?P<symbol>{_DERIVATIVE}|{_ACCENTS}\s*(?:\{{\s*[A-Za-z]{{1,4}}\s*\}}|[A-Za-z])"
    r"|\\angle\s*(?:\{?[A-Z]{1,3}\}?|\d))|(?P<combination>[C]_\{(?P<n>\w{1,4})\}\s*\^\{(?P<k>\w{1,4})\})"
    r"|(?P<command>\\[A-Za-z]+)|(?P<word>[A-Za-z]+)|(?P<sign>[-+*/^!%()\[\]{}|_'°]))"
)
_INDEX = re.compile(r"(?:\s*_\s*\{(?P<index>[^{}]{1,20})\})?(?P<primes>'*)")
_LOOSE = re.compile(r"[\s{}]")
_TIMES = re.compile(r"(?<=[\d)])( ?)x\1(?=[\d(])")
_CLOSING = {"(": ")", "[": "]", "{": "}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}
_BETWEEN = {"|": "abs", "\\lfloor": "floor", "\\lceil": "ceil"}
"""Functions of what stands between signs."""
_OF_TWO = {"\\frac": "/", "\\binom": "binomial"}
_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi Omega ell hbar".split()
)
_SPELLED = {"\\cdot": "*", "\\times": "*", "\\ast": "*", "\\div": "/"}
FUNCTIONS = {
    **{name: name for name in "sin cos tan cot sec csc sinh cosh tanh exp ln lg log sqrt".split()},
    **{f"{arc}{name}": f"arc{name}" for name in ("sin", "cos", "tan", "cot") for arc in ("arc", "a")},
    **{f"{arc}{name}": f"arc{name}" for name in ("sinh", "cosh", "tanh") for arc in ("arc", "ar", "a")},
    "abs": "abs",
}
"""The name of a function by its spellings."""
_INVERTIBLE = frozenset({"sin", "cos", "tan", "cot"})
_GLUED = re.compile(r"(sin|cos|tan|ln)([a-z])")
_CONSTANTS = frozenset({"e", "i", "pi"})
_MAX_CHARS, _MAX_DEPTH = 300, 40
_CALLED = re.compile(r"(?<![A-Za-z\\])([fghuFGHP]'*)(\s*\()?")


class UnreadableError(ValueError):
    """Nothing certain can be said here: other symbols, no rational number, or too large to be an answer."""


class MalformedError(UnreadableError):
    """An expression without a value: ``12+``, ``(3``, ``1/0``."""


@dataclass(frozen=True)
class Node:
    """A part of an expression.

    Attributes:
        kind: "number", "symbol", "constant" (e, i, pi), an operator (``+ - * / ^ ! % °``, "negative"), "root" (what is
            under it, then its index), "log" (of what, to which base), "binomial", "call" (a function that is known) or
            "unknown" (one that is not).
        parts: Operands.
        text: A number, a symbol or a function's name.
    """

    kind: str
    parts: tuple[Node, ...] = ()
    text: str = ""

    def has(self, kind: str, text: str | None = None) -> bool:
        """Whether a part of it is of this kind, and has this text."""
        here = self.kind == kind and text in (None, self.text)
        return here or any(part.has(kind, text) for part in self.parts)


def parse(text: str, called: frozenset[str] = frozenset()) -> Node:
    """Read an expression.

    Args:
        text: Canonical text (see :mod:`spark_verl.reward.text`).
        called: Letters that are functions where a bracket follows; for all others it is a product.

    Raises:
        MalformedError: It makes no sense.
        UnreadableError: It may make sense, but not here.
    """
    return _Parser(_tokens(text), called).whole()


def parse_numbers(text: str) -> Node:
    """Read arithmetic on numbers: nothing but numbers, ``+ - * / ^ ! %``, fractions and brackets.

    Raises:
        MalformedError: It is that, and makes no sense.
        UnreadableError: It has anything else.
    """
    tokens = _tokens(_TIMES.sub("*", text))
    if any(
        kind not in ("number", "sign") and text != "\\frac" or text in ("|", "_", "'", "°") for kind, text in tokens
    ):
        raise UnreadableError("not numbers only")
    return _Parser(tokens, frozenset()).whole()


def called_letters(*texts: str) -> frozenset[str]:
    """The letters f, g, h, .. that stand before a bracket wherever they stand: functions rather than factors."""
    found: dict[str, bool] = {}
    for text in texts:
        for match in _CALLED.finditer(text):
            found[match[1]] = found.get(match[1], True) and bool(match[2])
    return frozenset(letter for letter, always in found.items() if always)


# -- tokens ------------------------------------------------------------------------------------------------------------

_Token = tuple[str, str]
"""Kind ("number", "symbol", "constant", "function", "command", "sign") and text."""


def _tokens(text: str) -> list[_Token]:
    if len(text) > _MAX_CHARS:
        raise UnreadableError(f"{len(text)} characters")
    if has_words(text):
        raise UnreadableError("words")
    found: list[_Token] = []
    position, text = 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise UnreadableError(text[position : position + 20])
        position = match.end()
        if match["number"]:
            found.append(("number", match["number"]))
        elif match["combination"]:
            found += [("command", "\\binom"), *_tokens(f"{{{match['n']}}}{{{match['k']}}}")]
        elif match["sign"]:
            found.append(("sign", match["sign"]))
        else:
            names = _names(match["symbol"] or match["command"] or match["word"])
            kind, name = names[-1]
            if kind in ("symbol", "constant") and (index := _INDEX.match(text, position)) and index[0]:
                position = index.end()
                below = "_" + _LOOSE.sub("", index["index"]) if index["index"] else ""
                names[-1] = ("symbol", name + below + index["primes"])
            found += names
    return found


def _names(name: str) -> list[_Token]:
    """What a command or a run of letters is: one thing, or a product of letters."""
    bare = name.removeprefix("\\")
    if not bare.isalpha():
        return [("symbol", _LOOSE.sub("", name))]
    if bare in FUNCTIONS:
        return [("function", FUNCTIONS[bare])]
    if bare in _CONSTANTS and (bare == "pi" or bare == name):
        return [("constant", bare)]
    if name != bare:
        if bare in _GREEK:
            return [("symbol", name)]
        if name in _SPELLED:
            return [("sign", _SPELLED[name])]
        if name in (*_OF_TWO, *_CLOSING, *_CLOSING.values()):
            return [("command", name)]
        raise UnreadableError(name)
    if glued := _GLUED.fullmatch(name):
        return [("function", glued[1]), *_names(glued[2])]
    return [("constant" if letter in _CONSTANTS else "symbol", letter) for letter in name]


class _Parser:
    """Recursive descent: sum > product > sign > power > postfix > atom."""

    def __init__(self, tokens: list[_Token], called: frozenset[str]) -> None:
        self._tokens = tokens
        self._called = called
        self._position = self._depth = self._bars = 0

    def whole(self) -> Node:
        """The expression that all tokens make."""
        node = self._sum()
        if self._peek():
            raise MalformedError(f"unexpected {self._peek()}")
        return node

    def _peek(self, ahead: int = 0) -> str:
        position = self._position + ahead
        return self._tokens[position][1] if position < len(self._tokens) else ""

    @property
    def _kind(self) -> str:
        return self._tokens[self._position][0] if self._position < len(self._tokens) else ""

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
        while self._peek():
            if self._peek() in ("*", "/"):
                node = Node(self._take(), (node, self._signed(self._power)))
            elif self._follows(node):
                node = Node("*", (node, self._power()))  # side by side: 2x, 3(x+1), 2\sqrt{3}, 2^4 3^2; not "2 3"
            else:
                break
        return node

    def _follows(self, node: Node) -> bool:
        """Whether the next token begins another factor."""
        token, kind = self._peek(), self._kind
        if kind == "number":
            return node.kind == "^" or (node.kind == "*" and node.parts[1].kind == "^")
        if token == "\\frac" and node.kind == "number" and self._peek(2).isdigit():
            raise UnreadableError("a mixed number or a product")
        return (
            kind in ("symbol", "constant", "function")
            or token in (*_OF_TWO, *_CLOSING)
            or (token == "|" and not self._bars)
        )

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
        return Node("^", (base, self._nested(lambda: self._signed(self._power))))

    def _postfix(self) -> Node:
        node = self._atom()
        while self._peek() in ("!", "%", "°"):
            if self._peek() == self._peek(1) == "!":
                raise UnreadableError("a double factorial")
            node = Node(self._take(), (node,))
        return node

    def _atom(self) -> Node:
        kind, token = self._kind, self._take()
        if token in _CLOSING or token == "|":
            bars, self._bars = self._bars, self._bars + 1 if token == "|" else 0
            node = self._nested(self._sum)
            self._bars = bars
            self._take(_CLOSING.get(token, token))
            return Node("call", (node,), _BETWEEN[token]) if token in _BETWEEN else node
        if kind == "symbol" and token in self._called and self._peek() == "(":
            return Node("unknown", (self._atom(),), token)
        if kind in ("number", "symbol", "constant"):
            return Node(kind, text=token)
        if token in _OF_TWO:
            return Node(_OF_TWO[token], (self._argument(), self._argument()))
        if kind == "function":
            return self._function(token)
        raise MalformedError(f"unexpected {token}")

    def _argument(self) -> Node:
        """``{...}``; LaTeX also takes one bare digit, which is easily misread."""
        if self._peek() not in ("{", "("):
            raise MalformedError("an argument without braces")
        return self._atom()

    def _function(self, name: str) -> Node:
        if name == "sqrt":
            index = (self._atom(),) if self._peek() == "[" else ()
            return Node("root", (self._argument(), *index))
        base: tuple[Node, ...] = ()
        if name == "log" and self._peek() == "_":
            self._take()
            base = (self._argument(),)
        exponent = None
        if self._peek() == "^":
            self._take()
            exponent = self._argument() if self._peek() == "{" else self._atom()
        if exponent == Node("negative", (Node("number", text="1"),)):
            if name not in _INVERTIBLE:
                raise UnreadableError("a power or an inverse")
            name, exponent = f"arc{name}", None
        inner = self._inner(name)
        node = Node("log", (inner, *base)) if name == "log" else Node("call", (inner,), name)
        return Node("^", (node, exponent)) if exponent else node

    def _inner(self, name: str) -> Node:
        """What a function is taken of. "sin x/2" and "sin(x)^2" are read differently by different people."""
        if self._peek() in ("(", "{", "|", "["):
            node = self._atom()
            if self._peek() in ("^", "!"):
                raise UnreadableError(name)
            return node
        node = self._power()
        while self._kind in ("symbol", "constant") or self._peek() == "\\frac" or (self._peek() == "\\sqrt"):
            node = Node("*", (node, self._power()))
        if self._peek() in ("/", "(", "[", "|") and not (self._peek() == "|" and self._bars):
            raise UnreadableError(name)
        return node

    def _nested(self, operand: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise UnreadableError("nested too deeply")
        node = operand()
        self._depth -= 1
        return node
