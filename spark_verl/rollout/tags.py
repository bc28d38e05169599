"""What SPARK writes into TransferQueue's tags, beside verl's own entries: one place writes and reads them.

A judge prompt's tag, and the tag of every row of a step, say what the row is (:class:`~spark_verl.vocabulary.RowTag`);
a policy prompt's tag says what its group turned out to be and gave (:class:`GroupRecord`), and what it asks of the next
step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_verl.rollout.requests import JudgeRequest
from spark_verl.self_reward.answers import ScoredGroup
from spark_verl.vocabulary import POLICY, Outcome, RowTag

Tag = dict[str, Any]

_ROW, _GROUP, _REQUEST = "spark_row", "spark_group", "spark_request"


@dataclass(frozen=True)
class GroupRecord:
    """What became of a group in the judge transform.

    Attributes:
        outcome: What its rollouts turned out to be.
        skipped: ``{reason: count}`` of the judge prompts that were asked for and not built.
        adapted: ``{how: count}`` of those that were not built quite as asked for.
        seconds: Time that the transform took.
        scored: Its answers with the model's verdicts, where its reward, or the judge's measure, comes from them.
        deferred: The judge prompts that the next step samples (``spark.judge_step: next``).
    """

    outcome: Outcome = Outcome.NONE
    skipped: Mapping[str, int] = field(default_factory=dict)
    adapted: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    scored: ScoredGroup | None = None
    deferred: tuple[JudgeRequest, ...] = ()


def put_row(tag: Tag, row: RowTag) -> Tag:
    """The tag with what its row is."""
    return {**tag, _ROW: row.to_dict()}


def pending_tags(requests: Sequence[JudgeRequest], step: int, whole: bool = False) -> list[Tag]:
    """Tags of judge prompts that are about to be sampled in ``step``.

    Args:
        requests: The prompts.
        step: Of the training.
        whole: Whether a checkpoint may be written before they have ended: the requests themselves are in the tags.
    """
    pending = {"is_prompt": True, "status": "pending", "global_steps": step}
    stored = ({_REQUEST: request.to_dict()} if whole else {} for request in requests)
    return [put_row(pending | each, request.tag) for request, each in zip(requests, stored, strict=True)]


def request_of(tag: Tag) -> JudgeRequest | None:
    """What a judge prompt that is under way asks; None for other prompts, and where no checkpoint wants to know."""
    return JudgeRequest.from_dict(tag[_REQUEST]) if _REQUEST in tag else None


def row_of(tag: Tag) -> RowTag:
    """What a row or prompt is. A policy prompt, and what verl itself wrote, has no such entry: it is the policy's."""
    return RowTag.from_dict(tag[_ROW]) if _ROW in tag else POLICY


def put_group(tag: Tag, record: GroupRecord) -> Tag:
    """The tag with what its group turned out to be."""
    stored = {
        "outcome": record.outcome.value,
        "skipped": dict(record.skipped),
        "adapted": dict(record.adapted),
        "seconds": record.seconds,
        "scored": record.scored.to_dict() if record.scored else None,
        "deferred": [request.to_dict() for request in record.deferred],
    }
    return {**tag, _GROUP: stored}


def group_of(tag: Tag) -> GroupRecord | None:
    """What a policy prompt's group turned out to be; None for other prompts, and while it is under way."""
    if _GROUP not in tag:
        return None
    stored = tag[_GROUP]
    scored = ScoredGroup.from_dict(stored["scored"]) if stored["scored"] else None
    deferred = tuple(map(JudgeRequest.from_dict, stored["deferred"]))
    counts = (stored["skipped"], stored["adapted"], stored["seconds"])
    return GroupRecord(Outcome(stored["outcome"]), *counts, scored, deferred)


def is_padding(tag: Tag) -> bool:
    """Whether verl added the row to make the batch divisible."""
    return bool(tag.get("is_padding", False))
