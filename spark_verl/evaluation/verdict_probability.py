"""The judge's own probability of its verdict, read from log-probabilities where the verdict is written.

A verdict may follow a chain of thought; what counts is the token at which the two labels part: the first token of
``Yes`` in ``\\boxed{Yes}``, whatever stands before it and however the tokenizer cuts it (``{`` | ``Yes``, ``{Y`` |
``es``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from openai.types.chat import ChatCompletionTokenLogprob

from spark_verl.reward import extract_answer, parse_judgement
from spark_verl.vocabulary import LabelForm

_BOX = re.compile(r"\\{1,2}(?:boxed|fbox)\s*\{")


@dataclass(frozen=True)
class VerdictProbability:
    """What the log-probabilities say.

    Attributes:
        positive: Probability of the favourable label ("Yes", "A") among both labels: a softmax over the two.
        mass: Probability of both labels together among all tokens; what is small was no real choice between the two.
    """

    positive: float
    mass: float


def verdict_probability(
    tokens: Sequence[ChatCompletionTokenLogprob], label_form: LabelForm
) -> VerdictProbability | None:
    """Read the probability of the favourable label.

    Args:
        tokens: The judgement's tokens with their most probable alternatives; none where the server does not tell.
        label_form: Which labels.

    Returns:
        None where there is no verdict, or the verdict is not written as a label (``\\boxed{correct}``).
    """
    text = "".join(token.token for token in tokens)
    place = _verdict_place(text, label_form)
    if place is None:
        return None
    start = 0
    for token in tokens:
        if place < start + len(token.token):
            return _softmax(token, text[start:place], label_form.labels)
        start += len(token.token)
    return None


def _verdict_place(text: str, label_form: LabelForm) -> int | None:
    """Where in the text the label of its verdict begins."""
    verdict = parse_judgement(text, label_form)
    if verdict is None:
        return None
    label = re.compile(rf"(?<![A-Za-z]){verdict}(?![A-Za-z])", re.IGNORECASE)
    boxed = extract_answer(text)
    if boxed is None:
        places = [match.start() for match in label.finditer(text)]
        return places[-1] if places else None
    if not label.search(boxed):  # "\\boxed{Incorrect}, so No" has its No elsewhere
        return None
    # The same box that the parser read: the last one that closes. Before the label it has nothing but TeX commands.
    box = next(box for box in reversed(list(_BOX.finditer(text))) if extract_answer(text[box.start() :]) == boxed)
    return next(label.finditer(text, box.end())).start()


def _softmax(token: ChatCompletionTokenLogprob, before: str, labels: tuple[str, ...]) -> VerdictProbability | None:
    masses = [0.0, 0.0]
    # The sampled token may be missing among the alternatives at a high temperature.
    alternatives = {top.token: top.logprob for top in token.top_logprobs or ()}
    for text, logprob in {token.token: token.logprob, **alternatives}.items():
        fits = [_begins(text, before, label) for label in labels]
        if sum(fits) == 1:
            masses[fits.index(True)] += math.exp(logprob)
    total = sum(masses)
    return VerdictProbability(masses[0] / total, min(1.0, total)) if total > 0 else None


def _begins(token: str, before: str, label: str) -> bool:
    """Whether a token at this place starts to write the label, in any case, possibly after a space."""
    if not token.startswith(before):
        return False
    rest = token[len(before) :].lstrip().lower()
    label = label.lower()
    if len(rest) <= len(label):
        return bool(rest) and label.startswith(rest)
    # "Yes}" is Yes, "Yesterday" is not.
    return rest.startswith(label) and not rest[len(label)].isalpha()
