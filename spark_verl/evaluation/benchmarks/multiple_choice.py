"""Which option does an answer name? Stricter than comparing it with the right option's text alone.

Options of one question are close to each other on purpose: "45° east by north" beside "45° east by south", "5-4-3-2-1"
beside "5-2-3-1-4", "3, 4" beside "4, 3". The verifier is generous with what surrounds a value, which is right for open
questions; here an answer that fits several options must not count as the right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spark_verl.reward import Verdict, averify, extract_answer
from spark_verl.reward.choices import option_letter
from spark_verl.reward.equality import compare
from spark_verl.reward.text import canonical, squash
from spark_verl.reward.verifier import OK


async def score_choice(response: str, truth: str, choices: Mapping[str, str]) -> Verdict:
    """The verdict on a response to a multiple-choice question.

    A letter names its option. Any other answer names the option whose text it repeats, or, when it repeats none, the
    only one whose text it equals for the verifier.

    Args:
        response: The whole response; its boxed answer counts.
        truth: The right option's letter.
        choices: The options' texts by letter.
    """
    answer = extract_answer(response)
    if answer is None or option_letter(canonical(answer)) in choices:
        return await averify(response, truth, choices=choices)
    repeated = _repeated(answer, choices)
    if repeated:
        return Verdict(OK, truth in repeated, answer)
    verdict = await averify(response, truth, choices=choices)
    if verdict.correct and any(compare(answer, text) for letter, text in choices.items() if letter != truth):
        return replace(verdict, correct=False)
    return verdict


def _repeated(answer: str, choices: Mapping[str, str]) -> set[str]:
    """The letters of the options with this very text; capitals count only where they tell options apart."""
    for spelled in (squash, lambda text: squash(text).casefold()):
        wanted = spelled(canonical(answer))
        found = {letter for letter, text in choices.items() if spelled(canonical(text)) == wanted}
        if found:
            return found
    return set()
