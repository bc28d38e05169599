"""Judge and reflection prompts for test time: the words of training, from the same templates."""

from __future__ import annotations

import random

from spark_verl.judge.templates import JUDGE_SEPARATOR, TemplateSet
from spark_verl.judge.text import QWEN_SPECIAL_TOKENS, Sanitizer, append_text
from spark_verl.vocabulary import LabelForm

_DEFUSED = (*QWEN_SPECIAL_TOKENS, "<tool_call>", "</tool_call>")
"""Defused in candidates where no tokenizer is at hand (``tokenizer_config.json`` of Qwen2.5-VL)."""


class Prompts:
    """Renders judge and reflection prompts.

    Args:
        templates: Template folder, see :func:`spark_verl.judge.templates.resolve_folder`.
        label_form: "yes_no" or "a_b": how the judge answers.
        tokenizer: Hugging Face tokenizer of the model, names what has to be defused in candidates; None for Qwen's
            special tokens.
        seed: Draws the template of every question.

    Raises:
        FileNotFoundError, ValueError: There is no such folder, or a template is missing or wrong.
    """

    def __init__(self, templates: str | None = None, *, label_form: str = "yes_no", tokenizer=None, seed: int = 0):
        self.label_form = label_form
        self.labels = LabelForm(label_form).labels
        self._seed = seed
        self._templates = TemplateSet.load(templates)
        self._templates.require("pointwise", label_form)
        self._templates.require("reflection", "free")
        fences = self._templates.fences
        self._sanitize = (
            Sanitizer(_DEFUSED, fences) if tokenizer is None else Sanitizer.for_tokenizer(tokenizer, fences)
        )

    def judge(self, messages: list[dict], shown: str, source: str, key: str, number: int = 0) -> list[dict]:
        """The question with "is this right?" appended.

        Args:
            messages: The question.
            shown: The candidate: untrusted model output.
            source: "answer" or "cot": whether it is a bare answer or a whole response.
            key: The question's key: all candidates of a question are judged in the same words.
            number: Of the judgement; each uses the next template.
        """
        return self._append(messages, shown, source, "pointwise", self.label_form, key, number)

    def reflect(self, messages: list[dict], shown: str, source: str, key: str, number: int = 0) -> list[dict]:
        """The question with "here is an attempt, do better" appended; arguments as in :meth:`judge`."""
        return self._append(messages, shown, source, "reflection", "free", key, number)

    def _append(
        self, messages: list[dict], shown: str, source: str, objective: str, form: str, key: str, number: int
    ) -> list[dict]:
        count = self._templates.count(objective, form)
        index = random.Random(f"{self._seed}/{key}/{objective}").randrange(count) + number
        text = self._templates.render(objective, form, index, candidate=self._sanitize(shown.strip()), source=source)
        return append_text(messages, JUDGE_SEPARATOR + text)
