"""Units of measure, currencies, and words for what is counted: what may follow a number.

A unit is a product of powers of dimensions with a factor, so that ``km/h`` and ``m/s`` are of one kind, ``cm^2`` and
``cm^3`` are not, and ``3 ft 5 in`` is one length. A dimension of its own for everything that cannot be converted.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from spark_verl.reward.text import DEGREE, DOLLAR

_SYSTEM = {
    "length": {
        1: "m meter metre 米", "1/100": "cm centimeter centimetre 厘米", "1/1000": "mm millimeter millimetre 毫米",
        "1/10": "dm decimeter decimetre 分米", 1000: "km kilometer kilometre 千米 公里", "1/10**6": "\\mum um micron "
        "micrometer", "1/10**9": "nm nanometer", "254/10000": "in inch inches", "3048/10000": "ft foot feet",
        "9144/10000": "yd yard", "1609344/1000": "mi mile",
    },
    "mass": {1: "g gm gram 克", 1000: "kg kilogram 千克 公斤", "1/1000": "mg milligram 毫克",
             "45359237/100000": "lb pound", "28349523125/10**9": "oz ounce", 10**6: "t ton tonne 吨"},
    "time": {1: "s sec second 秒", 60: "min minute 分钟", 3600: "h hr hour 小时", 86400: "day 天", 604800: "week",
             "1/1000": "ms millisecond"},
    "volume": {1: "L l liter litre 升", "1/1000": "mL ml milliliter millilitre 毫升"},
    "month": {1: "month 个月", 12: "yr year 年"},
    "degree": {1: f"{DEGREE} deg degree 度", "1/60": "arcmin", "1/3600": "arcsec"},
    "radian": {1: "rad radian"},
    "celsius": {1: "celsius"}, "fahrenheit": {1: "fahrenheit"}, "kelvin": {1: "K kelvin"},
    "dollar": {1: f"{DOLLAR} dollar USD buck 美元", "1/100": "¢ cent"},
    "euro": {1: "€ euro EUR 欧元"}, "yuan": {1: "元 yuan RMB", "1/10": "角"}, "yen": {1: "¥ yen"},
    "rupee": {1: "₹ rupee"},
    "unit": {1: "unit"},
    "force": {1: "N newton", 1000: "kN"}, "pressure": {1: "Pa pascal", 100: "hPa", 1000: "kPa", 10**6: "MPa"},
    "energy": {1: "J joule", 1000: "kJ", 10**6: "MJ"}, "electronvolt": {1: "eV", 1000: "keV", 10**6: "MeV"},
    "watthour": {1: "Wh", 1000: "kWh"}, "heat": {1: "cal calorie", 1000: "kcal"},
    "power": {1: "W watt", "1/1000": "mW", 1000: "kW kilowatt", 10**6: "MW", 10**9: "GW"},
    "voltage": {1: "V volt", "1/1000": "mV", 1000: "kV"}, "current": {1: "A amp ampere", "1/1000": "mA"},
    "charge": {1: "Ah", "1/1000": "mAh"}, "resistance": {1: "\\Omega ohm"},
    "frequency": {1: "Hz hertz", 1000: "kHz", 10**6: "MHz", 10**9: "GHz"},
    "data": {1: "KB kB", 1000: "MB", 10**6: "GB", 10**9: "TB"},
    **{name: {1: name} for name in "mN dB pt qt gal bar atm mol ppm rpm fps bpm psi lm lx px sr ha".split()},
}  # fmt: skip
_COMPOSED = {
    "mph": "mi/h", "kph": "km/h", "kmh": "km/h", "cc": "cm^{3}", "sqft": "ft^{2}", "平方厘米": "cm^{2}",
    "平方米": "m^{2}", "平方分米": "dm^{2}", "平方千米": "km^{2}",
    "立方厘米": "cm^{3}", "立方米": "m^{3}", "立方分米": "dm^{3}",
}  # fmt: skip


def _value(written: int | str) -> Fraction:
    if isinstance(written, int):
        return Fraction(written)
    above, _, below = written.partition("/")
    base, _, power = below.partition("**")
    return Fraction(int(above), int(base) ** int(power or 1))


_NAMES = {
    name: (dimension, _value(factor))
    for dimension, factors in _SYSTEM.items()
    for factor, names in factors.items()
    for name in names.split()
}
_COUNTERS = "个 人 只 本 次 辆 棵 颗 支 件 种 块 张 名 位 条 头 岁 袋 箱 盒 朵 元钱".split()
_POWERS = {"square": 2, "sq": 2, "squared": 2, "cubic": 3, "cu": 3, "cubed": 3}
_FILLERS = frozenset(
    "a an the of to in is are total altogether each long tall wide high deep away there were only".split()
)
_DIRECTIONS = frozenset(
    "north south east west left right up down above below more fewer less greater larger smaller longer shorter taller "
    "older younger faster slower higher lower earlier later before after ago early late clockwise counterclockwise "
    "anticlockwise increase decrease profit loss gain lose positive negative inside outside forward backward upward "
    "downward heads tails wins losses ahead behind northeast northwest southeast southwest".split()
)
_TOKEN = re.compile(
    rf"\s*(?:(?P<power>\^\s*\{{?\s*(?P<exponent>-?\d)\s*\}}?)|(?P<sign>/|\*|\\cdot(?![A-Za-z])|\\times(?![A-Za-z])|\.|-|,)"
    rf"|(?P<word>\\mu\s*m|\\Omega|{DEGREE}\s*[CF](?![A-Za-z])|[A-Za-zΩ]+|[{DEGREE}¢€£¥₹{DOLLAR}]|[\u4e00-\u9fff]+))"
)
_CURRENCIES = {DOLLAR: "dollar", "€": "euro", "£": "pound",  # also a mass, which the word does not tell
                "¥": "yen", "₹": "rupee", "US": "dollar", "USD": "dollar",
               "EUR": "euro"}  # fmt: skip
_IN_ALL = re.compile(r"\b(?:in (?:total|all|height|length|width)|altogether)\b")
_METERS = re.compile(r"m\s*(?:\^\s*\{?[23]|/\s*[A-Za-z])")
# Letters that are rather variables or constants beside a number
_NOT_UNITS = frozenset(
    "pi e i j x y z n k t a b c sin cos tan cot sec csc log ln exp sqrt mod or and to cdot times".split()
)


@dataclass(frozen=True)
class Unit:
    """What follows a number.

    Attributes:
        dimensions: Powers of dimensions, without zeros.
        factor: Of its value in the base units of these.
        words: Other words: what is counted, a direction. In singular, without those that say nothing.
    """

    dimensions: frozenset[tuple[str, int]] = frozenset()
    factor: Fraction = Fraction(1)
    words: tuple[str, ...] = ()

    @property
    def directed(self) -> frozenset[str]:
        """Words that change what the number says: north, more, left."""
        return _DIRECTIONS.intersection(self.words)

    def __bool__(self) -> bool:
        return bool(self.dimensions or self.words)


def currency(sign: str) -> Unit:
    """The unit of a sign before a number: ``$``, ``€``, ``US``."""
    return measure(_CURRENCIES[sign]) if sign in _CURRENCIES else Unit()


@functools.lru_cache(maxsize=4096)
def measure(text: str) -> Unit:
    """Read units and words; never fails, as everything else is a word.

    >>> measure("km/h") == measure("kilometers per hour"), measure("5 apples".split()[1]).words
    (True, ('apple',))
    """
    text = _COMPOSED.get(text.strip(), text)
    text = re.sub(rf"{DEGREE}\s*([CF])(?![A-Za-z])", lambda match: _TEMPERATURES[match[1]], text)
    text = re.sub(r"\bdegrees? (?=celsius|fahrenheit)", "", text, flags=re.IGNORECASE)
    text = _IN_ALL.sub("", text)
    powers: list[tuple[tuple[str, Fraction], int]] = []
    words, side, pending, last = [], 1, 1, None
    for match in _TOKEN.finditer(text):
        word = match["word"]
        if match["power"] and last:
            powers.append((last, side * (int(match["exponent"]) - 1)))
        elif match["sign"] == "/" or word == "per":
            side = -1
        elif word and (power := _POWERS.get(word.lower())):
            if word.endswith("ed") and last:
                powers.append((last, side * (power - 1)))
            else:
                pending = power
        elif word and (found := _known(word)):
            last = found
            powers.append((found, side * pending))
            pending = 1
        elif word and word.lower() not in _FILLERS and word not in _COUNTERS:
            words.append(_singular(word.lower()))
            last = None
        if pending > 1 and match.end() == len(text) and word:
            words.append(word.lower())  # a square, not a square of something
    dimensions: Counter[str] = Counter()
    for (name, _), power in powers:
        dimensions[name] += power
    factor = math.prod((size**power for (_, size), power in powers), start=Fraction(1))
    return Unit(frozenset((name, power) for name, power in dimensions.items() if power), factor, tuple(words))


_TEMPERATURES = {"C": " celsius", "F": " fahrenheit"}


def _known(word: str) -> tuple[str, Fraction] | None:
    """Dimension and factor of a unit's name; "CM" is read as "cm", "M" is not "m"."""
    word = word.replace(" ", "")
    for spelled in (word, word.removesuffix("s") if len(word) > 2 else word):
        found = _NAMES.get(spelled) or (_NAMES.get(spelled.lower()) if len(spelled) > 1 else None)
        if found:
            return found
    return None


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word


