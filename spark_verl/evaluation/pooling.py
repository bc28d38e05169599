"""Pools equal answers: by the verifier's equality, so that ``1/2``, ``0.5`` and ``\\frac{1}{2}`` vote together."""

from __future__ import annotations

from collections.abc import Sequence

from spark_verl.reward.equality import compare
from spark_verl.reward.pool import get_pool
from spark_verl.reward.verifier import MAX_SYMBOLIC_CHARS


async def pool_answers(answers: Sequence[str | None], choices: dict[str, str] | None = None) -> list[int | None]:
    """Number equal answers, in the order of their first appearance.

    Each answer is compared with the first of every pool. A question's numeric tolerance is left aside: it says how far
    an answer may be from the truth, and within it equality would not be transitive.

    Args:
        answers: One per sample, None for a missing one.
        choices: Options of a multiple-choice question by letter.

    Returns:
        One number per sample; a missing answer is in no pool.
    """
    firsts: list[str] = []
    pools: list[int | None] = []
    for answer in answers:
        pool = None
        if answer is not None:
            for number, first in enumerate(firsts):
                if await equal(answer, first, choices):
                    pool = number
                    break
            else:
                pool = len(firsts)
                firsts.append(answer)
        pools.append(pool)
    return pools


async def equal(a: str, b: str, choices: dict[str, str] | None = None) -> bool:
    """Whether the verifier takes one answer for the other, in either role; what it cannot decide is not equal."""
    found = [compare(a, b, choices=choices), compare(b, a, choices=choices)]
    if True in found:
        return True
    if found == [False, False] or max(len(a), len(b)) > MAX_SYMBOLIC_CHARS:
        return False
    return await get_pool().aequal(a, b) == "equal"
