"""Numbers as people and models write them, exactly: thousands, decimals, fractions, percent, powers of ten, bases,
repeating decimals, words, units.

Every value is a :class:`fractions.Fraction`; a plain number, or arithmetic on plain numbers, never needs sympy.
All functions expect :func:`spark_verl.reward.text.canonical` text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from spark_verl.reward.text import DOLLAR
from spark_verl.reward.units import Unit, currency, ratio_of, read_unit
from spark_verl.reward.words import HAN_NUMBER, SCALES, number_words

MAX_CHARS = 200
"""Longer texts are not read as numbers: no real answer is, and huge integers cost quadratic time."""
_MAX_EXPONENT = 400

_U = r"(?:(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)(?:\.\d*)?|\.\d+)"
_S = rf"(?:[+-]\s*)?{_U}"
_LEAD = re.compile(r"\s*(?:\\approx|≈|approximately |approx\.? |about |exactly |=)?\s*")
_SIGN = re.compile(rf"\s*(?P<sign>[+-]?)\s*(?P<money>(?:US)?{DOLLAR}|[€£¥₹]|US|USD |EUR )?\s*(?P<sign2>[+-]?)\s*")
_MIXED = re.compile(r"(?P<whole>\d+)\s*\\frac\s*\{\s*(?P<num>\d+)\s*\}\s*\{\s*(?P<den>\d+)\s*\}")
_MIXED_SLASH = re.compile(r"(?P<whole>\d+)(?: and | )(?P<num>\d+) ?/ ?(?P<den>\d+)")
_FRAC = re.compile(rf"\\frac\s*\{{\s*(?P<num>{_S})\s*\}}\s*\{{\s*(?P<den>{_S})\s*\}}")
_SLASH = re.compile(rf"\(?(?P<num>{_U})\)? ?/ ?(?:\((?P<den>{_S})\)|(?P<den2>{_U}))")
_PLAIN = re.compile(
    rf"(?P<num>{_U})(?: ?(?:\\times|\\cdot|\*|x) ?10 ?\^ ?\(?\{{? ?(?P<exp>[+-]? ?\d{{1,4}}) ?\}}?\)?"
    r"|[eE](?P<exp2>[+-]?\d{1,4})(?![A-Za-z]))?"
)
_HEADS = (_MIXED, _MIXED_SLASH, _FRAC, _SLASH, _PLAIN)
_REPEATING = re.compile(
    r"(?P<whole>\d*)\.(?P<head>\d*)(?:\\(?:overline|bar|overset\{\.\}|dot)\s*\{?\s*(?P<period>\d+)\s*\}?"
    r"(?P<last>\d*\\dot\s*\{?\s*\d\s*\}?)?|\((?P<period2>\d+)\)|\\ldots)(?P<more>\\ldots)?"
)
_DOTTED = re.compile(r"(?<=\d)[\u0307\u0305]")

_PERCENT = re.compile(r"\s*(?:%|percent(?:age)?(?: points?)?|pct)\s*", re.IGNORECASE)
_SCALE = re.compile(rf"\s*({'|'.join(SCALES)})s?(?![A-Za-z])", re.IGNORECASE)
_WORDY = re.compile("[a-z\u4e00-\u9fff〇]", re.IGNORECASE)
_COMPOUND = re.compile(r"(?<=[A-Za-z\u4e00-\u9fff°'.])(?:\s*,?\s+(?:and\s+)?|(?<=[\u4e00-\u9fff°'])\s*)(?=\d)")
_FEET = re.compile(r"(\d+)\s*'\s*(\d+)\s*(?:''|\")")

_BASE_NAMES = {
    name: base
    for base, name in enumerate("two three four five six seven eight nine ten eleven twelve".split(), start=2)
} | {"binary": 2, "octal": 8, "decimal": 10, "hexadecimal": 16, "hex": 16, "sixteen": 16}
_BASE = rf"(?P<base>\d{{1,2}}|{'|'.join(_BASE_NAMES)})"
_IN_BASE = re.compile(
    rf"(?P<sign>-?)\s*(?P<open>\()?\s*(?P<digits>[0-9A-Z]+(?:\.[0-9A-Z]+)?)\s*(?(open)\))\s*"
    rf"(?:_\s*\{{\s*(?:\(\s*|base )?{_BASE}\s*\)?\s*\}}|,? ?\(?(?:in )?(?:base[ -]?{_BASE.replace('base>', 'base2>')}"
    rf"|{_BASE.replace('base>', 'base3>')})\)?)"
)
_BASE_FIRST = re.compile(rf"base[ -]?{_BASE}:? (?P<digits>[0-9A-Z]+)")


@dataclass(frozen=True)
class Number:
    """A number as written.

    Attributes:
        value: Exact value, before ``percent`` divides it by 100.
        percent: Written with a percent sign.
        places: Decimal places as written, None when it is not a decimal fraction.
        digits: Significant digits as written.
        unit: What followed it.
        base: Base that it was said to be written in; 0 when none was said.
        numeral: Its digits as written in that base, or in base ten.
    """

    value: Fraction
    percent: bool = False
    places: int | None = None
    digits: int = 0
    unit: Unit = Unit()
    base: int = 0
    numeral: str = ""


def parse_number(text: str) -> Number | None:
    """Read a whole text as one number; None when it is anything else.

    Args:
        text: Canonical text, e.g. ``"-1,234.50"``, ``"1\\frac{1}{2}"``, ``"3 \\times 10^{8} m/s"``, ``"12 %"``,
            ``"0.1\\overline{6}"``, ``"204_{5}"``, ``"3 ft 5 in"``, ``"twenty-five"``.
    """
    if not text or len(text) > MAX_CHARS:
        return None
    if text[0].isalpha() or text[0] == "〇":
        return _in_base(text) or _words(text) or _single(text)
    if "_" in text or "base" in text or text[-1:] == ")" or text[-3:] in ("ary", "tal"):
        if number := _in_base(text):
            return number
    return _single(text) or _compound(text)


def _single(text: str) -> Number | None:
    lead = _LEAD.match(text)
    sign = lead and _SIGN.match(text, lead.end())
    if not sign:  # both may be empty, so this is for the reader of types
        return None
    negative = (sign["sign"] == "-") != (sign["sign2"] == "-")
    money = currency(sign["money"].strip().removeprefix("US") or "US") if sign["money"] else Unit()
    if number := _repeating(text, sign.end(), negative):
        return number
    for head in _HEADS:
        match = head.match(text, sign.end())
        suffix = _suffix(text[match.end() :]) if match else None
        if match is None or suffix is None:
            continue
        scale, percent, unit = suffix
        number = _value(match.groupdict(), negative, percent, unit or money)
        if number is not None:
            return number if scale == 1 else replace(number, value=number.value * scale, places=None)
    return None


def _suffix(rest: str) -> tuple[int, bool, Unit] | None:
    """(power of ten, percent, unit) of what follows the digits; None when it is none of these."""
    scale = _SCALE.match(rest) if rest else None
    factor = SCALES[scale[1].lower()] if scale else 1
    rest = rest[scale.end() :] if scale else rest
    if not rest.strip():
        return factor, False, Unit()
    if _PERCENT.fullmatch(rest):
        return factor, True, Unit()
    unit = read_unit(rest)
    return None if unit is None else (factor, False, unit)


def _value(parts: dict[str, str | None], negative: bool, percent: bool, unit: Unit) -> Number | None:
    def fraction(name: str) -> Fraction | None:
        found = parts.get(name)
        # "12." is a decimal to people and not to Fraction
        return None if found is None else Fraction(found.replace(",", "").replace(" ", "").rstrip("."))

    value, denominator = fraction("num"), fraction("den") or fraction("den2")
    written = parts["num"] or ""
    numeral = ""
    if "den" in parts:
        if not denominator:
            return None
        value /= denominator
        places, digits = None, 0
    else:
        tail = written.partition(".")[2]
        places = len(tail) if tail else None
        digits = len(re.sub(r"\D", "", written).lstrip("0"))
        exponent = (parts.get("exp") or parts.get("exp2") or "0").replace(" ", "")
        if abs(int(exponent)) > _MAX_EXPONENT:
            return None
        value *= Fraction(10) ** int(exponent)
        if places is not None or exponent != "0":
            places = max((places or 0) - int(exponent), 0)
        numeral = written if exponent == "0" else ""
    if parts.get("whole"):
        value += Fraction(parts["whole"])
    return Number(-value if negative else value, percent, places, digits, unit, numeral="-" * negative + numeral)


# -- numbers that are written in another way ---------------------------------------------------------------------------


def _repeating(text: str, start: int, negative: bool) -> Number | None:
    """``0.1\\overline{6}``, ``0.\\dot{1}4\\dot{2}``, ``0.(3)``, ``0.333...``."""
    text = _DOTTED.sub("", text)
    match = _REPEATING.match(text, start)
    suffix = _suffix(text[match.end() :]) if match else None
    if match is None or suffix is None:
        return None
    head, period = match["head"], match["period"] or match["period2"]
    if period and match["last"]:
        period += re.sub(r"\D", "", match["last"])
    digits = 0
    if not period:  # the shortest block that stands there often enough to be meant
        shown = re.fullmatch(r"(\d*?)(\d)\2{2,}|(\d*?)(\d{2,6}?)\4+", head)
        if shown is None:
            return None
        head, period = (shown[1], shown[2]) if shown[2] else (shown[3], shown[4])
    value = Fraction(int(match["whole"] or 0)) + Fraction(int(head or 0), 10 ** len(head))
    value += Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(head))
    return Number(-value if negative else value, suffix[1], None, digits, suffix[2])


def _in_base(text: str) -> Number | None:
    """``204_{5}``, ``(204)_5``, ``204 in base 5``, ``1010 (binary)``, ``base 5: 204``."""
    if match := _BASE_FIRST.fullmatch(text):
        return _based(match["digits"], match["base"])
    match = _IN_BASE.fullmatch(text)
    if not match or not (match["open"] or match["digits"][0].isdigit()):
        return None
    return _based(match["digits"], match["base"] or match["base2"] or match["base3"], match["sign"])


def _based(digits: str, name: str, sign: str = "") -> Number | None:
    base = _BASE_NAMES.get(name) or int(name)
    whole, _, part = digits.partition(".")
    try:
        value = Fraction(int(whole + part, base), base ** len(part))
    except ValueError:  # a digit that the base has not, or no such base
        return None
    return Number(-value if sign else value, base=base, numeral=sign + digits.lstrip("0"))


def _words(text: str) -> Number | None:
    """``twenty-five``, ``two million dollars``; a unit has to be one that is known, so that "a circle" stays words."""
    if not _WORDY.match(text):
        return None
    value = number_words(text)
    if value is not None:
        return Number(value)
    if han := HAN_NUMBER.match(text):
        # 一定 and 一样 are words: what follows has to be a unit of measure.
        value, suffix = number_words(han[0]), _suffix(text[han.end() :])
        known = value is not None and suffix and suffix[2].dimensions
        return Number(value * suffix[0], suffix[1], unit=suffix[2]) if known else None
    words = text.split()
    for end in range(min(len(words) - 1, 8), 0, -1):
        value = None if words[0].lower() in ("a", "an", "half") else number_words(" ".join(words[:end]))
        if value is not None:
            suffix = _suffix(" " + " ".join(words[end:]))
            return Number(value * suffix[0], suffix[1], unit=suffix[2]) if suffix and suffix[2] else None
    return None


def _compound(text: str) -> Number | None:
    """``3 ft 5 in``, ``2 hours and 30 minutes``, ``5'3"``: one quantity in several units, the largest first."""
    text = _FEET.sub(r"\1 ft \2 in", text)
    parts = _COMPOUND.split(text)
    if not 2 <= len(parts) <= 4:
        return None
    numbers = [_single(part.replace("''", "arcsec").replace("'", "arcmin")) for part in parts]
    if not all(numbers):
        return None
    found = [number for number in numbers if number]
    first = found[0].unit
    same = all(n.unit.dimensions == first.dimensions and n.unit.dimensions and not n.unit.words for n in found)
    falling = all(a.unit.factor > b.unit.factor for a, b in zip(found, found[1:], strict=False))
    if not same or not falling or any(number.value < 0 for number in found[1:]):
        return None
    sign = -1 if found[0].value < 0 else 1
    total = sum((abs(number.value) * number.unit.factor for number in found), Fraction(0))
    return Number(sign * total, unit=Unit(first.dimensions))


