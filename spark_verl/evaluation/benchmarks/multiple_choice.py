"""Multiple choice: the options of a question, and which of them an answer or a ground truth names.

Options of one question are close to each other on purpose: "45° east by north" beside "45° east by south", "5-4-3-2-1"
beside "5-2-3-1-4", "3, 4" beside "4, 3". The verifier is generous with what surrounds a value, which is right for open
questions; here an answer that fits several options must not count as the right one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from spark_verl.data.prompts import written_options
from spark_verl.options import brief
from spark_verl.reward import Verdict, averify, extract_answer
from spark_verl.reward.choices import LETTERS, is_letter_set, option_letter, several_letters
from spark_verl.reward.equality import compare
from spark_verl.reward.text import canonical, squash
from spark_verl.vocabulary import Status


def options_of(value: Any) -> dict[str, str] | None:
    """Options by letter, in every form in which data have them; None for no options.

    Args:
        value: None, a text with options in it, a list, or a mapping by letter (parquet fills the letters that other
            rows have with None).
    """
    if value is None:
        return None
    if isinstance(value, str):
        return written_options(value)
    if isinstance(value, Mapping):
        return {str(letter): str(text) for letter, text in value.items() if text is not None} or None
    return by_letter(value)


def by_letter(options: Sequence[Any]) -> dict[str, str] | None:
    """``["red", "blue"]`` as ``{"A": "red", "B": "blue"}``; None for no options.

    Raises:
        ValueError: There are more than the ten that have a letter.
    """
    if len(options) > len(LETTERS):
        raise ValueError(f"{len(options)} options, but letters for {len(LETTERS)} only: {brief(list(options))}")
    return dict(zip(LETTERS, map(str, options), strict=False)) or None


def option_lines(choices: Mapping[str, str]) -> str:
    """One option per line, as people write them."""
    return "\n".join(f"{letter}. {text}" for letter, text in choices.items())


def right_option(truth: str, choices: Mapping[str, str]) -> str | None:
    """The letter of the option that a ground truth names, or the letters where it names several.

    Args:
        truth: A letter (``C``, ``(c)``, ``C. 120°``), letters (``A, C``), or the text or value of just one option.
        choices: The options' texts by letter.

    >>> [right_option(truth, {"A": "red", "B": "blue"}) for truth in ("(B)", "blue", "AB", "green")]
    ['B', 'B', 'A, B', None]
    """
    text = canonical(truth)
    if (bare := text.strip("()[].: ")) in choices:
        return bare
    if repeated := _repeated(text, choices):
        return min(repeated)
    if (letter := option_letter(text)) in choices:
        return letter
    if is_letter_set(text) and (several := several_letters(text)) and several <= choices.keys():
        return ", ".join(sorted(several))
    equal = [letter for letter, option in choices.items() if compare(truth, option)]
    return equal[0] if len(equal) == 1 else None


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
    is_letter = answer is None or option_letter(canonical(answer)) in choices
    if not is_letter and (repeated := _repeated(answer, choices)):
        return Verdict(Status.OK, truth in repeated, answer)
    verdict = await averify(response, truth, choices=choices)
    if is_letter or not verdict.correct:
        return verdict
    ambiguous = any(compare(answer, text) for letter, text in choices.items() if letter != truth)
    return replace(verdict, correct=not ambiguous)


def _repeated(answer: str, choices: Mapping[str, str]) -> set[str]:
    """The letters of the options with this very text; capitals count only where they tell options apart."""
    for spelled in (squash, lambda text: squash(text).casefold()):
        wanted = spelled(canonical(answer))
        found = {letter for letter, text in choices.items() if spelled(canonical(text)) == wanted}
        if found:
            return found
    return set()
