"""Options of a multiple-choice question, and answers that name one by its letter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from spark_verl.reward.text import canonical
from spark_verl.reward.words import undress

LETTERS = "ABCDEFGHIJ"

Choices = Mapping[str, str] | Sequence[str]
"""Options by letter, or in the order A, B, ..."""

_LETTER = re.compile(
    r"(?:(?:the )?(?:correct )?(?:final )?(?:answer|option|choice)(?: is)?:? ?)?"
    r"(?:\( ?([A-J]) ?\)[.:]?|\[ ?([A-J]) ?\][.:]?|([A-J])(?:[.:)]|$|(?=,? ?\(?(?:because|since|as|is)\b)"
    r"|(?=项|选项)))\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_SEVERAL = re.compile(r"[A-J](?:(?: ?, ?and | and | ?[,;&/] ?| |)[A-J])+", re.IGNORECASE)
_DRESS = re.compile(r"[()\[\]. ]+")
_REASON = re.compile(r"(?<![a-z])(?:because|since|as|where|for)(?![a-z]).*", re.IGNORECASE | re.DOTALL)
_OTHER = re.compile(
    r"(?:^|[\s,;&/])[(\[] ?([A-J]) ?[)\]]|^[(\[]([A-J])[)\]]|(?:^|[\s,;&/])([A-J])[).:](?!\d)"
    r"|^(?:(?:and|or|not)\b|[,;&/])\s*[(\[]?([A-J])(?![A-Za-z])|^([A-J])$"
)


def option(text: str) -> tuple[str, str] | None:
    """Letter and text of an answer like ``B``, ``(b)``, ``B. 42``, ``Option B``; None when it is none of these.

    ``I. and II.`` are Roman numerals.

    >>> option("(b) 42")
    ('B', '42')
    """
    match = _LETTER.fullmatch(text)
    if not match:
        return None
    letter = (match[1] or match[2] or match[3]).upper()
    return None if letter == "I" and match[4].strip() else (letter, match[4].strip())


def option_letter(text: str) -> str | None:
    """The letter A to J of an answer, see :func:`option`."""
    found = option(text)
    return found and found[0]


def chosen(text: str, choices: Mapping[str, str]) -> str | None:
    """The only letter that an answer names: "B because C is wrong" names one, "(A), (B)" and "A: B" none.

    Args:
        text: Canonical text.
        choices: Options by letter; a letter that none of them has is an ordinary text.
    """
    found = option(undress(text)) or option(text.rpartition("=")[2].strip() if "=" in text else "")
    if found is None or (choices and found[0] not in choices):
        return None
    letter, rest = found
    others = {group for match in _OTHER.finditer(_REASON.sub("", rest)) for group in match.groups() if group}
    is_text = rest and canonical(choices.get(letter, "")) == rest
    return None if others - {letter} and not is_text else letter


def several_letters(text: str) -> frozenset[str] | None:
    """The letters of an answer like ``A, C``, ``AC``, ``(a) and (c)``; None when it is not that."""
    text = _DRESS.sub(" ", text).replace(" ,", ",").strip()
    return frozenset(text.lower().replace("and", "").upper()) & set(LETTERS) if _SEVERAL.fullmatch(text) else None


def is_letter_set(text: str) -> bool:
    """Whether a truth means several options: capitals in alphabetical order."""
    capitals = re.findall(r"[A-J]", text)
    return capitals == sorted(several_letters(text) or "?")


def options(choices: Any) -> dict[str, str]:
    """Options by capital letter, from all the forms in which data sets have them.

    Args:
        choices: None, a mapping (parquet pads absent letters with None), or texts in order (a list, a tuple, an array),
            with or without their letters.

    >>> options(["A. red", "B. blue"]) == options({"(a)": "red", "(b)": "blue", "c": None})
    True
    """
    if choices is None or isinstance(choices, str):
        return {}
    if isinstance(choices, Mapping):
        return {str(key).strip("(). ").upper(): str(text) for key, text in choices.items() if text is not None}
    found = {}
    for letter, text in zip(LETTERS, map(canonical, map(str, choices)), strict=False):
        named = option(text)
        found[letter] = named[1] if named and named[1] and named[0] == letter else text
    return found
