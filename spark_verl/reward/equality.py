"""Are two answers the same? Everything that can be said for certain without sympy.

``compare`` returns True, False or None, and None only when algebra has to decide. That matters for more than speed:
a task whose answers are numbers, letters or words never imports sympy and never starts a process, whatever a model
writes into the box.

First the texts and the options; then both are read as values (``values.py``) and compared by the rules for their two
kinds (``single.py``, ``several.py``).
"""

from __future__ import annotations

import re

import spark_verl.reward.several  # noqa: F401 - adds its rules
import spark_verl.reward.single  # noqa: F401 - adds its rules
from spark_verl.reward.choices import Choices, chosen, is_letter_set, option, options, several_letters
from spark_verl.reward.rules import equal
from spark_verl.reward.text import canonical, squash
from spark_verl.reward.values import read
from spark_verl.reward.words import undress

MAX_CHARS = 2000
"""Longer answers are only compared as texts; no real answer is that long."""
_BEFORE_LETTER = re.compile(r"(?<=\d) (?=[A-Za-z])")


def compare(answer: str, truth: str, *, choices: Choices | None = None, tolerance: float | None = None) -> bool | None:
    """Compare an answer with one ground truth.

    Args:
        answer: The parsed answer, as the model wrote it.
        truth: The ground truth, unwrapped (see :func:`spark_verl.reward.verifier.accepted_answers`).
        choices: Options of a multiple-choice question, by letter or in the order A, B, ...
        tolerance: Relative tolerance for numbers.

    Returns:
        True or False when certain; None when only algebra can tell.
    """
    if max(len(answer), len(truth)) > MAX_CHARS:
        same = answer.split() == truth.split()
        return same or (None if any(char.isalpha() for char in answer) else False)
    a, t = canonical(answer), canonical(truth)
    if not a or not t:
        return False
    if _same_text(a, t):
        return True
    decided = _compare_choice(a, t, options(choices))
    return equal(read(undress(a)), read(undress(t)), tolerance) if decided is None else decided


def _same_text(a: str, t: str) -> bool:
    # "5m" is read as algebra and "5 m" as a length, and both mean what they mean.
    return _BEFORE_LETTER.sub("", squash(a)) == _BEFORE_LETTER.sub("", squash(t))


# -- options, before anything is read as a value -----------------------------------------------------------------------


def _compare_choice(a: str, t: str, choices: dict[str, str]) -> bool | None:
    wanted = option(t)
    if wanted is None:
        if is_letter_set(t):
            return _letter_sets(a, t)
        # The truth is the text of an option, the answer its letter
        given = chosen(a, choices) if choices else None
        return _texts_equal(choices[given], t) is True if given else None
    if len(t) == 1 and t.islower():
        return None  # a variable, not an option
    letter, text = wanted[0], wanted[1] or choices.get(wanted[0], "")
    given = chosen(a, choices)
    if given is not None:
        return given == letter
    others = [other for name, other in choices.items() if name != letter]
    if not text or any(_same_text(a.casefold(), canonical(other).casefold()) for other in others):
        return bool(text) and _same_text(a, canonical(text))
    return _texts_equal(a, text) is True and not any(_texts_equal(a, other) for other in others)


def _texts_equal(a: str, b: str) -> bool | None:
    return equal(read(undress(canonical(a))), read(undress(canonical(b))))


def _letter_sets(a: str, t: str) -> bool | None:
    a = undress(a)
    found = several_letters(a)
    if found is None:
        return None if option(a) is None and " or " not in a else False
    # Three letters without anything between them may be the name of an angle, whose order counts
    glued = a.isalpha() and t.isalpha() and len(t) > 2
    return a.upper() == t if glued else found == several_letters(t)
