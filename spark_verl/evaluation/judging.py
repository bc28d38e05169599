"""How the model is asked about an answer, in the words of training, and how sure it is of its verdict."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from openai.types.chat import ChatCompletionTokenLogprob

from spark_verl.judge.templates import JUDGE_SEPARATOR, TemplateSet
from spark_verl.judge.text import Sanitizer, append_text
from spark_verl.qwen import CHAT_MARKUP, SPECIAL_TOKENS
from spark_verl.reward import extract_answer, parse_judgement
from spark_verl.vocabulary import LabelForm, Message, Objective, Source

_DEFUSED = (*SPECIAL_TOKENS, *CHAT_MARKUP)
"""Defused in candidates where no tokenizer is at hand."""

_BOX = re.compile(r"\\{1,2}(?:boxed|fbox)\s*\{")


class Prompts:
    """Renders judge and reflection prompts.

    Args:
        templates: Template folder, see :func:`spark_verl.judge.templates.resolve_folder`.
        label_form: How the judge answers.
        source: What is shown of a response, where its answer and the whole of it both can be.
        tokenizer: Hugging Face tokenizer of the model, names what has to be defused in candidates; None for Qwen's
            special tokens.
        seed: Draws the template of every question.

    Raises:
        FileNotFoundError, ValueError: There is no such folder, or a template is missing or wrong.
    """

    def __init__(
        self,
        templates: str | None = None,
        *,
        label_form: LabelForm = LabelForm.YES_NO,
        source: Source = Source.ANSWER,
        tokenizer: Any = None,
        seed: int = 0,
    ) -> None:
        self.label_form, self.source, self.seed = label_form, source, seed
        self._forms = {Objective.POINTWISE: label_form, Objective.REFLECTION: LabelForm.FREE}
        self._templates = TemplateSet.load(templates)
        for objective, form in self._forms.items():
            self._templates.require(objective, form)
        fences = self._templates.fences
        self._sanitize = Sanitizer.for_tokenizer(tokenizer, fences) if tokenizer else Sanitizer(_DEFUSED, fences)

    def about(
        self, messages: list[Message], objective: Objective, shown: str, source: Source, key: str, number: int = 0
    ) -> list[Message]:
        """The question with "is this right?" or "here is an attempt, do better" appended.

        Args:
            messages: The question.
            objective: Pointwise or reflection.
            shown: The candidate: untrusted model output.
            source: Whether it is a bare answer or a whole response.
            key: The question's key: all candidates of a question are judged in the same words.
            number: How many were asked before about the same candidate; each uses the next template.
        """
        form = self._forms[objective]
        index = random.Random(f"{self.seed}/{key}/{objective}").randrange(self._templates.count(objective, form))
        candidate = self._sanitize(shown.strip())
        text = self._templates.render(objective, form, index + number, candidate=candidate, source=source)
        return append_text(messages, JUDGE_SEPARATOR + text)


class VerdictProbability(NamedTuple):
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
    """The judge's own probability of the favourable label, read where its verdict is written.

    A verdict may follow a chain of thought; what counts is the token at which the two labels part: the first token of
    ``Yes`` in ``\\boxed{Yes}``, whatever stands before it and however the tokenizer cuts it (``{`` | ``Yes``, ``{Y`` |
    ``es``).

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
    ends = accumulate(len(token.token) for token in tokens)
    end, token = next(pair for pair in zip(ends, tokens, strict=True) if place < pair[0])
    # What of the token stands before the label.
    before = text[end - len(token.token) : place]
    masses = [0.0, 0.0]
    # The sampled token may be missing among the alternatives at a high temperature.
    alternatives = {top.token: top.logprob for top in token.top_logprobs or ()}
    for other, logprob in {token.token: token.logprob, **alternatives}.items():
        fits = [_begins(other, before, label) for label in label_form.labels]
        if sum(fits) == 1:
            masses[fits.index(True)] += math.exp(logprob)
    total = sum(masses)
    return VerdictProbability(masses[0] / total, min(1.0, total)) if total > 0 else None


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


def _begins(token: str, before: str, label: str) -> bool:
    """Whether a token at this place starts to write the label, in any case, possibly after a space."""
    rest, label = token.removeprefix(before).lstrip().lower(), label.lower()
    if not token.startswith(before) or not rest:
        return False
    # "Yes}" is Yes, "Yesterday" is not.
    return label.startswith(rest) or (rest.startswith(label) and not rest[len(label)].isalpha())
