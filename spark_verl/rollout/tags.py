"""What SPARK writes into TransferQueue's tags, beside verl's own entries: one place writes and reads them.

A judge prompt's tag, and the tag of every row of a step, say what the row is (:class:`~spark_verl.vocabulary.RowTag`);
a policy prompt's tag says what its group turned out to be and gave (:class:`GroupRecord`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from spark_verl.self_reward.answers import ScoredGroup
from spark_verl.vocabulary import POLICY, Outcome, RowTag

Tag = dict[str, Any]

_ROW, _GROUP = "spark_row", "spark_group"


@dataclass(frozen=True)
class GroupRecord:
    """What became of a group in the judge transform.

    Attributes:
        outcome: What its rollouts turned out to be.
        skipped: ``{reason: count}`` of the judge prompts that were asked for and not built.
        adapted: ``{how: count}`` of those that were not built quite as asked for.
        seconds: Time that the transform took.
        scored: Its answers with the model's verdicts, where its reward, or the judge's measure, comes from them.
    """

    outcome: Outcome = Outcome.NONE
    skipped: Mapping[str, int] = field(default_factory=dict)
    adapted: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    scored: ScoredGroup | None = None


def put_row(tag: Tag, row: RowTag) -> Tag:
    """The tag with what its row is."""
    return {**tag, _ROW: row.to_dict()}


def row_of(tag: Tag) -> RowTag:
    """What a row or prompt is. A policy prompt, and what verl itself wrote, has no such entry: it is the policy's."""
    return RowTag.from_dict(tag[_ROW]) if _ROW in tag else POLICY


def put_group(tag: Tag, record: GroupRecord) -> Tag:
    """The tag with what its group turned out to be."""
    scored = record.scored.to_dict() if record.scored else None
    return {**tag, _GROUP: {**asdict(record), "outcome": record.outcome.value, "scored": scored}}


def group_of(tag: Tag) -> GroupRecord | None:
    """What a policy prompt's group turned out to be; None for other prompts, and while it is under way."""
    if _GROUP not in tag:
        return None
    stored = tag[_GROUP]
    scored = ScoredGroup.from_dict(stored["scored"]) if stored["scored"] else None
    return GroupRecord(Outcome(stored["outcome"]), stored["skipped"], stored["adapted"], stored["seconds"], scored)


def is_padding(tag: Tag) -> bool:
    """Whether verl added the row to make the batch divisible."""
    return bool(tag.get("is_padding", False))
