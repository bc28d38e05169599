"""The two kinds of errors: one row is bad, or the whole call is."""

from __future__ import annotations


class UsageError(ValueError):
    """The call cannot work: a path, a column or an option is wrong. Ends the program with exit code 2 and one line."""


class RowError(Exception):
    """A row cannot be used. It is dropped and counted, or, with ``--strict``, ends the program with exit code 1.

    Args:
        reason: Key of :data:`REASONS`.
        detail: What exactly is wrong with this row.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{REASONS[reason]}: {detail}" if detail else REASONS[reason])
        self.reason = reason
        self.detail = detail


REASONS = {
    "bad_record": "not a JSON object",
    "missing_field": "a field is missing or has the wrong type",
    "bad_text": "a text that is not valid Unicode",
    "bad_message": "the chat message cannot be read",
    "empty_question": "no question",
    "empty_answer": "no answer",
    "unverifiable_answer": "an answer that the verifier does not accept as its own ground truth",
    "placeholder_mismatch": "more <image> placeholders than images",
    "other_media": "a <video> or <audio> placeholder",
    "special_token": "a special token of the chat format in the question",
    "missing_image": "the image does not exist",
    "broken_image": "the image cannot be decoded",
    "tiny_image": "a side of the image is one pixel",
    "extreme_ratio": "the aspect ratio of the image is above 200",
}
"""Why rows are dropped: key in the report → what it means."""
