"""Numbers as people and models write them, exactly: thousands, decimals, fractions, percent, powers of ten, units.

Every value is a :class:`fractions.Fraction`; a plain number, or arithmetic on plain numbers, never needs sympy.
All functions expect :func:`spark_verl.reward.text.canonical` text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from spark_verl.reward.text import DEGREE

MAX_CHARS = 200
"""Longer texts are not read as numbers: no real answer is, and huge integers cost quadratic time."""
_MAX_EXPONENT = 400

_U = r"(?:(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)(?:\.\d*)?|\.\d+)"
_S = rf"(?:[+-]\s*)?{_U}"
_LEAD = re.compile(r"\s*(?:\\approx|≈|approximately |approx\.? |about |exactly )?\s*")
_SIGN = re.compile(r"\s*(?P<sign>[+-]?)\s*(?:[€£¥₹]|US|USD |EUR )?\s*(?P<sign2>[+-]?)\s*")
_MIXED = re.compile(r"(?P<whole>\d+)\s*\\frac\s*\{\s*(?P<num>\d+)\s*\}\s*\{\s*(?P<den>\d+)\s*\}")
_MIXED_SLASH = re.compile(r"(?P<whole>\d+)(?: and | )(?P<num>\d+) ?/ ?(?P<den>\d+)")
_FRAC = re.compile(rf"\\frac\s*\{{\s*(?P<num>{_S})\s*\}}\s*\{{\s*(?P<den>{_S})\s*\}}")
_SLASH = re.compile(rf"\(?(?P<num>{_U})\)? ?/ ?(?:\((?P<den>{_S})\)|(?P<den2>{_U}))")
_PLAIN = re.compile(
    rf"(?P<num>{_U})(?: ?(?:\\times|\\cdot|\*|x) ?10 ?\^ ?\(?\{{? ?(?P<exp>[+-]? ?\d{{1,4}}) ?\}}?\)?"
    r"|[eE](?P<exp2>[+-]?\d{1,4})(?![A-Za-z]))?"
)
_HEADS = (_MIXED, _MIXED_SLASH, _FRAC, _SLASH, _PLAIN)

_PERCENT = re.compile(r"\s*(?:%|percent(?:age)?(?: points?)?|pct)\s*", re.IGNORECASE)
# Words, perhaps with powers and slashes. One bare letter counts only after a space ("5 m"): "5m" may be algebra.
_UNIT = re.compile(
    r"(?:(?P<attached>°\s*[CFK]?|[A-Za-z]{2,20})|\s+(?:[A-Za-zΩ]{1,20}|\\Omega|\\mu ?[A-Za-z]{1,3}))"
    r"(?:[ ./*-]{0,3}(?:\\cdot ?)?[A-Za-z]{1,20}|\s*\^\s*\{?-?\d\}?|°){0,8}\.?\s*"
)
_NOT_UNITS = frozenset(
    "pi e i j x y z n k t a b c sin cos tan cot sec csc log ln exp sqrt mod or and to cdot times".split()
)
_UNIT_NAMES = {
    name: unit
    for unit, names in {
        "m": "m meter meters metre metres", "cm": "cm centimeter centimeters centimetre centimetres",
        "mm": "mm millimeter millimeters millimetre millimetres", "km": "km kilometer kilometers kilometre kilometres",
        "in": "in inch inches", "ft": "ft foot feet", "yd": "yd yard yards", "mi": "mi mile miles",
        "g": "g gram grams", "kg": "kg kilogram kilograms", "mg": "mg milligram milligrams",
        "lb": "lb lbs pound pounds", "oz": "oz ounce ounces", "t": "ton tons tonne tonnes",
        "s": "s sec secs second seconds", "min": "min mins minute minutes", "h": "h hr hrs hour hours",
        "day": "day days", "week": "week weeks", "month": "month months", "year": "yr yrs year years",
        "L": "L l liter liters litre litres", "mL": "mL ml milliliter milliliters millilitre millilitres",
        "rad": "rad radian radians", DEGREE: "° deg degree degrees", "dollar": "dollar dollars USD",
        "cent": "cent cents", "N": "N newton newtons", "J": "J joule joules", "W": "W watt watts",
        "V": "V volt volts", "A": "A amp amps ampere amperes", "Hz": "Hz hertz", "Pa": "Pa pascal pascals",
        "K": "K kelvin kelvins",
        **{unit: unit for unit in (
            "dm nm um kW MW GW mW eV keV MeV kJ MJ kN mN Wh kWh Ah mAh mA kV mV dB cc sq cu pt qt gal bar atm mol ppm "
            "rpm mph kph kmh fps bpm psi hPa kPa MPa kHz MHz GHz KB kB MB GB TB kcal cal lm lx px sr ha"
        ).split()},
    }.items()
    for name in names.split()
}  # fmt: skip

WORDS = {
    word: Fraction(value)
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
}


@dataclass(frozen=True)
class Number:
    """A number as written.

    Attributes:
        value: Exact value, before ``percent`` divides it by 100.
        percent: Written with a percent sign.
        places: Decimal places as written, None when it is not a decimal fraction.
        digits: Significant digits as written.
        unit: What followed it, in one spelling; "" when nothing did.
    """

    value: Fraction
    percent: bool = False
    places: int | None = None
    digits: int = 0
    unit: str = ""


def parse_number(text: str) -> Number | None:
    """Read a whole text as one number; None when it is anything else.

    Args:
        text: Canonical text, e.g. ``"-1,234.50"``, ``"1\\frac{1}{2}"``, ``"3 \\times 10^{8} m/s"``, ``"12 %"``.
    """
    if len(text) > MAX_CHARS:
        return None
    if text.lower() in WORDS:
        return Number(WORDS[text.lower()])
    lead = _LEAD.match(text)
    sign = lead and _SIGN.match(text, lead.end())
    if not sign:  # both may be empty, so this is for the reader of types
        return None
    negative = (sign["sign"] == "-") != (sign["sign2"] == "-")
    for head in _HEADS:
        match = head.match(text, sign.end())
        suffix = _suffix(text[match.end() :]) if match else None
        if match is None or suffix is None:
            continue
        number = _value(match.groupdict(), negative, *suffix)
        if number is not None:
            return number
    return None


def _suffix(rest: str) -> tuple[bool, str] | None:
    """(percent, unit) of what follows the digits; None when it is neither a percent sign nor a unit."""
    if not rest.strip():
        return False, ""
    if _PERCENT.fullmatch(rest):
        return True, ""
    match = _UNIT.fullmatch(rest)
    if not match:
        return None
    words = rest.strip().rstrip(".")
    if match["attached"] and words not in _UNIT_NAMES and not words.startswith(DEGREE):
        return None
    first = re.split(r"[^A-Za-z]", words, maxsplit=1)[0]
    # "2 r" and "2 xy" are products; what is counted ("apples") is a word.
    is_word = len(first) > 2 and re.search(r"[aeiouy]", first, re.IGNORECASE)
    if first in _NOT_UNITS or (first and not is_word and _unit(first) is None):
        return None
    return False, " ".join(_unit(word) or word for word in words.split())


def _unit(word: str) -> str | None:
    """The one spelling of a unit's name; "CM" is read as "cm", "M" is not "m"."""
    return _UNIT_NAMES.get(word) or (_UNIT_NAMES.get(word.lower()) if len(word) > 1 else None)


