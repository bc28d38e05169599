"""Rollout text is untrusted: what has to happen to it before it may stand in a prompt."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from spark_verl.vocabulary import Message

if TYPE_CHECKING:  # a second to import, for names alone
    from transformers import PreTrainedTokenizerBase

_MEDIA_PLACEHOLDERS = ("<image>", "<video>", "<audio>")
"""verl's own media placeholders: its dataset class splits strings on them."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters except tab and newline, and lone surrogates: no tokenizer or JSON dump handles them well."""

_CHAT_MARKUP = re.compile(r"<[^<>\s{}]{1,40}>|\[/?[A-Z_]{2,20}\]")
"""Literals in a chat template that look like markup: ``<|im_start|>``, ``<tool_call>``, ``[INST]``."""


class Sanitizer:
    """Makes a text safe to stand in a prompt.

    - Special and added tokens of the tokenizer (``<|im_end|>``, ``<|image_pad|>``, ...), verl's media placeholders and
      the chat template's markup are broken with a space after their first character: a person still reads them, the
      tokenizer sees plain text.
    - The tags that fence candidates in the judge templates lose their angle brackets, so that no candidate can end its
      own fence and speak as the judge's instruction.
    - Control characters and lone surrogates become U+FFFD, ``\\r\\n`` becomes ``\\n``.

    Args:
        special_tokens: Every string that must not appear.
        fences: Names of fencing tags, as in ``<candidate>`` and ``</candidate>``.
    """

    def __init__(self, special_tokens: Iterable[str], fences: Iterable[str] = ()) -> None:
        tokens = {t for t in (*special_tokens, *_MEDIA_PLACEHOLDERS) if t}
        # Longest first, so that a token that contains another one is broken as a whole.
        self._tokens = re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))))
        names = "|".join(map(re.escape, sorted(fences, key=len, reverse=True)))
        self._fences = re.compile(rf"<(\s{{0,9}}/?\s{{0,9}}(?:{names})\b[^<>]{{0,99}})>", re.I) if names else None

    @classmethod
    def for_tokenizer(cls, tokenizer: PreTrainedTokenizerBase, fences: Iterable[str] = ()) -> Sanitizer:
        """Build from a Hugging Face tokenizer: special tokens, added tokens, and markup in its chat template."""
        template = getattr(tokenizer, "chat_template", None)
        templates = template.values() if isinstance(template, dict) else [template or ""]
        markup = [literal for text in templates for literal in _CHAT_MARKUP.findall(text)]
        return cls([*special_strings(tokenizer).values(), *markup], fences)

    def __call__(self, text: str) -> str:
        """Return the safe text. Each pass is linear in ``len(text)``; passes end because each removes a token."""
        text = _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n"))
        if self._fences is not None:
            text = self._fences.sub(r"[\1]", text)
        # Breaking one token could complete another one, hence the loop.
        while self._tokens.search(text):
            text = self._tokens.sub(lambda match: _break(match.group()), text)
        return text


def special_strings(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """``{id: string}`` of every special or added token of a Hugging Face tokenizer."""
    found = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    found.update({number: str(token) for number, token in getattr(tokenizer, "added_tokens_decoder", {}).items()})
    return found


def _break(token: str) -> str:
    return f"{token[0]} {token[1:]}" if len(token) > 1 else "\ufffd"


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
