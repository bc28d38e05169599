"""Options of a multiple-choice question, and answers that name one by its letter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from spark_verl.reward.text import canonical

LETTERS = "ABCDEFGHIJ"

Choices = Mapping[str, str] | Sequence[str]
"""Options by letter, or in the order A, B, ..."""

_LETTER = re.compile(
    r"(?:(?:the )?(?:correct )?(?:final )?(?:answer|option|choice)(?: is)?:? ?)?"
    r"(?:\(([A-J])\)[.:]?|\[([A-J])\][.:]?|([A-J])(?:[.:)]|$))\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_SEVERAL = re.compile(r"\(?([A-J](?:(?: ?, ?and | and | ?[,;&/] ?|)[A-J])+)\)?", re.IGNORECASE)


def option(text: str) -> tuple[str, str] | None:
    """Letter and text of an answer like ``B``, ``(b)``, ``B. 42``, ``Option B``; None when it is none of these.

    >>> option("(b) 42")
    ('B', '42')
    """
    match = _LETTER.fullmatch(text)
    return ((match[1] or match[2] or match[3]).upper(), match[4].strip()) if match else None


def option_letter(text: str) -> str | None:
    """The letter A to J of an answer, see :func:`option`."""
    found = option(text)
    return found and found[0]


def several_letters(text: str) -> frozenset[str] | None:
    """The letters of an answer like ``A, C``, ``AC``, ``a and c``; None when it is not that."""
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