# -- equality ----------------------------------------------------------------------------------------------------------


def numbers_equal(answer: Number, truth: Number, tolerance: float | None = None) -> bool:
    """Compare two numbers.

    Exact, except for what writing a decimal does to a number: a decimal with at least six significant digits equals
    the exact number that it is the correct rounding of (0.333333 is 1/3, 0.33 is not), and a difference below 1e-9 of
    the value is floating-point noise. A percent sign, a unit or a base on one side only is ignored, unless the unit
    says a direction; 50 % is also 0.5.

    Args:
        answer: The model's number.
        truth: The ground truth.
        tolerance: Largest accepted difference relative to the truth, for data sets that ask for one.
    """
    if answer.base != truth.base and not (answer.base and truth.base):
        bare = not (answer.percent or truth.percent or answer.unit or truth.unit)
        return bare and answer.numeral.replace(",", "") == truth.numeral.replace(",", "")
    unit = ratio_of(answer.unit, truth.unit)
    if unit is None or (answer.percent and truth.unit) or (truth.percent and answer.unit):
        return False
    if unit != 1:
        answer = replace(answer, value=answer.value * unit, places=None)
    pairs = [(answer.value, truth.value)]
    if answer.percent != truth.percent:
        pairs.append((answer.value / (100 if answer.percent else 1), truth.value / (100 if truth.percent else 1)))
    return any(_close(a, t, answer, truth, tolerance) for a, t in pairs)


def _close(a: Fraction, t: Fraction, answer: Number, truth: Number, tolerance: float | None) -> bool:
    if a == t:
        return True
    difference = abs(a - t)
    if tolerance and difference <= Fraction(tolerance) * abs(t):
        return True
    return any(is_rounding(number, difference) or _is_noise(number, difference, t) for number in (answer, truth))


def is_rounding(number: Number, difference: Fraction) -> bool:
    """Whether a number, as written with its digits, is the correct rounding of one that differs by so much."""
    if number.places is None or number.digits < 6:
        return False
    return difference <= Fraction(1, 2 * 10 ** (number.places + (2 if number.percent else 0)))


def _is_noise(number: Number, difference: Fraction, truth: Fraction) -> bool:
    return number.places is not None and difference <= abs(truth) / 10**9
