r"""Equations and inequalities: several statements, what they call their values, and which numbers they allow.

``x=1, y=2`` names two values, ``2 < x < 5`` is an interval, ``f(2) < f(1)`` a statement, ``3+4 = 7`` a way to a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from spark_verl.reward.certainty import one_to_one
from spark_verl.reward.intervals import Intervals, intersection, read_intervals, solution, union
from spark_verl.reward.names import is_left_side, left_side
from spark_verl.reward.points import proportional
from spark_verl.reward.text import THOUSANDS, depths, squash

_SIGN = re.compile(
    r"\\(?:le|ge|ne|in|notin|approx|equiv|cong|sim|parallel|perp|subset|supset)(?![A-Za-z])|[<>]|(?<![<>!=:\\])=(?!=)"
)
_SEPARATOR = re.compile(r"[,;]|(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])|\\(?:land|lor|wedge|vee)(?![A-Za-z])|\\\\")
_OR = re.compile(r"(?<![A-Za-z\\])or(?![A-Za-z])|\\(?:lor|vee)(?![A-Za-z])")
_AND = re.compile(r"(?<![A-Za-z\\])and(?![A-Za-z])|\\(?:land|wedge)(?![A-Za-z])")
_CASES = re.compile(r"\\begin\{(?:cases|array|aligned)\}(?:\{[lcr]*\})?(.*)\\end\{(?:cases|array|aligned)\}", re.DOTALL)
_BUILDER = re.compile(r"\\?\{ ?([a-z]) ?(?:\\in ?\\mathbb\{R\} ?)?[|:] ?(.*?)\\?\}", re.DOTALL)
# "x = 1 y = 2": nothing but a space between two statements
_ADJOINING = re.compile(r"(?<=[\d)}]) (?=[A-Za-z](?:_\{\w+\})?'? ?=)")
_ORDER = ("<", ">", "\\le", "\\ge", "\\ne")
_MAX_STATEMENTS = 16


@dataclass(frozen=True)
class Atom:
    """Two sides and the sign between them."""

    left: str
    sign: str
    right: str

    @property
    def difference(self) -> str:
        """What is zero, not zero, or above zero when it holds."""
        first, second = (self.right, self.left) if self.sign in ("<", "\\le") else (self.left, self.right)
        return f"({first})-({second})"

    @property
    def form(self) -> str:
        """The sign without its direction."""
        return {">": "<", "\\ge": "\\le"}.get(self.sign, self.sign)


@dataclass(frozen=True)
class Relations:
    """Statements.

    Attributes:
        chains: Each as its sides and the signs between them; one side and no sign where it continues the one before.
        any_of: Joined by "or".
        all_of: Joined by "and"; by mere commas it may be either.
    """

    chains: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    any_of: bool = False
    all_of: bool = False

    @property
    def atoms(self) -> list[Atom]:
        """All pairs of neighbouring sides."""
        return [
            Atom(left, sign, right)
            for sides, signs in self.chains
            for left, sign, right in zip(sides, signs, sides[1:], strict=False)
        ]

    def values(self) -> dict[str, list[str]] | None:
        """What every name is said to be, in the order written; None if a statement says anything else."""
        found: dict[str, list[str]] = {}
        last = ""
        for sides, signs in self.chains:
            if not signs and last:
                found[last].append(sides[0])
                continue
            if set(signs) - {"=", "\\in", "\\approx"} or not signs:
                return None
            sides = sides if is_left_side(sides[0]) else sides[::-1]
            if not is_left_side(sides[0]) or (sides[0] == self.chains[0][0][-1] and len(sides) > 2):
                return None
            last = left_side(sides[0])
            found.setdefault(last, []).append(sides[-1])
        return found

    @property
    def result(self) -> str | None:
        """The last side of one chain of equations: 7 in ``3 + 4 = 7``."""
        sides, signs = self.chains[0]
        return sides[-1] if len(self.chains) == 1 and set(signs) <= {"=", "\\approx"} else None

    def solution(self) -> tuple[str, Intervals] | None:
        """The only variable and the numbers that it may be; None where that cannot be said."""
        parts: list[tuple[str, Intervals]] = []
        for sides, signs in self.chains:
            if not signs:
                return None
            chain: list[tuple[str, Intervals]] = []
            for left, sign, right in zip(sides, signs, sides[1:], strict=False):
                inside = read_intervals(right.strip()) if sign == "\\in" else None
                said = (left.strip(), inside) if inside else solution(left, sign, right) if sign in _ORDER else None
                if said is None:
                    return None
                chain.append(said)
            parts.append((chain[0][0], intersection(*(one for _, one in chain))))
            if len({name for name, _ in chain}) > 1:
                return None
        if len({name for name, _ in parts}) != 1:
            return None
        sets = [one for _, one in parts]
        both = intersection(*sets)
        return parts[0][0], union(*sets) if self.any_of or not (both or self.all_of) else both


def read_relations(text: str) -> Relations | None:
    """Statements with at least one sign of equality or order; None for anything else."""
    if match := _CASES.fullmatch(text.removeprefix("\\{").strip()):
        text = ", ".join(line.replace("&", " ") for line in match[1].split("\\\\") if line.strip())
    if match := _BUILDER.fullmatch(text):
        text = match[2]
    elif text[:1] in "({[\\" and (inner := _inside(text)) is not None:
        text = inner
    if not _SIGN.search(text):
        return None
    text = _ADJOINING.sub(", ", text)
    chains = []
    for part in _split(text, _SEPARATOR):
        sides = tuple(side.strip() for side in _split(part, _SIGN))
        signs = tuple(match[0] for match in _outside(part, _SIGN))
        if not all(sides):
            return None
        chains.append((sides, signs))
    if not 0 < len(chains) <= _MAX_STATEMENTS or not chains[0][1]:
        return None
    return Relations(tuple(chains), bool(_OR.search(text)), bool(_AND.search(text)))


def _inside(text: str) -> str | None:
    """What is between brackets around several equations: ``(x=1, y=2)``."""
    match = re.fullmatch(r"(?:\\?\{|[(\[])(.*?)(?:\\?\}|[)\]])", text, re.DOTALL)
    parts = match[1].split(",") if match else []
    return match[1] if match and len(parts) > 1 and all("=" in part for part in parts) else None


def _outside(text: str, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """Matches outside brackets."""
    depth = depths(text)
    thousands = {match.start() for match in THOUSANDS.finditer(text)}
    return [m for m in pattern.finditer(text) if depth[m.start()] == 0 and m.start() not in thousands]


def _split(text: str, pattern: re.Pattern[str]) -> list[str]:
    parts, start = [], 0
    for match in _outside(text, pattern):
        parts.append(text[start : match.start()])
        start = match.end()
    parts.append(text[start:])
    return [part for part in parts if part.strip()] if pattern is _SEPARATOR else parts


def same_statements(a: list[Atom], b: list[Atom]) -> bool | None:
    """Whether two collections of statements are one, in any order, each turned round or multiplied as it may be.

    Returns:
        None where only algebra can tell.
    """
    return one_to_one(b, a, lambda other, one: _same_statement(one, other))


def _same_statement(a: Atom, b: Atom) -> bool | None:
    if a.form != b.form:
        return False
    sides = [squash(side) for side in (a.left, a.right)], [squash(side) for side in (b.left, b.right)]
    if a.sign == b.sign and sides[0] == sides[1]:
        return True
    if a.form not in ("=", "<", "\\le", "\\ne"):
        return a.form in ("\\equiv", "\\cong", "\\sim", "\\parallel", "\\perp") and sides[0] == sides[1][::-1]
    return proportional(a.difference, b.difference, positive=a.form in ("<", "\\le"))
