"""The two kinds of errors: one row is bad, or the whole call is."""

from __future__ import annotations

import re

from spark_verl.options import brief

_DETAIL = 300
_SAID = 160


def said(error: BaseException) -> str:
    """What a library's error says, on one line, without addresses in memory."""
    return brief(re.sub(r" ?<[^<>]* at 0x\w+>", "", f"{type(error).__name__}: {error}"), _SAID)


class UsageError(ValueError):
    """The call cannot work: a path, a column or an option is wrong. Ends the program with exit code 2 and one line."""


class RowError(Exception):
    """A row cannot be used. It is dropped and counted, or, with ``--strict``, ends the program with exit code 1.

    Args:
        reason: Key of :data:`REASONS`.
        detail: What exactly is wrong with this row, values by :func:`brief`; libraries' own words are cut.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        # Half a surrogate pair can be neither printed nor stored.
        detail = brief(detail.encode("utf-8", "backslashreplace").decode(), _DETAIL)
        super().__init__(f"{REASONS[reason]}: {detail}" if detail else REASONS[reason])
        self.reason = reason
        self.detail = detail


REASONS = {
    "bad_record": "not a JSON object",
    "missing_field": "a field is missing or has the wrong type",
    "bad_text": "a text that is not valid Unicode, or a value that Python does not have",
    "bad_message": "the chat message cannot be read",
    "empty_question": "no question",
    "no_answer": "no answer is given (null)",
    "empty_answer": "an answer that means nothing (empty, or a missing value)",
    "unverifiable_answer": "an answer that the verifier does not accept as its own ground truth",
    "placeholder_mismatch": "placeholders and images do not match",
    "other_media": "a <video> or <audio> placeholder",
    "special_token": "a special token of the chat format in the question",
    "unread_image": "an image that this program does not read",
    "missing_image": "the image does not exist",
    "broken_image": "the image cannot be decoded",
    "tiny_image": "a side of the image is one pixel",
    "extreme_ratio": "the aspect ratio of the image is above 200",
    "distorted_image": "the model would see another image than the file holds",
    "too_long": "the prompt is longer than data.max_prompt_length",
    "unreadable": "verl cannot read the row",
}
"""Why rows are dropped, or refused before a run: key in the report → what it means."""
