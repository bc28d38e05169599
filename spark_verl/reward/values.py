"""What kind of thing is an answer? The first reader that understands it says so.

A kind of its own is a member of :class:`Kind`, a reader in :data:`READERS`, and rules in
:mod:`spark_verl.reward.equality` for the pairs of kinds that can be the same thing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from spark_verl.reward.expression import MalformedError, UnreadableError
from spark_verl.reward.intervals import read_intervals
from spark_verl.reward.names import read_name
from spark_verl.reward.numbers import Number, parse_number
from spark_verl.reward.points import constant, evaluate
from spark_verl.reward.relations import read_relations
from spark_verl.reward.text import THOUSANDS, depths
from spark_verl.reward.times import read_date, read_time
from spark_verl.reward.units import Unit, read_unit
from spark_verl.reward.words import has_words, is_words, plain

PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")
_SEVERAL = re.compile(r"[,;&]| (?:and|or) |\\pm")
CONJUNCTION = re.compile(r",? (?:and|or) |;| ?& ?")

_EMPTY = re.compile(
    r"\\emptyset|\\?\{ ?\\?\}"
    r"|(?:there (?:is|are) )?no (?:real |such |valid |possible )?(?:solutions?|values?|roots?|numbers?)(?: exists?)?"
    r"|(?:the )?(?:empty|null)(?: set)?|none|无实?数?解|空集",
    re.IGNORECASE,
)
_SETS = re.compile(r"\\cup|\\cap|\\infty|\\mathbb\{R\}|\\setminus|[)\]] ?U ?[(\[]|\ball real|全体实数", re.IGNORECASE)
_RATIO = re.compile(r"[^:,;=<>]{1,40}(?: ?: ?| is to )[^:,;=<>]{1,40}(?: ?: ?[^:,;=<>]{1,40})*")
_MATRIX = re.compile(r"\\begin\{[pbvBV]?matrix\}(.{1,2000}?)\\end\{[pbvBV]?matrix\}", re.DOTALL)
_SERIES = {
    "-": re.compile(r"(?<=[\w)%}°'.]) ?- ?| (?:to|through|until) "),
    "*": re.compile(r" ?\\times ?|(?<=\d) ?[x*] ?(?=\d)| by "),
    ">": re.compile(r" ?\\to ?| ?-+> ?"),
}
_BRACKETS = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", "\\langle": "\\rangle"}
_TAIL = re.compile(
    r"(.*(?:[\d)}]|\\pi)) ?"
    r"((?:(?:sq|square|cubic|cu)\.? )?(?:[A-Za-z]{2,12}|m(?= ?\^)|(?<= )m|°|[\u4e00-\u9fff]{1,4})(?: ?\^ ?\{\d\})?)"
)
_TRIGONOMETRY = re.compile(r"sin|cos|tan|cot|sec|csc")
_ORDINAL = re.compile(r"\d{1,4} ?(?:st|nd|rd|th)", re.IGNORECASE)
_MAX_DEPTH, _MAX_ITEMS = 3, 64


class Kind(Enum):
    """What an answer is, and what :attr:`Value.content` holds then."""

    NUMBER = "number"
    """A number, or arithmetic on numbers: a :class:`spark_verl.reward.numbers.Number`."""
    TIME = "time"
    """A time of day: a :class:`spark_verl.reward.times.Time`."""
    DATE = "date"
    """A :class:`spark_verl.reward.times.Date`."""
    EMPTY = "empty"
    """No solution: None."""
    WORDS = "words"
    """Ordinary words, perhaps with numbers or symbols among them: their :func:`plain` text."""
    NAME = "name"
    """Letters in their order: a :class:`spark_verl.reward.names.Name`."""
    RATIO = "ratio"
    """``1:2``: its terms."""
    SERIES = "series"
    """Numbers or letters joined by dashes, times or arrows: a range, a size, an order. The sign, then the items."""
    MATRIX = "matrix"
    """Rows of values."""
    RELATION = "relation"
    """Equations and inequalities: :class:`spark_verl.reward.relations.Relations`."""
    INTERVALS = "intervals"
    """A set of real numbers: see :mod:`spark_verl.reward.intervals`."""
    SEQUENCE = "sequence"
    """At least two things in a list, set, tuple or interval: a :class:`Sequence`."""
    MALFORMED = "malformed"
    """Numbers and operators without a value (``12+``): None."""
    EXPRESSION = "expression"
    """Anything else that is no words: what is left without its unit, and the :class:`Unit`."""


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
        """The brackets as far as they mean anything: three things between "[" and "]" are no interval."""
        return "(" if self.brackets == "[" and len(self.items) > 2 else self.brackets

    @property
    def ordered(self) -> bool:
        """Whether the order of the items counts."""
        return self.form not in ("", "{")


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
    for kind, reads in READERS:
        if (content := reads(text)) is not None:
            return Value(kind, text, content)
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
    if sequence is not None:
        return Value(Kind.SEQUENCE, text, sequence)
    base, unit = _measured(text)
    if not unit and has_words(text):
        return Value(Kind.WORDS, text, plain(text))
    return Value(Kind.EXPRESSION, text, (base, unit))


# -- readers -----------------------------------------------------------------------------------------------------------


def _words(text: str) -> str | None:
    return plain(text) if is_words(text) or _ORDINAL.fullmatch(text) else None


def _empty(text: str) -> bool | None:
    return True if _EMPTY.fullmatch(text) else None


def _ratio(text: str) -> tuple[str, ...] | None:
    if (":" not in text and " is to " not in text) or text.startswith("\\{") or not _RATIO.fullmatch(text):
        return None
    terms = tuple(term.strip() for term in re.split(r":| is to ", text))
    depths = [term.count(opening) - term.count(closing) for term in terms for opening, closing in ("()", "{}", "[]")]
    plain_terms = all(constant(term) is not None or re.fullmatch(r"[A-Za-z]", term) for term in terms)
    return terms if len(terms) <= 8 and not any(depths) and plain_terms else None


def _series(text: str) -> tuple[str, tuple[Number | str, ...]] | None:
    """``10-20``, ``43.2%-63.6%``, ``3 x 4``, ``5 to 10 cm``, ``A-C-B``, ``C \\to A``."""
    if len(text) > 100:
        return None
    for sign, pattern in _SERIES.items():
        parts = pattern.split(text)
        if len(parts) < 2 or not all(parts):
            continue
        if len(parts) > 2 and sign != "*" and all(re.fullmatch("[A-Z]", part) for part in parts):
            return sign, tuple(parts)
        if sign == ">":
            return sign, tuple(plain(part) for part in parts)
        numbers = [parse_number(part) if part[:1] not in "+-" else None for part in parts]
        if all(numbers):
            return sign, tuple(number for number in numbers if number)
    return None


def _sets(text: str) -> Any:
    return read_intervals(text) if _SETS.search(text) else None


READERS: list[tuple[Kind, Callable[[str], Any]]] = [
    (Kind.NUMBER, parse_number),
    (Kind.TIME, read_time),
    (Kind.DATE, read_date),
    (Kind.EMPTY, _empty),
    (Kind.NAME, read_name),
    (Kind.INTERVALS, _sets),
    (Kind.SERIES, _series),
    (Kind.WORDS, _words),
    (Kind.RATIO, _ratio),
    (Kind.RELATION, read_relations),
]
"""In this order; each gives what a value holds, or None for what it does not understand."""


def _measured(text: str) -> tuple[str, Unit]:
    """A constant and its unit: ``36\\pi cm^2``; the text alone where there is no unit."""
    match = _TAIL.fullmatch(text)
    unit = match and read_unit(" " + match[2])
    if not match or not unit or not unit.dimensions or unit.words or constant(match[1]) is None:
        return text, Unit()
    if "°" in match[2] and _TRIGONOMETRY.search(match[1]):
        return text, Unit()
    return match[1].strip(), unit


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
    """Items of a list, set, tuple or interval; ``\\pm`` opens into its two values.

    Returns:
        None for fewer than two items, and for more than anybody compares.
    """
    if not _SEVERAL.search(text):
        return None
    negative = text[:1] == "-" and text[1:].lstrip()[:1] == "("
    brackets, inner = _between_brackets(text[1:].lstrip() if negative else text)
    items = _split(inner)
    if items is None or (brackets and len(items) < 2):
        brackets, items = "", _split(text) or [text]
    elif negative:
        items = [f"-({item})" for item in items]
    items = [re.sub(r"^(?:and|or) ", "", item.strip()) for item in items]
    if not brackets:
        items = [part.strip() for item in items for part in CONJUNCTION.split(item)]
    values: list[str] = []
    for item in items:
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
        if text.startswith(opening) and text.endswith((")", "]", "}", "\\rangle")):
            end = "\\rangle" if text.endswith("\\rangle") else text[-1]
            brackets = opening.lstrip("\\") + (end if end != closing.removeprefix("\\") and end != closing else "")
            inner = text[len(opening) : -2 if text.endswith("\\}") else -len(end)]
    return brackets.replace("langle", "("), inner.strip()


def _split(text: str) -> list[str] | None:
    """Split at the commas outside brackets; None when the brackets do not match.

    "1,000, 2,000" are two numbers: where some commas have a space behind them, those between thousands do not split.
    """
    depth = depths(text)
    if depth and (min(depth) < 0 or depth[-1] > 0):
        return None
    thousands = {match.start() for match in THOUSANDS.finditer(text)} if ", " in text else set()
    commas = [i for i, char in enumerate(text) if char == "," and depth[i] == 0 and i not in thousands]
    return [text[start + 1 : end] for start, end in zip([-1, *commas], [*commas, len(text)], strict=True)]
