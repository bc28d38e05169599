"""The verdict on a response: extract the answer, compare it with the ground truth, say what could not be decided."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_verl.reward.choices import Choices
from spark_verl.reward.equality import compare
from spark_verl.reward.extract import extract_answer, undecorate
from spark_verl.reward.options import RewardOptions
from spark_verl.reward.pool import get_pool
from spark_verl.vocabulary import UNDECIDED, Status

MAX_SYMBOLIC_CHARS = 2000
"""Longer answers are never given to sympy. No real answer is that long, and a wrong one costs nothing this way."""

_MISSING = ("nan", "<na>")
"""What pandas makes of an answer that is not there."""
_TAG = re.compile(r"\s*<answer>([\s\S]*)</answer>\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """What the verifier found out.

    Attributes:
        status: Whether there was something to decide and it was decided.
        correct: True only if the answer equals an accepted one.
        answer: The parsed answer; None when there is none.
        symbolic: Whether it took algebra to find out.
    """

    status: Status
    correct: bool
    answer: str | None
    symbolic: bool = field(default=False, repr=False, compare=False)

    @property
    def decided(self) -> bool:
        """False where nothing was found out: such a row is neither right nor wrong, and must teach nothing."""
        return self.status not in UNDECIDED


def verify(
    response: str,
    ground_truth: Any,
    *,
    choices: Choices | None = None,
    tolerance: float | None = None,
    fallbacks: Sequence[str] = (),
    options: RewardOptions | None = None,
) -> Verdict:
    """Verify a response. May be called from any thread; blocks for at most about ``options.timeout_s`` per answer.

    Args:
        response: The whole response.
        ground_truth: As the data set has it: bare, ``\\boxed{..}``, ``.. #### 18``, ``<answer>..</answer>``, a letter,
            plain text, or several accepted answers as a list, array or JSON list. Nothing to compare with (None, NaN,
            an empty text) is status ``error``: undecided, never wrong.
        choices: Options of a multiple-choice question, ``{"A": "red", ..}`` or in order.
        tolerance: Largest accepted difference relative to the truth; None for exact.
        fallbacks: Where to look when there is no box, see :func:`spark_verl.reward.extract.extract_answer`.
        options: Time and memory limits; None for the defaults.

    Returns:
        The verdict. Hostile responses and unusable ground truths give a status, never an exception.

    Example:
        >>> verify(r"Half of it: \\boxed{50\\%}", "0.5").correct
        True
    """
    answer = extract_answer(response, fallbacks)
    return verify_answer(answer, ground_truth, choices=choices, tolerance=tolerance, options=options)


def verify_answer(
    answer: str | None,
    ground_truth: Any,
    *,
    choices: Choices | None = None,
    tolerance: float | None = None,
    options: RewardOptions | None = None,
) -> Verdict:
    """Verify an answer that is already parsed; see :func:`verify`."""
    verdict, undecided = _cheap(answer, ground_truth, choices, tolerance)
    return verdict or _merge(undecided, [get_pool(options).equal(*pair) for pair in undecided])


async def averify(
    response: str,
    ground_truth: Any,
    *,
    choices: Choices | None = None,
    tolerance: float | None = None,
    fallbacks: Sequence[str] = (),
    options: RewardOptions | None = None,
) -> Verdict:
    """:func:`verify` for asyncio: what is cheap is decided at once, algebra never blocks the event loop."""
    answer = extract_answer(response, fallbacks)
    return await averify_answer(answer, ground_truth, choices=choices, tolerance=tolerance, options=options)


async def averify_answer(
    answer: str | None,
    ground_truth: Any,
    *,
    choices: Choices | None = None,
    tolerance: float | None = None,
    options: RewardOptions | None = None,
) -> Verdict:
    """:func:`verify_answer` for asyncio."""
    verdict, undecided = _cheap(answer, ground_truth, choices, tolerance)
    return verdict or _merge(undecided, [await get_pool(options).aequal(*pair) for pair in undecided])


def _cheap(
    answer: str | None, ground_truth: Any, choices: Choices | None, tolerance: float | None
) -> tuple[Verdict | None, list[tuple[str, str]]]:
    """The verdict without algebra, or None and the pairs of answer and truth that need it."""
    truths = accepted_answers(ground_truth)
    if not truths:
        return Verdict(Status.ERROR, False, answer), []
    if answer is None:
        return Verdict(Status.UNPARSABLE, False, None), []
    undecided = []
    for truth in truths:
        same = compare(answer, truth, choices=choices, tolerance=tolerance)
        if same:
            return Verdict(Status.OK, True, answer), []
        if same is None:
            undecided.append((answer, truth))
    if not undecided:
        return Verdict(Status.OK, False, answer), []
    if len(answer) > MAX_SYMBOLIC_CHARS:
        return Verdict(Status.UNPARSABLE, False, answer), []
    return None, undecided


def _merge(compared: list[tuple[str, str]], outcomes: list[str]) -> Verdict:
    """One verdict of what algebra said about an answer and every accepted one."""
    status = next((status for status in UNDECIDED if status in outcomes), Status.UNPARSABLE)
    if "equal" in outcomes or (status.decided and "different" in outcomes):
        status = Status.OK
    return Verdict(status, "equal" in outcomes, compared[0][0], symbolic=True)


def accepted_answers(ground_truth: Any) -> list[str]:
    """The accepted answers of a ground truth, unwrapped; empty when there is none.

    Args:
        ground_truth: See :func:`verify`. Numbers are taken as written by ``str``; a mapping is read at its
            ``ground_truth``, ``answer`` or ``target`` key.
    """
    if ground_truth is None:
        return []
    if isinstance(ground_truth, str):
        return _accepted_texts(ground_truth)
    if isinstance(ground_truth, Mapping):
        keys = [key for key in ("ground_truth", "answer", "target") if key in ground_truth]
        return accepted_answers(ground_truth[keys[0]]) if keys else []
    if hasattr(ground_truth, "tolist"):  # numpy scalars and arrays, as parquet hands them over
        return accepted_answers(ground_truth.tolist())
    if isinstance(ground_truth, Sequence | set | frozenset) and not isinstance(ground_truth, bytes):
        return [text for item in ground_truth for text in accepted_answers(item)]
    if isinstance(ground_truth, float):
        whole = math.isfinite(ground_truth) and ground_truth.is_integer()
        return [] if math.isnan(ground_truth) else [str(int(ground_truth) if whole else ground_truth)]
    return [str(ground_truth)]


def _accepted_texts(text: str) -> list[str]:
    text = text.strip()
    if text.lower() in _MISSING:
        return []
    if text.startswith('["') and text.endswith('"]'):
        try:
            return [answer for item in json.loads(text) for answer in accepted_answers(item)]
        except json.JSONDecodeError:
            pass  # an interval or a sentence that merely looks like JSON
    if tag := _TAG.fullmatch(text):
        text = tag[1]
    if "####" in text:
        text = text.rpartition("####")[2]
    boxed = extract_answer(text) if "boxed" in text or "fbox" in text else None
    text = boxed if boxed is not None else undecorate(text)
    return [text] if text else []