def _value(parts: dict[str, str | None], negative: bool, percent: bool, unit: str) -> Number | None:
    def fraction(name: str) -> Fraction | None:
        found = parts.get(name)
        # "12." is a decimal to people and not to Fraction
        return None if found is None else Fraction(found.replace(",", "").replace(" ", "").rstrip("."))

    value, denominator = fraction("num"), fraction("den") or fraction("den2")
    written = parts["num"] or ""
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
    if parts.get("whole"):
        value += Fraction(parts["whole"])
    return Number(-value if negative else value, percent, places, digits, unit)


def numbers_equal(answer: Number, truth: Number, tolerance: float | None = None) -> bool:
    """Compare two numbers.

    Exact, except for what writing a decimal does to a number: a decimal with at least six significant digits equals
    the exact number that it is the correct rounding of (0.333333 is 1/3, 0.33 is not), and a difference below 1e-9 of
    the value is floating-point noise. A percent sign or a unit on one side only is ignored; 50 % is also 0.5.

    Args:
        answer: The model's number.
        truth: The ground truth.
        tolerance: Largest accepted difference relative to the truth, for data sets that ask for one.
    """
    if answer.unit and truth.unit and _units_differ(answer.unit, truth.unit):
        return False
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
    for number in (answer, truth):
        if number.places is None:
            continue
        shift = 2 if number.percent else 0
        if number.digits >= 6 and difference <= Fraction(1, 2 * 10 ** (number.places + shift)):
            return True
        if difference <= abs(t) / 10**9:
            return True
    return False


def _units_differ(a: str, b: str) -> bool:
    known = set(_UNIT_NAMES.values())
    # Words for what is counted ("apples", "students") say little; units of measure say everything.
    return a != b and a in known and b in known
