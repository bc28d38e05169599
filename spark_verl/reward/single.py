"""Rules for one value: numbers, expressions, series, ratios, times, words, names."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from spark_verl.reward.names import names_equal
from spark_verl.reward.numbers import Number, is_rounding, numbers_equal, parse_number
from spark_verl.reward.points import constant, same_function
from spark_verl.reward.rules import rule
from spark_verl.reward.times import read_bare_time, times_equal
from spark_verl.reward.units import Unit, ratio_of
from spark_verl.reward.values import Kind, Value, plain
from spark_verl.reward.words import POLAR, polar

_ATTACHED_UNIT = re.compile(r"(.*\d)([A-Za-z])")
_INTEGRATION = re.compile(r"(.+)\+ ?[cCkK]")
_ORDERED = re.compile(r"(?<![a-z])(?:not|only|but|then|before|after|first|from|than)(?![a-z])", re.IGNORECASE)
_MAX_BITS = 2048
"""Of a number that is written out again."""


# -- numbers -----------------------------------------------------------------------------------------------------------


@rule("number", "number")
def _numbers(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return numbers_equal(answer.content, truth.content, tolerance)


@rule("expression", "expression")
def _integrals(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    """The name of a constant of integration says nothing."""
    a, t = _INTEGRATION.fullmatch(answer.text), _INTEGRATION.fullmatch(truth.text)
    return same_function(a[1], t[1]) or None if a and t else None


@rule("number expression", "number expression")
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
        return False
    if ratio != 1:
        a = f"({a})*{ratio.numerator}/{ratio.denominator}"
    if tolerance is not None:
        x, y = constant(a), constant(t)
        return None if x is None or y is None else abs(x - y) <= tolerance * abs(y)
    for angle, unit, radians, other in ((a, a_unit, t, t_unit), (t, t_unit, a, a_unit)):
        if "degree" in dict(unit.dimensions) and not other and "\\pi" in radians:
            return same_function(f"({angle})°", radians)
    same = _rounding(answer, truth) or same_function(a, t)
    # Without LaTeX, what has no value here ("1a3", "9^9^9^9") is no number that an honest answer is
    odd = next((v for v in (answer, truth) if v.kind is Kind.EXPRESSION and "\\" not in v.text), None)
    return False if same is None and odd and Kind.NUMBER in (answer.kind, truth.kind) else same


def _parts(value: Value) -> tuple[str, Unit]:
    if value.kind is Kind.EXPRESSION:
        return value.content
    number: Number = value.content
    if max(number.value.numerator.bit_length(), number.value.denominator.bit_length()) > _MAX_BITS:
        return value.text, number.unit
    return f"({number.value.numerator})/({number.value.denominator})", number.unit


def _rounding(answer: Value, truth: Value) -> bool | None:
    """Whether one is a decimal of at least six digits, and the correct rounding of the other."""
    for number, other in ((answer, truth), (truth, answer)):
        exact = constant(other.content[0]) if number.kind is Kind.NUMBER and other.kind is Kind.EXPRESSION else None
        if exact is not None and math.isfinite(exact):
            return is_rounding(number.content, abs(Fraction(exact) - number.content.value)) or None
    return None


# -- series, ratios, times ---------------------------------------------------------------------------------------------


@rule("series", "series")
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


@rule("series", "number")
def _worked_out(answer: Value, truth: Value, tolerance: float | None) -> bool:
    """``7-10`` for -3. A truth that is a range or a size is not computed."""
    sign, (first, *others) = answer.content
    if sign == ">" or isinstance(first, str) or re.search(" (?:to|through|until|by) ", answer.text):
        return False
    value = first.value
    for other in others:
        value = value - other.value if sign == "-" else value * other.value
    return numbers_equal(Number(value, unit=first.unit), truth.content, tolerance)


@rule("ratio", "ratio")
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


@rule("ratio", "number expression series", swapped=True)
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


@rule("time", "time")
@rule("time", "ratio words", swapped=True)
def _times(answer: Value, truth: Value, tolerance: float | None) -> bool:
    """``16:30`` is a time beside another one."""
    a, t = (v.content if v.kind is Kind.TIME else read_bare_time(v.text) for v in (answer, truth))
    return bool(a and t) and times_equal(a, t)


@rule("date", "date")
@rule("empty", "empty")
def _same(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return answer.content == truth.content


# -- words and names ---------------------------------------------------------------------------------------------------


@rule("words sequence empty", "words")
@rule("words", "sequence")
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


@rule("name", "words", swapped=True)
def _shouted(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return plain(answer.text) == plain(truth.text)


@rule("name", "expression", swapped=True)
def _point(answer: Value, truth: Value, tolerance: float | None) -> bool:
    """``point P`` and ``P``."""
    name, other = (answer, truth) if answer.kind is Kind.NAME else (truth, answer)
    return name.content.letters == other.text


@rule("name", "name")
def _names(answer: Value, truth: Value, tolerance: float | None) -> bool:
    return names_equal(answer.content, truth.content)
