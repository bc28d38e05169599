"""Token budget of a judge prompt: measuring, and shortening what is too long.

A rollout server cuts a prompt that is too long blindly: the question's beginning, or the instruction at the end. So a
judge prompt is made to fit before it is submitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spark_verl.vocabulary import Message

if TYPE_CHECKING:  # a second to import, for names alone
    from transformers import PreTrainedTokenizerBase, ProcessorMixin

MARK = "\n[... middle part left out ...]\n"
"""Stands where a chain of thought was shortened; the beginning and the end, with the final answer, stay."""

MIN_KEPT_SHARE = 0.25
"""A chain of thought of which less than this could be shown is not shown: the rest would explain nothing."""

SEAM_TOKENS = 2
"""The question and the appended text are tokenized apart; together they may split differently where they meet."""

_MAX_CHARS_PER_TOKEN = 32
"""No text that is worth showing has longer tokens; a longer text is too long without being tokenized."""


class TokenBudget:
    """Measures and shortens texts in tokens.

    Args:
        tokenizer: Hugging Face tokenizer.
        max_prompt_length: Token limit of a whole prompt, image tokens included; None means no limit.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_prompt_length: int | None) -> None:
        self._tokenizer = tokenizer
        self._max_prompt_length = max_prompt_length
        self._last: tuple[str, list[int]] = ("", [])

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, with the tokenizer's special tokens recognised and none added."""
        # A text is measured and then searched for special tokens: tokenize it once.
        if self._last[0] != text:
            self._last = text, self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return self._last[1]

    def room(self, prompt_tokens: int) -> int | None:
        """Tokens that may be appended to a question of ``prompt_tokens`` tokens; None means no limit."""
        return None if self._max_prompt_length is None else self._max_prompt_length - prompt_tokens - SEAM_TOKENS

    def fits(self, text: str, room: int | None) -> bool:
        """Whether ``text`` has at most ``room`` tokens."""
        if room is None:
            return True
        return len(text) <= _MAX_CHARS_PER_TOKEN * max(0, room) and len(self.ids(text)) <= room

    def shorten(self, text: str, limit: int) -> str | None:
        """``text`` with its middle left out, so that it has at most ``limit`` tokens.

        Returns:
            The text, unchanged if it fits; None when less than :data:`MIN_KEPT_SHARE` of it could be shown.
        """
        if self.fits(text, limit):
            return text
        if len(text) > _MAX_CHARS_PER_TOKEN * max(0, limit):
            return None
        room = limit - len(self.ids(MARK))
        kept = int(len(text) * room / len(self.ids(text)))
        # Tokens per character vary along the text, so the first guess may need a correction or two.
        while kept >= MIN_KEPT_SHARE * len(text):
            shortened = text[: kept // 2].rstrip() + MARK + text[len(text) - (kept - kept // 2) :].lstrip()
            if self.fits(shortened, limit):
                return shortened
            kept = int(kept * 0.95)
        return None

    def shorten_all(self, texts: dict[str, str], limit: int) -> dict[str, str] | None:
        """Shorten several texts so that together they have at most ``limit`` tokens: the longest ones give first."""
        lengths = {}
        for name, text in texts.items():
            if len(text) > _MAX_CHARS_PER_TOKEN * max(0, limit):
                return None
            lengths[name] = len(self.ids(text))
        result = {}
        for position, name in enumerate(sorted(texts, key=lengths.__getitem__)):
            share = limit // (len(texts) - position)
            shortened = self.shorten(texts[name], share)
            if shortened is None:
                return None
            result[name] = shortened
            limit -= min(share, lengths[name])
        return {name: result[name] for name in texts}


def question_tokens(
    messages: list[Message], tokenizer: PreTrainedTokenizerBase, processor: ProcessorMixin | None = None
) -> int:
    """Length of a question in tokens, images expanded, as the rollout engine will see it.

    Args:
        messages: See :data:`spark_verl.judge.types.Message`.
        tokenizer: Hugging Face tokenizer.
        processor: Hugging Face processor; needed when the messages have images.
    """
    speaker = tokenizer if processor is None else processor
    if processor is not None:
        # A processor's chat template reads a list of parts; text-only rows have a plain string.
        messages = [
            {**m, "content": [{"type": "text", "text": m["content"]}]} if isinstance(m["content"], str) else m
            for m in messages
        ]
    encoded: Any = speaker.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True)
    ids = encoded["input_ids"]
    return len(ids[0]) if isinstance(ids[0], list) else len(ids)
