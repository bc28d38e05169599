"""Are two answers the same? Everything that can be said for certain without sympy.

``compare`` returns True, False or None, and None only when algebra has to decide. That matters for more than speed:
a task whose answers are numbers, letters or words never imports sympy and never starts a process, whatever a model
writes into the box.

Two values are compared by the rules for their two kinds, in the order in which these stand here; the first that is
certain decides. Kinds without a common rule are different things: what cannot be told is not rewarded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from itertools import product

from spark_verl.reward.choices import Choices, chosen, is_letter_set, option, options, several_letters
from spark_verl.reward.intervals import read_intervals, same_intervals
from spark_verl.reward.names import names_equal
from spark_verl.reward.numbers import Number, is_rounding, numbers_equal, parse_number
from spark_verl.reward.points import constant, same_function
from spark_verl.reward.relations import Relations, same_statements
from spark_verl.reward.text import canonical, squash
from spark_verl.reward.times import read_bare_time, times_equal
from spark_verl.reward.units import Unit, ratio_of
from spark_verl.reward.values import Kind, Sequence, Value, plain, read
from spark_verl.reward.words import POLAR, polar, undress

_BEFORE_LETTER = re.compile(r"(?<=\d) (?=[A-Za-z])")
_ATTACHED_UNIT = re.compile(r"(.*\d)([A-Za-z])")
_FUNCTION_OF_X = re.compile(r"[fgh]\(x\)")
_INTEGRATION = re.compile(r"(.+)\+ ?[cCkK]")
MAX_CHARS = 2000
"""Longer answers are only compared as texts; no real answer is that long."""
_ORDERED = re.compile(r"(?<![a-z])(?:not|only|but|then|before|after|first|from|than)(?![a-z])", re.IGNORECASE)
_MAX_SLOW = 8

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
    if max(len(answer), len(truth)) > MAX_CHARS:
        same = answer.split() == truth.split()
        return same or (None if any(char.isalpha() for char in answer) else False)
    a, t = canonical(answer), canonical(truth)
    if not a or not t:
        return False
    if _same_text(a, t):
        return True
    decided = _compare_choice(a, t, options(choices))
    return _equal(read(undress(a)), read(undress(t)), tolerance) if decided is None else decided


def _equal(answer: Value, truth: Value, tolerance: float | None = None) -> bool | None:
    if squash(answer.text) == squash(truth.text):
        return True
    rules = RULES.get((answer.kind, truth.kind), ())
    for compares in rules:
        decided = compares(answer, truth, tolerance)
        if decided is not None:
            return decided
    return None if rules else False


def _same_text(a: str, t: str) -> bool:
    # "5m" is read as algebra and "5 m" as a length, and both mean what they mean.
    return _BEFORE_LETTER.sub("", squash(a)) == _BEFORE_LETTER.sub("", squash(t))


def _rule(answers: str, truths: str, *, swapped: bool = False) -> Callable[[Rule], Rule]:
    """Add a rule for all pairs of these kinds, named by their values; ``swapped``: also the other way round."""
    pairs = set(product(map(Kind, answers.split()), map(Kind, truths.split())))

    def add(compares: Rule) -> Rule:
        for pair in pairs | ({(t, a) for a, t in pairs} if swapped else set()):
            RULES.setdefault(pair, []).append(compares)
        return compares

    return add


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
    return _equal(read(undress(canonical(a))), read(undress(canonical(b))))


def _letter_sets(a: str, t: str) -> bool | None:
    a = undress(a)
    found = several_letters(a)
    if found is None:
        return None if option(a) is None else False
    # Three letters without anything between them may be the name of an angle, whose order counts
    glued = a.isalpha() and t.isalpha() and len(t) > 2
    return a.upper() == t if glued else found == several_letters(t)


# -- numbers -----------------------------------------------------------------------------------------------------------


@_rule("number", "number")
def _numbers(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return numbers_equal(answer.content, truth.content, tolerance)


@_rule("expression", "expression")
def _integrals(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    """The name of a constant of integration says nothing."""
    a, t = _INTEGRATION.fullmatch(answer.text), _INTEGRATION.fullmatch(truth.text)
    return same_function(a[1], t[1]) or None if a and t else None


@_rule("number expression", "number expression")
def _measured(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    """What differs by its unit; "34m" beside a bare 34 or beside "34 meters" is a length as well."""
    (a, a_unit), (t, t_unit) = _parts(answer), _parts(truth)
    for mine, other in ((answer, truth), (truth, answer)):
        attached = _ATTACHED_UNIT.fullmatch(mine.text) if mine.kind is Kind.EXPRESSION else None
        number = parse_number(f"{attached[1]} {attached[2]}") if attached else None
        if number and number.unit and other.kind is Kind.NUMBER and (other.content.unit or mine is truth):
            pair = (number, other.content) if mine is answer else (other.content, number)
            return numbers_equal(*pair, tolerance)
    ratio = ratio_of(a_unit, t_unit)
    if ratio is None:
        return _radians(a, t) if {"°", ""} == {_degrees(a_unit), _degrees(t_unit)} else False
    if ratio != 1:
        a = f"({a})*{ratio.numerator}/{ratio.denominator}"
    if tolerance is not None:
        x, y = constant(a), constant(t)
        return None if x is None or y is None else abs(x - y) <= tolerance * abs(y)
    if "degree" in dict(a_unit.dimensions) and not t_unit and "\\pi" in t:
        return _radians(a, t)
    same = _rounding(answer, truth) or same_function(a, t)
    # Without LaTeX, what has no value here ("1a3", "9^9^9^9") is no number that an honest answer is
    odd = next((v for v in (answer, truth) if v.kind is Kind.EXPRESSION and "\\" not in v.text), None)
    return False if same is None and odd and Kind.NUMBER in (answer.kind, truth.kind) else same


def _parts(value: Value) -> tuple[str, Unit]:
    if value.kind is Kind.EXPRESSION:
        return value.content
    number: Number = value.content
    return f"({number.value.numerator})/({number.value.denominator})", number.unit


def _degrees(unit: Unit) -> str:
    return "°" if dict(unit.dimensions) == {"degree": 1} else ""


def _radians(a: str, t: str) -> bool | None:
    return same_function(f"({a})°", t) if "\\pi" in t else None


def _rounding(answer: Value, truth: Value) -> bool | None:
    """Whether one is a decimal of at least six digits, and the correct rounding of the other."""
    for number, other in ((answer, truth), (truth, answer)):
        exact = constant(other.content[0]) if number.kind is Kind.NUMBER and other.kind is Kind.EXPRESSION else None
        if exact is not None and math.isfinite(exact):
            return is_rounding(number.content, abs(Fraction(exact) - number.content.value)) or None
    return None


@_rule("number", "words name malformed empty", swapped=True)
@_rule("malformed", "malformed", swapped=True)
def _never(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return False


# -- series, ratios, times ---------------------------------------------------------------------------------------------


@_rule("series", "series")
def _series(answer: Value, truth: Value, tolerance: float | None) -> bool:
    (sign, items), (other, wanted) = answer.content, truth.content
    return (
        sign == other
        and len(items) == len(wanted)
        and all(
            numbers_equal(x, y, tolerance) if isinstance(x, Number) and isinstance(y, Number) else x == y
            for x, y in zip(items, wanted, strict=True)
        )
    )


@_rule("series", "number")
def _worked_out(answer: Value, truth: Value, tolerance: float | None) -> bool:
    """``7-10`` for -3. A truth that is a range or a size is not computed."""
    sign, (first, *others) = answer.content
    if sign == ">" or isinstance(first, str) or re.search(" (?:to|through|until|by) ", answer.text):
        return False
    value = first.value
    for other in others:
        value = value - other.value if sign == "-" else value * other.value
    return numbers_equal(Number(value, unit=first.unit), truth.content, tolerance)


@_rule("ratio", "ratio")
def _ratios(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    times = read_bare_time(answer.text), read_bare_time(truth.text)
    if all(times):  # 15:15 and 21:21: times rather than ratios
        return times[0] == times[1]
    terms = list(zip(answer.content, truth.content, strict=False))
    if len(answer.content) != len(truth.content):
        return False
    first = terms[0]
    found = [same_function(f"({p})({first[1]})", f"({first[0]})({r})") for p, r in terms[1:]]
    return all(found)


@_rule("ratio", "number expression series", swapped=True)
def _ratio_and_quotient(answer: Value, truth: Value, tolerance: float | None) -> bool:
    """``3:4``, ``3/4`` and "3 to 4"."""
    ratio, other = (answer, truth) if answer.kind is Kind.RATIO else (truth, answer)
    if len(ratio.content) != 2:
        return False
    first, second = ratio.content
    if other.kind is Kind.SERIES:
        items = other.content[1]
        if " to " not in other.text or len(items) != 2 or not all(isinstance(item, Number) for item in items):
            return False
        return same_function(f"({first})({items[1].value})", f"({second})({items[0].value})") is True
    if other.kind is Kind.NUMBER and (other.content.unit or other.content.percent):
        return False
    text, _ = _parts(other)
    return same_function(f"({first})/({second})", text) is True


@_rule("time", "time")
def _times(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return times_equal(answer.content, truth.content)


@_rule("time", "ratio words", swapped=True)
def _time_and_ratio(answer: Value, truth: Value, tolerance: float | None) -> bool:
    """``16:30`` is a time beside another one."""
    a, t = (v.content if v.kind is Kind.TIME else read_bare_time(v.text) for v in (answer, truth))
    return bool(a and t) and times_equal(a, t)


@_rule("date", "date")
def _dates(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return answer.content == truth.content


# -- words and names ---------------------------------------------------------------------------------------------------


@_rule("words sequence empty", "words")
@_rule("words", "sequence")
def _words(answer: Value, truth: Value, tolerance: float | None) -> bool:
    if truth.content in POLAR:
        return polar(answer.text) == truth.content
    if answer.kind is Kind.WORDS and answer.content == truth.content:
        return True
    wanted = _enumerated(truth.text)
    return len(wanted) > 1 and not _ORDERED.search(truth.text) and _enumerated(answer.text) == wanted


def _enumerated(text: str) -> list[str]:
    """The parts of an enumeration of words, in alphabetical order."""
    return sorted(plain(part.strip()) for part in re.split(r",(?: and | or )?| and | or | ?& ?", text))


@_rule("name", "words", swapped=True)
def _shouted(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return plain(answer.text) == plain(truth.text)


@_rule("name", "name")
def _names(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return names_equal(answer.content, truth.content)


@_rule("empty", "empty")
def _empty(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return True


# -- sets, tuples, matrices --------------------------------------------------------------------------------------------


@_rule("intervals", "intervals")
@_rule("intervals", "sequence", swapped=True)
def _intervals(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    a, t = (v.content if v.kind is Kind.INTERVALS else read_intervals(v.text) for v in (answer, truth))
    return bool(a and t) and same_intervals(a, t)


@_rule("matrix", "matrix")
def _matrices(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    if list(map(len, answer.content)) != list(map(len, truth.content)):
        return False
    return _all_equal(sum(answer.content, ()), sum(truth.content, ()), tolerance)


@_rule("matrix", "sequence", swapped=True)
def _vectors(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    """A row or a column, and a tuple."""
    matrix, other = (answer, truth) if answer.kind is Kind.MATRIX else (truth, answer)
    rows = matrix.content
    if other.content.form not in ("(", "[") or not (len(rows) == 1 or all(len(row) == 1 for row in rows)):
        return False
    entries: tuple[Value, ...] = sum(rows, ())
    if len(entries) != len(other.content.items):
        return False
    pair = (entries, other.content.items) if matrix is answer else (other.content.items, entries)
    return _all_equal(*pair, tolerance)


@_rule("matrix", "expression", swapped=True)
@_rule("malformed", "expression")
def _only_algebra(answer: Value, truth: Value, tolerance: float | None) -> None:
    return None


@_rule("sequence", "sequence")
def _sequences(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    a, t = answer.content, truth.content
    if a.form != t.form and "{" in (a.form, t.form) and "" not in (a.form, t.form):
        return False
    if a.ordered and t.ordered and a.form != t.form:
        return False  # what is open on one side is closed on the other
    if a.ordered or t.ordered or (a.form == t.form == "" and _in_order(t)):
        return len(a.items) == len(t.items) and _all_equal(a.items, t.items, tolerance)
    return _same_items(a, t, tolerance)


def _in_order(truth: Sequence) -> bool:
    """Letters that are not in alphabetical order are an order, and so are the numbers from 1 to n, and signs."""
    texts = [item.text for item in truth.items]
    if all(re.fullmatch("[A-Z]", text) for text in texts):
        return texts != sorted(texts)
    numbered = [str(number) for number in range(1, len(texts) + 1)]
    if len(texts) > 2 and sorted(texts) == numbered:
        return len(texts) > 3 or texts != numbered
    return any(item.kind is Kind.EXPRESSION and same_function(item.text, item.text) is None for item in truth.items)


def _same_items(a: Sequence, t: Sequence, tolerance: float | None) -> bool | None:
    """Whether two lists are equal in some order; as sets, where both stand in braces."""
    as_sets = a.form == t.form == "{"
    if len(a.items) != len(t.items) and not as_sets:
        return False
    slow = any(item.kind not in (Kind.NUMBER, Kind.WORDS) for item in (*a.items, *t.items))
    if slow and len(t.items) > _MAX_SLOW:
        return None
    if as_sets:
        found = [[_equal(x, y, tolerance) for x in a.items] for y in t.items]
        best = [_any(row) for row in (*found, *zip(*found, strict=True))]
        return False if False in best else None if None in best else True
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


def _any(results: tuple[bool | None, ...] | list[bool | None]) -> bool | None:
    return True if True in results else None if None in results else False


def _all_equal(a: tuple[Value, ...], t: tuple[Value, ...], tolerance: float | None) -> bool | None:
    results = [_equal(x, y, tolerance) for x, y in zip(a, t, strict=True)]
    if False in results:
        return False
    return None if None in results else True


# -- equations and inequalities ----------------------------------------------------------------------------------------


@_rule("relation", "relation")
def _relations(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    a: Relations = answer.content
    t: Relations = truth.content
    sets = a.solution(), t.solution()
    if sets[0] and sets[1]:
        return sets[0][0] == sets[1][0] and same_intervals(sets[0][1], sets[1][1])
    named, wanted = a.values(), t.values()
    if named and wanted:
        if named.keys() == wanted.keys():
            found = [_one_value(named[name], wanted[name], tolerance) for name in wanted]
            return False if False in found else None if None in found else True
        if len(named) == len(wanted) == 1 and _same_left(*named, *wanted):
            return _one_value(*named.values(), *wanted.values(), tolerance)
        if any(constant(text) is not None for texts in wanted.values() for text in texts):
            return False
    elif wanted and all(constant(text) is not None for texts in wanted.values() for text in texts):
        return False  # "2x = 10" is not yet "x = 5"
    return a.any_of == t.any_of and same_statements(a.atoms, t.atoms)


def _same_left(a: str, t: str) -> bool:
    return all(name == "y" or _FUNCTION_OF_X.fullmatch(name) for name in (a, t))


def _one_value(a: list[str], t: list[str], tolerance: float | None) -> bool | None:
    return _equal(read(", ".join(a)), read(", ".join(t)), tolerance)


@_rule("relation", "intervals sequence", swapped=True)
def _solutions(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    """An inequality and the interval that it describes."""
    relation, other = (answer, truth) if answer.kind is Kind.RELATION else (truth, answer)
    solution = relation.content.solution()
    found = other.content if other.kind is Kind.INTERVALS else read_intervals(other.text)
    if solution is None or not found:
        return None
    return same_intervals(solution[1], found)


def _adds_up(relations: Relations) -> bool:
    """Whether no two sides of a chain are different numbers: ``3+4 = 8`` is no way to 8."""
    sides = [side for side in relations.chains[0][0] if constant(side) is not None]
    approximate = "\\approx" in relations.chains[0][1]
    return approximate or all(same_function(sides[0], side) is not False for side in sides[1:])


@_rule("relation", " ".join(kind.value for kind in Kind if kind is not Kind.RELATION), swapped=True)
def _value_of_relation(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    """``x = 5`` for 5, ``3 + 4 = 7`` for 7, ``x=1, y=2`` for (1, 2)."""
    is_answer = answer.kind is Kind.RELATION
    relation, other = (answer, truth) if is_answer else (truth, answer)

    def against(text: str) -> bool | None:
        value = read(text)
        return _equal(value, other, tolerance) if is_answer else _equal(other, value, tolerance)

    named = relation.content.values()
    if not named:
        result = relation.content.result if is_answer and _adds_up(relation.content) else None
        return False if result is None else against(result)
    if len(named) == 1:
        return against(", ".join(*named.values()))
    items = other.content.items if other.kind is Kind.SEQUENCE and other.content.form in ("", "(") else ()
    if len(items) != len(named) or any(len(texts) > 1 for texts in named.values()):
        return False
    written = [read(texts[0]) for texts in named.values()]
    by_name = [read(named[name][0]) for name in sorted(named)]
    found = []
    for values in (written, by_name):
        pair = (tuple(values), items) if is_answer else (items, tuple(values))
        found.append(_all_equal(*pair, tolerance))
    return _any(found)
