"""A prompt's rows reach TransferQueue in one request, not in one request per row.

verl's agent-loop worker writes each of a prompt's n rows by itself, the moment its sample has ended: n rounds of
metadata, serialization and notification, with the pixels of the prompt's images in every one. Nothing reads a row
before its prompt has ended, so all n can be written then.

verl's code still makes the rows, in a method too long to be overridden. :func:`group_writes` gives its module another
``transfer_queue`` and another ``list_of_dict_to_tensordict``, in the processes of SPARK's workers only.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from tensordict import NonTensorStack, TensorDict

from spark_verl.compat.replace import replaces

TERMINAL = ("finished", "failure")
"""Status of a prompt, as verl's worker writes it, after which none of its rows can follow."""

Fields = dict[str, Any]
Row = tuple[str, Fields, dict[str, Any]]
"""Key, fields and tag."""


class GroupedWrites:
    """``transfer_queue`` as verl's worker module uses it, except that rows wait until their prompt has ended.

    Args:
        queue: The real module; everything but the two functions below is its own.
    """

    def __init__(self, queue: ModuleType) -> None:
        self._queue = queue
        self._waiting: dict[tuple[str, str], list[Row]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def async_kv_batch_put(
        self, keys: list[str], partition_id: str, fields: list[Fields], tags: list[dict[str, Any]]
    ) -> None:
        """Keep rows, whose keys are ``{uid}_{session}_{index}``: verl's worker puts nothing else in batches."""
        for row in zip(keys, fields, tags, strict=True):
            uid = row[0].rsplit("_", 2)[0]
            self._waiting.setdefault((partition_id, uid), []).append(row)

    async def async_kv_put(self, key: str, partition_id: str, tag: dict[str, Any]) -> None:
        """Write a prompt's rows before the status that says that it has ended."""
        if tag["status"] in TERMINAL:
            await self._write(partition_id, self._waiting.pop((partition_id, key), []))
        await self._queue.async_kv_put(key=key, partition_id=partition_id, tag=tag)

    async def _write(self, partition_id: str, rows: list[Row]) -> None:
        # An agent loop may give some rows fields that others lack.
        alike: dict[frozenset[str], list[Row]] = {}
        for row in rows:
            alike.setdefault(frozenset(row[1]), []).append(row)
        for same in alike.values():
            keys, fields, tags = (list(column) for column in zip(*same, strict=True))
            await self._queue.async_kv_batch_put(
                keys=keys, partition_id=partition_id, fields=as_tensordict(fields), tags=tags
            )


def as_tensordict(rows: list[Fields]) -> TensorDict:
    """Rows with the same fields as columns, the values unchanged.

    verl's own function cannot do this for positions of shape (3 or 4, length): torch's jagged layout is for tensors
    that differ in their first dimension.
    """
    return TensorDict({name: _column([row[name] for row in rows]) for name in rows[0]}, batch_size=[len(rows)])


def _column(values: list[Any]) -> Any:
    if not all(isinstance(value, torch.Tensor) for value in values):
        return NonTensorStack(*values)  # ty: ignore[abstract-class-instantiation]
    if len({value.shape for value in values}) == 1:
        return torch.stack(values)
    one_dimensional = all(value.dim() == 1 for value in values)
    return torch.nested.as_nested_tensor(values, layout=torch.jagged if one_dimensional else torch.strided)


def group_writes() -> None:
    """Group the writes of verl's agent-loop worker in this process."""
    _let_rows_wait()
    _keep_rows_apart()


@replaces("verl.trainer.ppo.v1.agent_loop_tq", "tq")
def _let_rows_wait(queue: ModuleType) -> GroupedWrites:
    return GroupedWrites(queue)


@replaces("verl.trainer.ppo.v1.agent_loop_tq", "list_of_dict_to_tensordict")
def _keep_rows_apart(make_columns: Callable[[list[Fields]], TensorDict]) -> Callable[[list[Fields]], list[Fields]]:
    # A prompt's rows become columns together, when all are there.
    return lambda rows: rows
