"""Names: of points, segments, angles and triangles, sequences of letters, and what stands before an equals sign.

The order of letters is the name: ``ABC`` is not ``ACB``, as it would be if letters were factors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from spark_verl.reward.words import NUMERIC_NAMES, POLAR, has_words

_SHAPES = {
    spelling: shape
    for shape, spellings in {
        "angle": r"m ?\\angle|\\angle|\\measuredangle|angle",
        "triangle": r"\\triangle|\\Delta|triangle",
        "segment": r"\\overline|\\bar|line segment|segment|side",
        "line": r"\\overleftrightarrow|line",
        "vector": r"\\overrightarrow|\\vec|vector",
        "arc": r"\\widehat|\\overset\{\\frown\}|arc",
        "circle": r"\\odot|circle",
        "point": r"point",
        "ray": r"ray",
    }.items()
    for spelling in spellings.split("|")
}
_SHAPE = "|".join(sorted(_SHAPES, key=len, reverse=True))
_LETTERS = r"(?:[A-Z](?:'|_\{\w\})*){1,12}"
_NAME = re.compile(rf"(?:(?i:(?P<shape>{_SHAPE}))(?![a-z]))?\s*\{{?\s*(?P<letters>{_LETTERS}|\d{{1,2}}|[a-z])\s*\}}?")
_RUN = re.compile(r"[A-Z]{2,}|[a-z]{4,}")
_TURNABLE = frozenset({"angle", "segment", "line"})

_SYMBOL = (
    r"(?:\\?[A-Za-z]+|\\(?:hat|bar|vec|tilde|overline|overrightarrow)\s*\{?\s*\\?[A-Za-z]{1,6}\s*\}?)"
    r"(?:_\{[^{}]{1,24}\})?\d?'*"
)
_DERIVATIVE = r"\\frac\{ ?(?:d|\\partial) ?[^{}]{0,8}\}\{ ?(?:d|\\partial) ?[^{}]{1,8}\}|d[a-z]/d[a-z]"
_LEFT = re.compile(
    rf"{_SYMBOL}|{_SYMBOL} ?\([^()=<>]{{1,30}}\)|[A-Z] ?[(\[][^()\[\]]{{1,30}}[)\]]"
    rf"|\| ?[^|]{{1,20}}\||m?\s*\\angle ?\{{?\w{{1,3}}\}}?"
    rf"|{_DERIVATIVE}"
    rf"|\( ?{_SYMBOL}(?: ?, ?{_SYMBOL})+ ?\)|{_SYMBOL}(?: ?: ?{_SYMBOL})+"
    rf"|\\(?:sin|cos|tan|cot|ln|log) ?\(?(?:\\angle ?)?{_SYMBOL} ?\)?|{_SYMBOL} ?\\cdot ?{_SYMBOL}"
    r"|\\frac\{ ?[A-Z]{1,3} ?\}\{ ?[A-Z]{1,3} ?\}|[A-Z]{1,3}/[A-Z]{1,3}|S_\{ ?\\triangle ?[A-Z]{3} ?\}|\\triangle"
)
_CONSTANTS = frozenset({"e", "i", "\\pi", "pi", "\\infty"})


@dataclass(frozen=True)
class Name:
    """Letters in their order, and what they are the name of ("" where that is not said)."""

    letters: str
    shape: str = ""


def read_name(text: str) -> Name | None:
    r"""``\angle ABC``, ``triangle ABC``, ``\overline{AB}``, ``GRRG``; None for anything else, single letters among it.

    >>> read_name(r"\angle ABC") == read_name("angle ABC"), read_name("x")
    (True, None)
    """
    if _RUN.fullmatch(text):
        return None if text.lower() in (*NUMERIC_NAMES, *POLAR) or (text.islower() and has_words(text)) else Name(text)
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    letters = match["letters"]
    if not match["shape"]:
        return Name(letters) if len(letters) > 1 and letters[0].isupper() and not letters.isdigit() else None
    shape = match["shape"].lower() if match["shape"][0] != "\\" else match["shape"]
    shape = _SHAPES.get(shape) or _SHAPES.get(re.escape(shape)) or "angle"
    if letters[0].islower() and shape in ("angle", "segment", "vector"):  # \bar{x} is a mean, \vec{v} a variable
        return None
    return Name(letters, shape)


def names_equal(answer: Name, truth: Name) -> bool:
    """Whether two names are of one thing; an angle or a segment may be read from either end."""
    shapes = {answer.shape, truth.shape} - {""}
    if len(shapes) > 1:
        return False
    same = answer.letters == truth.letters
    return same or bool(shapes & _TURNABLE and answer.letters.isalpha() and answer.letters[::-1] == truth.letters)


def is_left_side(text: str) -> bool:
    r"""Whether a text can be what an answer is called: ``x``, ``f(2)``, ``|AB|``, ``Area``, ``\frac{dy}{dx}``."""
    text = text.strip()
    if not text or text in _CONSTANTS or len(text) > 60:
        return False
    if _LEFT.fullmatch(text):
        bare = text.lstrip("\\")
        return not bare.isalpha() or bare != text or len(bare) < 4 or has_words(text)
    return has_words(text) and not re.search(r"[=<>+*^]", text)


def left_side(text: str) -> str:
    """One spelling of what an answer is called."""
    name = read_name(text.strip())
    return (
        f"{name.shape} {name.letters}"
        if name
        else re.sub(r"\s+", "", text).removeprefix("m\\").casefold()
        if has_words(text)
        else re.sub(r"\s+", "", text)
    )
