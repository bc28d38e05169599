"""Judge and reflection prompts for test time: the words of training, from the same templates."""

from __future__ import annotations

import random
from typing import Any

from spark_verl.judge.templates import JUDGE_SEPARATOR, TemplateSet
from spark_verl.judge.text import QWEN_SPECIAL_TOKENS, Sanitizer, append_text
from spark_verl.vocabulary import LabelForm, Message, Objective, Source

_DEFUSED = (*QWEN_SPECIAL_TOKENS, "<tool_call>", "</tool_call>")
"""Defused in candidates where no tokenizer is at hand (``tokenizer_config.json`` of Qwen2.5-VL)."""


class Prompts:
    """Renders judge and reflection prompts.

    Args:
        templates: Template folder, see :func:`spark_verl.judge.templates.resolve_folder`.
        label_form: How the judge answers.
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
        tokenizer: Any = None,
        seed: int = 0,
    ) -> None:
        self.label_form = label_form
        self._forms = {Objective.POINTWISE: label_form, Objective.REFLECTION: LabelForm.FREE}
        self._seed = seed
        self._templates = TemplateSet.load(templates)
        for objective, form in self._forms.items():
            self._templates.require(objective, form)
        fences = self._templates.fences
        self._sanitize = (
            Sanitizer(_DEFUSED, fences) if tokenizer is None else Sanitizer.for_tokenizer(tokenizer, fences)
        )

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
        index = random.Random(f"{self._seed}/{key}/{objective}").randrange(self._templates.count(objective, form))
        candidate = self._sanitize(shown.strip())
        text = self._templates.render(objective, form, index + number, candidate=candidate, source=source)
        return append_text(messages, JUDGE_SEPARATOR + text)