def read_unit(text: str) -> Unit | None:
    """What follows the digits of a number, None when it is no unit: ``2 xy`` is a product, ``3x`` another number.

    One bare letter counts only after a space ("5 m"): "5m" may be algebra, while "5m^2" and "5m/s" hardly are.
    """
    words = text.strip().rstrip(".")
    # Nothing but tokens. One pattern that repeats them would try every way to cut a long word in pieces.
    if not words or _TOKEN.sub("", words).strip() or words[0] in "^/*.,-":
        return None
    names = [match["word"] for match in _TOKEN.finditer(words)]
    name, letters = names[0], [word for word in names if word and len(word) == 1]
    if name is None or any(letter.isascii() and letter.isalpha() and _known(letter) is None for letter in letters):
        return None
    attached = not text[0].isspace()
    known = name in _POWERS or name in _COMPOSED or _known(name) is not None
    if name[0].isascii() and name[0].isalpha():
        if attached and (not known or (len(name) == 1 and not _METERS.match(words))):
            return None
        # "2 r" and "2 xy" are products; what is counted ("apples") is a word.
        is_word = len(name) > 2 and re.search(r"[aeiouy]", name, re.IGNORECASE)
        if name in _NOT_UNITS or not (is_word or known):
            return None
    return measure(words)


def ratio_of(answer: Unit, truth: Unit) -> Fraction | None:
    """By what the answer's number is multiplied to be in the truth's unit; None when they do not measure the same.

    A unit that one side leaves out is that of the other side, unless it says a direction.
    """
    if not answer or not truth:
        return None if truth.directed else Fraction(1)
    if answer.words != truth.words and sorted(answer.words) != sorted(truth.words):
        # "5 cm" for "5 cm long": a word too many, but not "5 km" for "5 km north"
        if answer.directed != truth.directed or (answer.words and truth.words) or not answer.dimensions:
            return None
    if answer.dimensions != truth.dimensions:
        # "12 units" says nothing of the length
        vague = {("unit", power) for power in range(1, 4)}
        bare = [side.dimensions for side in (answer, truth) if not side.dimensions or side.dimensions & vague]
        return Fraction(1) if bare and answer.words == truth.words == () and _powers(answer) == _powers(truth) else None
    return answer.factor / truth.factor


def _powers(unit: Unit) -> list[int]:
    return sorted(power for _, power in unit.dimensions)
