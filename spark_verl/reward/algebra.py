"""Algebra: do two LaTeX answers denote the same thing? Imported only by the processes of the pool.

math-verify's own time limits use SIGALRM, which works in the main thread only and not inside one long C call, so they
are switched off here: the pool kills the process instead. It also takes two numbers for one when they agree to a few
decimal places, which makes all tiny ones equal; what it calls equal is therefore looked at again, at a point.
"""

from __future__ import annotations

import logging
import random
from typing import Any

import sympy
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse
from math_verify import verify as sympy_equal

from spark_verl.reward.text import for_algebra

# Both say, once per process, that time limits are off, and log every answer that does not parse.
logging.getLogger("math_verify").setLevel(logging.CRITICAL)

_LATEX = (LatexExtractionConfig(boxed_match_priority=0),)
_PLAIN = (ExprExtractionConfig(),)
_CLOSE = 1e-6
"""Relative: six digits of an approximation are enough, as for plain numbers."""


def equal(answer: str, truth: str) -> str:
    """Compare two answers.

    Returns:
        "equal", "different", or "unparsable" when the answer, but not the truth, means nothing to the parser.

    Raises:
        MemoryError: The process reached its memory limit.
    """
    gold = _read(for_algebra(truth))
    given = _read(for_algebra(answer))
    if not given:
        return "unparsable" if gold else "different"
    try:
        same = sympy_equal(gold, given, timeout_seconds=None, raise_on_error=True) and _agree(gold, given)
    except MemoryError:
        raise
    # sympy raises all kinds of errors when it compares unlike things (a set with a number, NaN).
    except Exception:  # whatever it is, the two are different things
        same = False
    return "equal" if same else "different"


def _agree(gold: list[Any], given: list[Any]) -> bool:
    """Whether some reading of both has the same value at a point; true for what has no values (sets, relations)."""
    values = [[read for read in side if isinstance(read, sympy.Expr)] for side in (gold, given)]
    if not all(values):
        return True
    return any(_close(a, b) for a in values[0] for b in values[1])


def _close(a: sympy.Expr, b: sympy.Expr) -> bool:
    rng = random.Random(2509)
    point = {name: rng.uniform(0.3, 1.7) for name in sorted(map(str, a.free_symbols | b.free_symbols))}
    x, y = (complex(e.subs({s: point[str(s)] for s in e.free_symbols}).evalf(30, maxn=400)) for e in (a, b))
    if x == y == 0:  # too small for a float: compared exactly
        return bool(sympy.simplify(a - b) == 0)
    return abs(x - y) <= _CLOSE * max(abs(x), abs(y))


_AS_IT_IS: dict[str, Any] = {"fallback_mode": "no_fallback", "parsing_timeout": None}
"""Nothing but what was read, and no alarm: the process is killed in time."""


def _read(text: str) -> list[Any]:
    try:
        found = parse(f"\\boxed{{{text}}}", _LATEX, raise_on_error=True, **_AS_IT_IS)
    except MemoryError:
        raise
    # The grammar raises whatever its generated code runs into, RecursionError included.
    except Exception:  # whatever it is, the text is not parsable
        found = []
    if not found and "\\" not in text:
        found = parse(text, _PLAIN, **_AS_IT_IS)
    return found


# The first parse builds the grammar's tables (most of a second), and the first comparison of a kind imports what sympy
# needs for it. Done at import, this happens once in the fork server, and every process forked from it has them.
for _answer, _truth in (
    ("\\frac{1}{2}", "x^{2}+1"),
    ("\\ln(2)+\\ln(3)", "\\ln(6)"),
    ("y=2x+1", "y=1+2x"),
    ("3e^{x}+e^{x}", "4e^{x}"),
    ("\\sqrt{2+x}", "\\sqrt{x+2}"),
    ("[1,2)", "(1,2)"),
    ("\\sum_{k=1}^{3} k", "6"),
):
    equal(_answer, _truth)
