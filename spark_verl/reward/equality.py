"""Are two answers the same? Everything that can be said for certain without sympy.

``compare`` returns True, False or None, and None only when algebra has to decide. That matters for more than speed:
a task whose answers are numbers, letters or words never imports sympy and never starts a process, whatever a model
writes into the box.

Two values are compared by the rules for their two kinds, in the order in which these stand here; the first that is
certain decides. Kinds without a common rule are left to algebra.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

from spark_verl.reward.choices import Choices, is_letter_set, option, options, several_letters
from spark_verl.reward.expression import same_function
from spark_verl.reward.numbers import MAX_CHARS, Number, numbers_equal, parse_number
from spark_verl.reward.text import canonical, squash
from spark_verl.reward.values import (
    CONJUNCTION,
    EQUATION,
    NUMERIC_NAMES,
    PLUS_MINUS,
    VARIABLE,
    Kind,
    Sequence,
    Value,
    plain,
    read,
    read_sequence,
    without_article,
    without_variable,
)

_MEMBER = re.compile(r"\s*[A-Za-z] ?\\in(?![A-Za-z])\s*")
_RELATION = re.compile(r"\\(?:le|ge|ne|lt|gt|approx|equiv|in)(?![A-Za-z])|[<>]")
_BEFORE_LETTER = re.compile(r"(?<=\d) (?=[A-Za-z])")
_WORD = re.compile(r"[A-Za-z]+")
_ATTACHED_UNIT = re.compile(r"(.*\d)([A-Za-z])")
_CONSTANTS = frozenset("e i j pi".split())
_POLAR = {"yes", "no", "true", "false"}
_MAX_UNORDERED = 8

Rule = Callable[[Value, Value, float | None], bool | None]
RULES: dict[tuple[Kind, Kind], list[Rule]] = {}
"""By the kinds of answer and truth. A rule takes both and the relative tolerance for numbers."""


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
    a, t = canonical(answer), canonical(truth)
    if not a or not t:
        return False
    # "5m" is read as algebra and "5 m" as a length, and both mean what they mean.
    if _BEFORE_LETTER.sub("", squash(a)) == _BEFORE_LETTER.sub("", squash(t)):
        return True
    decided = _compare_choice(a, t, options(choices))
    return _equal(*map(read, _without_lhs(a, t)), tolerance) if decided is None else decided


def _equal(answer: Value, truth: Value, tolerance: float | None = None) -> bool | None:
    if squash(answer.text) == squash(truth.text):
        return True
    for compares in RULES.get((answer.kind, truth.kind), ()):
        decided = compares(answer, truth, tolerance)
        if decided is not None:
            return decided
    return None


def _rule(answers: str, truths: str, *, swapped: bool = False) -> Callable[[Rule], Rule]:
    """Add a rule for all pairs of these kinds, named by their values; ``swapped``: also the other way round."""
    pairs = set(product(map(Kind, answers.split()), map(Kind, truths.split())))

    def add(compares: Rule) -> Rule:
        for pair in pairs | ({(t, a) for a, t in pairs} if swapped else set()):
            RULES.setdefault(pair, []).append(compares)
        return compares

    return add


# -- before anything is read as a value --------------------------------------------------------------------------------


def _compare_choice(a: str, t: str, choices: dict[str, str]) -> bool | None:
    given, wanted = option(a), option(t)
    if wanted is None:
        if is_letter_set(t):
            found = several_letters(a)
            return None if found is None else found == several_letters(t)
        # The truth is the text of an option, the answer its letter
        return _same_text(choices[given[0]], t) is True if given and given[0] in choices else None
    if len(t) == 1 and t.islower():
        return None  # a variable, not an option
    if given is not None:
        return given[0] == wanted[0]
    text = wanted[1] or choices.get(wanted[0])
    same = _same_text(a, text) if text else None
    if same:
        return True
    undecided = text and same is None and len(t) == 1 and several_letters(a) is None
    return None if undecided else False


def _same_text(a: str, b: str) -> bool | None:
    return _equal(read(canonical(a)), read(canonical(b)))


def _without_lhs(a: str, t: str) -> tuple[str, str]:
    """Drop ``x =`` where the other side has none or the same one; ``3 + 4 = 7`` is 7 if the truth is no equation."""
    a_parts, t_parts = EQUATION.split(a), EQUATION.split(t)
    if len(a_parts) > 1 and len(t_parts) > 1:
        same = len(a_parts) == len(t_parts) == 2 and squash(a_parts[0]) == squash(t_parts[0])
        return (a_parts[1].strip(), t_parts[1].strip()) if same else (a, t)
    if len(a_parts) > 1 and not _RELATION.search(t):
        # "x = 1, y = 2" is not an equation for one value
        several = len(a_parts) > 2 and ("," in a or CONJUNCTION.search(a))
        return (a, t) if several else (a_parts[-1].strip(), t)
    if len(t_parts) == 2 and VARIABLE.fullmatch(t_parts[0]):
        return a, t_parts[1].strip()
    if (member := _MEMBER.match(a)) and not _RELATION.search(t):
        return a[member.end() :], t
    if (member := _MEMBER.match(t)) and not _RELATION.search(a):
        return a, t[member.end() :]
    return a, t


# -- rules -------------------------------------------------------------------------------------------------------------


@_rule("number", "number")
def _numbers(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return numbers_equal(answer.content, truth.content, tolerance)


@_rule("number", "words malformed", swapped=True)
def _never(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return False


@_rule("number", "expression sequence ratio", swapped=True)
def _number_and_other(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    number, other = (truth.content, answer.text) if truth.kind is Kind.NUMBER else (answer.content, truth.text)
    if measured := _with_unit(other, number):
        pair = (measured, number) if truth.kind is Kind.NUMBER else (number, measured)
        return numbers_equal(*pair, tolerance)
    if PLUS_MINUS.search(other):
        return None if "\\sqrt" in other else False
    if "\\" in other:
        return None
    # What is left has no LaTeX. With a free variable or an ordinary word in it, it is not this number; neither is a
    # mere multiple of a constant ("5e"), nor what is beyond exact arithmetic (9^9^9^9), which no honest answer is.
    words = {word.lower() for word in _WORD.findall(other)}
    if number.unit.lower() in words:
        return None  # "1/2 h" and "h/2": the unit was a variable
    if not words or words - NUMERIC_NAMES or len(other) > MAX_CHARS:
        return False
    return None if words - _CONSTANTS or re.search(r"[\^/*(+-]", other) else False


def _with_unit(text: str, beside: Number) -> Number | None:
    """Beside a measured value "5m" is one as well; beside a bare number it may be algebra."""
    attached = _ATTACHED_UNIT.fullmatch(text) if beside.unit else None
    found = parse_number(f"{attached[1]} {attached[2]}") if attached else None
    return found if found and found.unit else None


@_rule("words expression sequence ratio matrix malformed", "words")
def _words(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    if truth.content in _POLAR:
        return re.split(r"[,.;: ]", without_article(answer.text), maxsplit=1)[0] == truth.content
    if answer.kind is not Kind.WORDS:
        return None
    return answer.content == truth.content or ("," in truth.text and _parts(answer.text) == _parts(truth.text))


def _parts(text: str) -> list[str]:
    """The parts of an enumeration of words, in alphabetical order."""
    return sorted(plain(part.strip()) for part in re.split(r",(?: and | or )?| and | or ", text))


@_rule("ratio", "ratio")
def _ratios(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    (p, q), (r, s) = answer.content, truth.content
    return None if p * s == q * r else False  # 2:4 for 1:2 is for algebra to accept or not


@_rule("matrix", "matrix")
def _matrices(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    if list(map(len, answer.content)) != list(map(len, truth.content)):
        return None  # algebra may take a row for a column
    return _all_equal(sum(answer.content, ()), sum(truth.content, ()), tolerance)


@_rule("sequence", "sequence")
@_rule("sequence", "number words expression", swapped=True)
def _sequences(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    a, t = _as_sequence(answer), _as_sequence(truth)
    if len(a.items) != len(t.items):
        # {1, 1, 2} may be {1, 2}; a union may be written in one piece
        return False if a.form == t.form == "" and _numbers_differ(a, t, tolerance) else None
    if a.form != t.form:
        # What is open on one side is closed on the other
        return False if {a.form, t.form} == {"(]", "[)"} else None
    if t.ordered:
        return _all_equal(a.items, t.items, tolerance)
    if len(t.items) > _MAX_UNORDERED:
        return None
    remaining, undecided = list(a.items), False
    for wanted in t.items:
        results = [_equal(item, wanted, tolerance) for item in remaining]
        if True in results:
            remaining.pop(results.index(True))
        elif None in results:
            undecided = True
        else:
            return False
    return None if undecided else True


def _as_sequence(value: Value) -> Sequence:
    if value.kind is Kind.SEQUENCE:
        return value.content
    found = read_sequence(value.text) if value.kind is Kind.WORDS else None
    return found or Sequence("", (read(without_variable(value.text)),))


def _numbers_differ(a: Sequence, t: Sequence, tolerance: float | None) -> bool:
    """Whether two collections of numbers are different sets for certain."""
    if any(item.kind is not Kind.NUMBER for item in (*a.items, *t.items)):
        return False
    return any(
        not any(numbers_equal(item.content, other.content, tolerance) for other in others.items)
        for mine, others in ((a, t), (t, a))
        for item in mine.items
    )


def _all_equal(a: tuple[Value, ...], t: tuple[Value, ...], tolerance: float | None) -> bool | None:
    results = [_equal(x, y, tolerance) for x, y in zip(a, t, strict=True)]
    if False in results:
        return False
    return None if None in results else True


@_rule("expression", "expression")
@_rule("expression", "number", swapped=True)
def _functions(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    return same_function(answer.text, truth.text) if tolerance is None else None
