"""One question of a benchmark: what the loaders give and what the evaluation asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spark_verl.vocabulary import Message


@dataclass(frozen=True)
class Question:
    """A question that is ready to be asked and scored.

    Attributes:
        id: Unique within its benchmark.
        benchmark: Name of the benchmark.
        messages: Chat messages ``{"role": .., "content": parts}``; a part is ``{"type": "text", "text": str}`` or
            ``{"type": "image", "image": PIL.Image | bytes | path}``.
        ground_truth: What :func:`spark_verl.reward.averify` takes, or the label of a judge question.
        choices: Options of a multiple-choice question by letter.
        tolerance: Largest accepted difference relative to the truth; None for exact.
        group: Questions of the same group are scored together by benchmarks that have such a rule.
        meta: What the benchmark's aggregation needs, and columns worth keeping.
    """

    id: str
    benchmark: str
    messages: list[Message]
    ground_truth: Any
    choices: dict[str, str] | None = None
    tolerance: float | None = None
    group: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)
