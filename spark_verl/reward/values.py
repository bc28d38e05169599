"""What kind of thing is an answer? The first reader that understands it says so.

A kind of its own is a member of :class:`Kind`, a reader in :func:`read`, and rules in
:mod:`spark_verl.reward.equality` for the pairs of kinds that can be the same thing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from spark_verl.reward.expression import MalformedError, UnreadableError, evaluate
from spark_verl.reward.numbers import Number, parse_number

EQUATION = re.compile(r"(?<![<>!=:\\])=(?!=)")
VARIABLE = re.compile(
    r"\s*(?:[A-Za-z](?:_\{?\w{1,8}\}?)?'?|\\[a-z]{2,8}|[A-Za-z] ?\([A-Za-z0-9, ]{1,12}\)|[A-Za-z]{2,3})\s*"
)
PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")
_SEVERAL = re.compile(r"[,;]| (?:and|or) |\\pm")
CONJUNCTION = re.compile(r",? (?:and|or) |;")
NUMERIC_NAMES = frozenset(
    "e i j pi sqrt root cbrt sin cos tan cot sec csc arcsin arccos arctan asin acos atan sinh cosh tanh log ln lg exp "
    "abs max min gcd lcm mod floor ceil binom".split()
)
"""Names that may stand in an expression whose value is a number."""

_PLAIN_TEXT = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '\-.,&()])*")
# Short words that are no products of variables
_SHORT_WORDS = frozenset("no up in on it he we am pm ok tv us uk of to by".split())
_ARTICLE = re.compile(r"(?:the|an?) ", re.IGNORECASE)
_RATIO = re.compile(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*")
_MATRIX = re.compile(r"\s*\\begin\{[pbvBV]?matrix\}(.{1,2000}?)\\end\{[pbvBV]?matrix\}\s*", re.DOTALL)
_BRACKETS = {"(": ")", "[": "]", "{": "}", r"\{": r"\}"}
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_MAX_DEPTH, _MAX_ITEMS = 3, 64


class Kind(Enum):
    """What an answer is, and what :attr:`Value.content` holds then."""

    NUMBER = "number"
    """A number, or arithmetic on numbers: a :class:`spark_verl.reward.numbers.Number`."""
    WORDS = "words"
    """Ordinary words: their :func:`plain` text."""
    RATIO = "ratio"
    """``1:2``: two integers."""
    MATRIX = "matrix"
    """Rows of values."""
    SEQUENCE = "sequence"
    """At least two things in a list, set, tuple or interval: a :class:`Sequence`."""
    MALFORMED = "malformed"
    """Numbers and operators without a value (``12+``): None."""
    EXPRESSION = "expression"
    """Anything else: None."""


@dataclass(frozen=True)
class Sequence:
    """Several values.

    Attributes:
        brackets: "" for a bare list, "{", "(", "[", or a half-open interval's "(]", "[)".
        items: What stands between them.
    """

    brackets: str
    items: tuple[Value, ...]

    @property
    def form(self) -> str:
        """The brackets as far as they mean anything: a set is a bare list."""
        return "" if self.brackets == "{" else self.brackets

    @property
    def ordered(self) -> bool:
        """Whether the order of the items counts."""
        return self.form in ("(", "[", "(]", "[)")


@dataclass(frozen=True)
class Value:
    """An answer that was read.

    Attributes:
        kind: What it is.
        text: Its canonical text.
        content: See :class:`Kind`.
    """

    kind: Kind
    text: str
    content: Any = None


def read(text: str, depth: int = 0) -> Value:
    """Read an answer; never raises.

    Args:
        text: Canonical text (see :mod:`spark_verl.reward.text`).
        depth: How many sequences and matrices it stands in.
    """
    if (number := parse_number(text)) is not None:
        return Value(Kind.NUMBER, text, number)
    if is_words(text):
        return Value(Kind.WORDS, text, plain(text))
    if ratio := _RATIO.fullmatch(text):
        return Value(Kind.RATIO, text, (int(ratio[1]), int(ratio[2])))
    if depth < _MAX_DEPTH and (rows := _matrix(text, depth + 1)):
        return Value(Kind.MATRIX, text, rows)
    sequence = read_sequence(text, depth + 1) if depth < _MAX_DEPTH else None
    # Between brackets "(0,100)" is a pair, without them "1,234+1" is arithmetic.
    if sequence is None or not sequence.brackets:
        try:
            return Value(Kind.NUMBER, text, Number(evaluate(text)))
        except MalformedError:
            return Value(Kind.MALFORMED, text)
        except UnreadableError:
            pass
    return Value(Kind.EXPRESSION, text) if sequence is None else Value(Kind.SEQUENCE, text, sequence)


# -- words -------------------------------------------------------------------------------------------------------------


def is_words(text: str) -> bool:
    """Whether a text is ordinary words rather than algebra: "xy" and "abc" may be products."""
    if not _PLAIN_TEXT.fullmatch(text):
        return False
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", text)]
    return any(len(word) > 1 and word not in NUMERIC_NAMES for word in words) and any(
        (len(word) > 2 and re.search(r"[aeiouy]|[^a-z]", word)) or word in _SHORT_WORDS for word in words
    )


def without_article(text: str) -> str:
    """A text in small letters, without "the" or "a" at its beginning."""
    return _ARTICLE.sub("", text, count=1).casefold() if _ARTICLE.match(text) else text.casefold()


def plain(text: str) -> str:
    """An ordinary text without case, article, hyphens, punctuation and superfluous spaces."""
    return " ".join(re.sub(r"[\-.,&()]", " ", without_article(text)).replace("'", "").split())


# -- matrices and sequences --------------------------------------------------------------------------------------------


def _matrix(text: str, depth: int) -> tuple[tuple[Value, ...], ...] | None:
    if not (match := _MATRIX.fullmatch(text)):
        return None
    lines = match[1].strip().removesuffix("\\\\").split("\\\\")
    rows = [[entry.strip() for entry in line.split("&")] for line in lines]
    if sum(map(len, rows)) > _MAX_ITEMS or not all(map(all, rows)):
        return None
    return tuple(tuple(read(entry, depth) for entry in row) for row in rows)


def read_sequence(text: str, depth: int = 1) -> Sequence | None:
    """Items of a list, set, tuple or interval, without ``x =``; ``\\pm`` opens into its two values.

    Returns:
        None for fewer than two items, and for more than anybody compares.
    """
    if not _SEVERAL.search(text):
        return None
    brackets, inner = _between_brackets(text)
    items = _split(inner)
    if items is None or (brackets and len(items) < 2):
        brackets, items = "", _split(text) or [text]
    if not brackets and len(items) == 1:
        items = CONJUNCTION.split(items[0])
    values: list[str] = []
    for item in items:
        item = without_variable(re.sub(r"^(?:and|or) ", "", item.strip()))
        parts = PLUS_MINUS.split(item)
        if len(parts) == 2 and brackets in ("", "{"):
            values += [f"{parts[0]}+{parts[1]}".lstrip("+").strip(), f"{parts[0]}-{parts[1]}"]
        else:
            values.append(item)
    if not 2 <= len(values) <= _MAX_ITEMS:
        return None
    return Sequence(brackets, tuple(read(value, depth) for value in values))


def _between_brackets(text: str) -> tuple[str, str]:
    """(brackets, what is between them); ("", text) where there are none around it."""
    brackets, inner = "", text
    for opening, closing in _BRACKETS.items():
        if text.startswith(opening) and text[-1:] in (")", "]", "}"):
            brackets = opening.lstrip("\\") + (text[-1] if text[-1] != closing[-1] else "")
            inner = text[len(opening) : -2 if text.endswith("\\}") else -1]
    return brackets, inner


def without_variable(item: str) -> str:
    """What ``x = 5`` says of x."""
    parts = EQUATION.split(item)
    return parts[1].strip() if len(parts) == 2 and VARIABLE.fullmatch(parts[0]) else item


def _split(text: str) -> list[str] | None:
    """Split at the commas outside brackets; None when the brackets do not match.

    "1,000, 2,000" are two numbers: where some commas have a space behind them, those between thousands do not split.
    """
    items, depth, start = [], 0, 0
    thousands = {match.start() for match in _THOUSANDS.finditer(text)} if ", " in text else set()
    for index, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth < 0:
                return None
        elif char == "," and depth == 0 and index not in thousands:
            items.append(text[start:index])
            start = index + 1
    items.append(text[start:])
    return items if depth == 0 else None
