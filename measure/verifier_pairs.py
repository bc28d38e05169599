"""Pairs of response and ground truth with known verdicts, and answers made to hang an algebra system.

The shares follow what multimodal math data hold: two thirds plain numbers and letters, the rest units, fractions and
algebra. Every pair is right or wrong by construction, not by anybody's verdict. Wrong answers are near misses: a
digit off, a sign, a factor, an element missing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

WORDS = (
    "first we look at the figure and read the given lengths then apply the theorem so the sum of both angles equals "
    "that value therefore substituting gives the next line and simplifying the terms leaves what remains"
).split()


@dataclass(frozen=True)
class Pair:
    """A response to verify.

    Attributes:
        kind: Kind of answer, for the table.
        answer: What stands in the box.
        truth: The ground truth as a data set would have it.
        correct: The right verdict.
        response: A chain of thought that ends with the boxed answer.
        choices: Options of a multiple-choice question that shows them, else None.
    """

    kind: str
    answer: str
    truth: str
    correct: bool
    response: str
    choices: dict[str, str] | None = None


Made = tuple[str, str] | tuple[str, str, dict[str, str]]
"""Answer, truth, and the options where there are any."""

Maker = Callable[[random.Random, bool], Made]


def _integer(rng: random.Random, right: bool) -> Made:
    n = rng.randrange(-200, 5000)
    return str(n if right else n + rng.choice((-10, -1, 1, 2, 100))), str(n)


def _decimal(rng: random.Random, right: bool) -> Made:
    n = rng.randrange(1, 9999)
    given = n if right else n + rng.choice((-100, -7, 3, 10))
    return f"{given / 100:.2f}", f"{n / 100:.2f}".rstrip("0").rstrip(".")


def _thousands(rng: random.Random, right: bool) -> Made:
    n = rng.randrange(1000, 5_000_000)
    return f"{n if right else n + 1000:,}", str(n)


def _letter(rng: random.Random, right: bool) -> Made:
    letter = rng.choice("ABCD")
    given = letter if right else rng.choice([other for other in "ABCD" if other != letter])
    return rng.choice(("{0}", "({0})", r"\text{{{0}}}", "{0}.")).format(given), letter


def _option_text(rng: random.Random, right: bool) -> Made:
    options = dict(
        zip("ABCD", rng.sample(("red", "blue", "green", "a circle", "12 cm", "the left one"), 4), strict=True)
    )
    letter = rng.choice("ABCD")
    given = letter if right else rng.choice([other for other in "ABCD" if other != letter])
    return rng.choice((options[given], f"{given}. {options[given]}")), letter, options


def _word(rng: random.Random, right: bool) -> Made:
    words = ("Monday", "parallel", "increasing", "Paris", "triangle", "left")
    word = rng.choice(words)
    given = word if right else rng.choice([other for other in words if other != word])
    return rng.choice((given, given.lower(), f"\\text{{{given}}}")), word


def _fraction(rng: random.Random, right: bool) -> Made:
    b = rng.randrange(2, 12)
    a = rng.choice([n for n in range(1, 30) if n % b])
    value = Fraction(a, b)
    other = value if right else value + Fraction(1, b)
    scale = rng.choice((1, 1, 2, 3))
    given = rng.choice(
        (
            rf"\frac{{{other.numerator * scale}}}{{{other.denominator * scale}}}",
            f"{other.numerator}/{other.denominator}",
        )
    )
    return given, rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _fraction_decimal(rng: random.Random, right: bool) -> Made:
    n, d = rng.choice(((1, 2), (3, 4), (7, 8), (5, 2), (9, 4), (1, 5), (13, 8)))
    value = n / d if right else n / d + 0.25
    return f"{value:g}", rf"\frac{{{n}}}{{{d}}}"


def _percent(rng: random.Random, right: bool) -> Made:
    n = rng.randrange(1, 99)
    return rf"{n if right else 100 - n if n != 50 else 51}\%", f"{n}%"


def _unit(rng: random.Random, right: bool) -> Made:
    n, unit = rng.randrange(2, 400), rng.choice(("cm", "m", "km", r"\mathrm{cm}", "kg", r"\text{ m}"))
    return f"{n if right else n + 3} {unit}", str(n)


def _degrees(rng: random.Random, right: bool) -> Made:
    n = rng.randrange(5, 175)
    return rf"{n if right else 180 - n if n != 90 else 91}^\circ", rng.choice((str(n), rf"{n}^\circ", f"{n}°"))


def _money(rng: random.Random, right: bool) -> Made:
    n = rng.randrange(2, 900)
    return rf"\${n if right else n + 5}", str(n)


def _surd(rng: random.Random, right: bool) -> Made:
    a, b = rng.randrange(2, 9), rng.choice((2, 3, 5, 6, 7, 10))
    inside = a * a * b
    return rf"{a if right else a + 1}\sqrt{{{b}}}", rf"\sqrt{{{inside}}}"


def _pi(rng: random.Random, right: bool) -> Made:
    n, d = rng.randrange(1, 20), rng.choice((2, 3, 4, 6))
    value = Fraction(n, d)
    given = value if right else value + 1
    return (
        rf"\frac{{{given.numerator}\pi}}{{{given.denominator}}}",
        rf"\frac{{{value.numerator}}}{{{value.denominator}}}\pi",
    )


def _polynomial(rng: random.Random, right: bool) -> Made:
    a, b = rng.randrange(1, 9), rng.randrange(1, 9)
    middle, last = a + b, a * b if right else a * b + 1
    return f"x^2+{middle}x+{last}", f"(x+{a})(x+{b})"


def _equation(rng: random.Random, right: bool) -> Made:
    n, name = rng.randrange(2, 60), rng.choice("xya")
    return f"{name}={n if right else n + 1}", str(n)


def _line(rng: random.Random, right: bool) -> Made:
    m, c = rng.randrange(2, 9), rng.randrange(1, 9)
    return f"y={m}x+{c if right else c + 1}", f"y = {m}x + {c}"


def _set(rng: random.Random, right: bool) -> Made:
    items = rng.sample(range(-9, 20), 3)
    given = items[:] if right else items[:2]
    rng.shuffle(given)
    return rf"\{{{', '.join(map(str, given))}\}}", rf"\{{{', '.join(map(str, items))}\}}"


def _interval(rng: random.Random, right: bool) -> Made:
    a, b = sorted(rng.sample(range(-20, 20), 2))
    return (f"[{a}, {b})" if right else f"({a}, {b}]"), f"[{a},{b})"


def _tuple(rng: random.Random, right: bool) -> Made:
    a, b = rng.sample(range(-20, 20), 2)
    return (f"({a}, {b})" if right else f"({b}, {a})"), f"({a},{b})"


def _matrix(rng: random.Random, right: bool) -> Made:
    entries = [rng.randrange(-5, 9) for _ in range(4)]
    given = entries if right else [*entries[:3], entries[3] + 1]

    def show(e: list[int]) -> str:
        return rf"\begin{{pmatrix}} {e[0]} & {e[1]} \\ {e[2]} & {e[3]} \end{{pmatrix}}"

    return show(given), show(entries)


def _scientific(rng: random.Random, right: bool) -> Made:
    m, e = rng.randrange(11, 99) / 10, rng.randrange(3, 7)
    return rf"{m:g} \times 10^{{{e if right else e + 1}}}", f"{m * 10**e:.0f}"


def _power(rng: random.Random, right: bool) -> Made:
    base, e = rng.randrange(2, 6), rng.randrange(3, 9)
    return rf"{base}^{{{e}}}", str(base**e if right else base**e + base)


def _ratio(rng: random.Random, right: bool) -> Made:
    a, b = rng.choice(((1, 2), (2, 3), (3, 5), (4, 7)))
    return (f"{a}:{b}" if right else f"{b}:{a}"), f"{a}:{b}"


def _trig(rng: random.Random, right: bool) -> Made:
    a = rng.randrange(2, 9)
    return (rf"{a}\sin\left(x\right)" if right else rf"{a}\cos(x)"), rf"{a}\sin(x)"


def _logarithm(rng: random.Random, right: bool) -> Made:
    a, b = rng.sample(range(2, 12), 2)
    return rf"\ln({a})+\ln({b})", rf"\ln({a * b if right else a * b + 1})"


def _exponential(rng: random.Random, right: bool) -> Made:
    a, b = rng.randrange(2, 9), rng.randrange(2, 9)
    return rf"{a}e^{{x}}+{b}e^{{x}}", f"{a + b if right else a * b + 1}e^{{x}}"


def _root(rng: random.Random, right: bool) -> Made:
    a = rng.randrange(2, 30)
    return rf"\sqrt{{{a if right else a + 1}+x}}", rf"\sqrt{{x+{a}}}"


KINDS: tuple[tuple[str, float, Maker], ...] = (
    ("integer", 0.285, _integer),
    ("letter", 0.20, _letter),
    ("decimal", 0.07, _decimal),
    ("fraction", 0.06, _fraction),
    ("unit", 0.05, _unit),
    ("degrees", 0.04, _degrees),
    ("option text", 0.03, _option_text),
    ("word", 0.03, _word),
    ("thousands", 0.02, _thousands),
    ("percent", 0.02, _percent),
    ("fraction as decimal", 0.02, _fraction_decimal),
    ("money", 0.01, _money),
    ("equation", 0.02, _equation),
    ("scientific", 0.01, _scientific),
    ("power", 0.01, _power),
    ("ratio", 0.01, _ratio),
    ("surd", 0.02, _surd),
    ("pi", 0.02, _pi),
    ("tuple", 0.01, _tuple),
    ("interval", 0.01, _interval),
    ("set", 0.01, _set),
    ("line", 0.01, _line),
    ("polynomial", 0.01, _polynomial),
    ("matrix", 0.005, _matrix),
    ("trigonometry", 0.005, _trig),
    ("logarithm", 0.005, _logarithm),
    ("exponential", 0.005, _exponential),
    ("root of a variable", 0.005, _root),
)

BOMBS = (
    r"9^{9^{9^{9}}} \pi",
    "(x+1)^{1000000}",
    r"\frac{" * 500 + "1" + "}{2}" * 500,
    r"\pi" + " + x" * 24_000,
    "x^{1000000} (x+1)^{1000000}",
    r"\left(" * 2000 + "x" + r"\right)" * 2000,
    r"\int_0^1 \sin(x^{x^{x^x}}) dx \cdot 10^{10^{10}}",
    "a" * 30_000 + r"\sqrt{2}" + "!" * 3000,
)
"""Towers of powers, expansions with a million terms, nesting 500 deep, 100 kB of LaTeX, text made for backtracking."""


def make_pairs(count: int, seed: int) -> list[Pair]:
    """Pairs in the shares of :data:`KINDS` (at least four of each), half of them right, in random order."""
    rng = random.Random(seed)
    pairs = []
    for kind, share, make in KINDS:
        for number in range(max(4, round(share * count))):
            right = number % 2 == 0
            answer, truth, *options = make(rng, right)
            thought = " ".join(rng.choices(WORDS, k=rng.randrange(40, 160)))
            response = f"{thought}, so $x={rng.randrange(99)}$. The answer is $\\boxed{{{answer}}}$."
            pairs.append(Pair(kind, answer, truth, right, response, options[0] if options else None))
    rng.shuffle(pairs)
    return pairs
