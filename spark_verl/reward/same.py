"""Which of several answers are the same one: what votes together, in training and in evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from spark_verl.reward.verifier import averify_answer

Same = Callable[[str, str], Awaitable[bool]]
"""Whether two spellings are the same answer."""


async def same_answer(one: str, other: str, **known: Any) -> bool:
    """Whether two answers are the same: each is right where the other is the truth.

    A list of guesses is "equal" to each of its items one way round only.

    Args:
        one: A parsed answer.
        other: Another one.
        **known: ``choices``, ``tolerance`` and ``options``, as :func:`spark_verl.reward.verifier.verify_answer`.
    """
    if one == other:
        return True
    both = ((one, other), (other, one))
    return all([(await averify_answer(answer, truth, **known)).correct for answer, truth in both])


async def answer_classes(answers: Iterable[str | None], same: Same) -> dict[str, list[str]]:
    """The classes of equal answers.

    A spelling joins the class of the most frequent spelling that it equals, so one that seems equal to several answers
    cannot tie them together. The order of the answers decides nothing.

    Args:
        answers: Parsed answers; what is None or empty is in no class.
        same: Whether two spellings are the same answer.

    Returns:
        The spellings of each class by the most frequent of them (ties by spelling), which is the first.

    Example:
        >>> import asyncio
        >>> asyncio.run(answer_classes(["0.5", "1/2", "3", "0.5"], same_answer))
        {'0.5': ['0.5', '1/2'], '3': ['3']}
    """
    spellings = Counter(answer for answer in answers if answer)
    classes: dict[str, list[str]] = {}
    for spelling, _ in sorted(spellings.items(), key=lambda item: (-item[1], item[0])):
        for leader in classes:
            if await same(spelling, leader):
                classes[leader].append(spelling)
                break
        else:
            classes[spelling] = [spelling]
    return classes
