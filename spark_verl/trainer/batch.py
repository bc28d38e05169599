"""A step's batch by rows: their fields in TransferQueue, parts of it, and where padding stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta


def fetch(batch: KVBatchMeta, *fields: str, keys: Sequence[str] | None = None) -> Any:
    """Fields of the batch's rows, or of some of them: a TensorDict, nested tensors for what differs in length."""
    return tq.kv_batch_get(
        keys=list(batch.keys if keys is None else keys),
        partition_id=str(batch.partition_id),
        select_fields=list(fields),
    )


def reward_infos(rows: Any) -> list[dict[str, Any]]:
    """What the reward manager said of each row, from the field ``extra_fields``; empty where it said nothing."""
    return [extra.get("reward_extra_info") or {} for extra in rows["extra_fields"]]


def subset(batch: KVBatchMeta, keep: Sequence[bool]) -> KVBatchMeta:
    """The rows of ``batch`` where ``keep`` is true, as a batch of the same partition."""
    rows = [i for i, kept in enumerate(keep) if kept]
    return KVBatchMeta(
        partition_id=batch.partition_id,
        keys=[batch.keys[i] for i in rows],
        tags=[batch.tags[i] for i in rows],
        extra_info=batch.extra_info,
    )


def spread_padding(padding: Sequence[bool], ranks: int) -> list[int]:
    """An order of rows in which each rank's padding rows stand at equal distances.

    Args:
        padding: Which rows are padding. Equal numbers of consecutive rows belong to each rank, and still do afterwards.
        ranks: Data-parallel ranks; their number divides that of the rows.

    Returns:
        Indices of the rows. Among themselves, real rows keep their order.
    """
    rows, order = len(padding) // ranks, []
    for start in range(0, len(padding), rows):
        mine = range(start, start + rows)
        queues = {kind: iter([i for i in mine if bool(padding[i]) is kind]) for kind in (True, False)}
        count = sum(bool(padding[i]) for i in mine)
        order += [next(queues[(place + 1) * count // rows > place * count // rows]) for place in range(rows)]
    return order
