"""Rollout text is untrusted: what has to happen to it before it may stand in a prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from spark_verl.judge.types import Message

_MEDIA_PLACEHOLDERS = ("<image>", "<video>", "<audio>")
"""verl's own media placeholders: its dataset class splits strings on them."""

_KEEP_CONTROL = frozenset("\n\t")


class Sanitizer:
    """Makes a text safe to stand in a prompt.

    Special tokens of the tokenizer (``<|im_end|>``, ``<|image_pad|>``, ...) and verl's media placeholders are broken
    with a space after their first character, so that a person still reads them and the tokenizer sees plain text.
    Control characters and lone surrogates, which no tokenizer or JSON dump handles well, become U+FFFD.

    Args:
        special_tokens: Every special or added token string of the tokenizer.
    """

    def __init__(self, special_tokens: Iterable[str]):
        tokens = {t for t in (*special_tokens, *_MEDIA_PLACEHOLDERS) if t}
        # Longest first, so that a token that contains another one is broken as a whole.
        ordered = sorted(tokens, key=len, reverse=True)
        self._tokens = re.compile("|".join(re.escape(t) for t in ordered))

    @classmethod
    def for_tokenizer(cls, tokenizer) -> Sanitizer:
        """Build from a Hugging Face tokenizer: all special tokens and all tokens added to its vocabulary."""
        added = [str(token) for token in getattr(tokenizer, "added_tokens_decoder", {}).values()]
        return cls([*tokenizer.all_special_tokens, *added])

    def __call__(self, text: str) -> str:
        """Return the safe text. Linear in ``len(text)`` for each pass; the passes end because each removes a token."""
        text = "".join(map(_replace_unprintable, text))
        # Breaking one token can complete another one ("<|im<|im_end|>_end|>"), hence the loop.
        while self._tokens.search(text):
            text = self._tokens.sub(lambda match: _break(match.group()), text)
        return text


def _break(token: str) -> str:
    return f"{token[0]} {token[1:]}" if len(token) > 1 else "\ufffd"


def _replace_unprintable(char: str) -> str:
    if char in _KEEP_CONTROL or char.isprintable():
        return char
    return "\ufffd" if unicodedata.category(char) in ("Cc", "Cs") else char


def append_text(messages: list[Message], text: str) -> list[Message]:
    """Copy messages with ``text`` appended to the last user turn.

    Nothing else is copied: images stay the very same objects, which is how a judge prompt shares its group's decoded
    and processed images.

    Args:
        messages: The question, see :data:`spark_verl.judge.types.Message`.
        text: What to append, separator included.

    Raises:
        ValueError: There is no user turn.
    """
    last = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=None)
    if last is None:
        raise ValueError("the question has no user turn to append the judge text to")
    content = messages[last]["content"]
    if isinstance(content, str):
        new_content: str | list = content + text
    else:
        new_content = [*content, {"type": "text", "text": text}]
    # Later turns (an assistant prefix, say) would answer the old question, so they are left out.
    return [*messages[:last], {**messages[last], "content": new_content}]
