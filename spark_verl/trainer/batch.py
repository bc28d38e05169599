"""A step's batch by rows: parts of it, and where padding stands among them."""

from __future__ import annotations

from collections.abc import Sequence

from transfer_queue import KVBatchMeta


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
