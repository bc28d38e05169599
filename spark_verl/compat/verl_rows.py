"""A prompt's rows reach TransferQueue in one request, not in one request per row.

verl's agent-loop worker writes each of a prompt's n rows by itself, the moment its sample has ended: n rounds of
metadata, serialization and notification, with the pixels of the prompt's images in every one. Nothing reads a row
before its prompt has ended, so all n can be written then.

The pixels go in the arithmetic of the model, where that has 16 bits (:func:`media_dtype`): FSDP rounds a model's inputs
to it before anything else, so half of what verl stores and sends several times per step would never be looked at.

verl's code still makes the rows, in a method too long to be overridden. :func:`group_writes` gives its module another
``transfer_queue`` and another ``list_of_dict_to_tensordict``, in the processes of SPARK's workers only.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from tensordict import NonTensorStack, TensorDict

from spark_verl.compat.replace import replaces

_MEDIA = "multi_modal_inputs"
_SIXTEEN_BITS = {"bf16": torch.bfloat16, "bfloat16": torch.bfloat16, "fp16": torch.float16, "float16": torch.float16}

TERMINAL = ("finished", "failure")
"""Status of a prompt, as verl's worker writes it, after which none of its rows can follow."""

Fields = dict[str, Any]
Row = tuple[str, Fields, dict[str, Any]]
"""Key, fields and tag."""


class GroupedWrites:
    """``transfer_queue`` as verl's worker module uses it, except that rows wait until their prompt has ended.

    Args:
        queue: The real module; everything but the two functions below is its own.
        media: What pixels are stored as; None leaves them as they are.
    """

    def __init__(self, queue: ModuleType, media: torch.dtype | None = None) -> None:
        self._queue = queue
        self.media = media
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
        if self.media is not None:
            fields = self._cast([fields for _, fields, _ in rows])
            rows = [(key, cast, tag) for (key, _, tag), cast in zip(rows, fields, strict=True)]
        # An agent loop may give some rows fields that others lack.
        alike: dict[frozenset[str], list[Row]] = {}
        for row in rows:
            alike.setdefault(frozenset(row[1]), []).append(row)
        for same in alike.values():
            keys, fields, tags = (list(column) for column in zip(*same, strict=True))
            await self._queue.async_kv_batch_put(
                keys=keys, partition_id=partition_id, fields=as_tensordict(fields), tags=tags
            )

    def _cast(self, rows: list[Fields]) -> list[Fields]:
        """The rows with their pixels in the model's arithmetic; rows that share pixels go on sharing them."""
        done: dict[int, torch.Tensor] = {}

        def cast(name: str, value: Any) -> Any:
            if not name.startswith("pixel_values") or not isinstance(value, torch.Tensor):
                return value
            if id(value) not in done:
                done[id(value)] = value.to(self.media)
            return done[id(value)]

        return [
            {**row, _MEDIA: {name: cast(name, value) for name, value in row[_MEDIA].items()}}
            if row.get(_MEDIA)
            else row
            for row in rows
        ]


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


def media_dtype(config: DictConfig) -> torch.dtype | None:
    """The 16-bit type in which actor and reference compute; None where one of them computes in float32."""
    found = set()
    for role in ("actor", "ref"):
        # verl's own default is bf16.
        precision = OmegaConf.select(config, f"actor_rollout_ref.{role}.fsdp_config.mixed_precision") or {}
        found.add(_SIXTEEN_BITS.get(str(precision.get("param_dtype") or "bf16")))
    return found.pop() if len(found) == 1 else None


def group_writes(media: torch.dtype | None = None) -> None:
    """Group the writes of verl's agent-loop worker in this process; pixels are stored as ``media``."""
    _let_rows_wait()
    _keep_rows_apart()
    from verl.trainer.ppo.v1 import agent_loop_tq

    agent_loop_tq.tq.media = media  # ty: ignore[missing-attribute]  it is a GroupedWrites by now


@replaces("verl.trainer.ppo.v1.agent_loop_tq", "tq")
def _let_rows_wait(queue: ModuleType) -> GroupedWrites:
    return GroupedWrites(queue)


@replaces("verl.trainer.ppo.v1.agent_loop_tq", "list_of_dict_to_tensordict")
def _keep_rows_apart(make_columns: Callable[[list[Fields]], TensorDict]) -> Callable[[list[Fields]], list[Fields]]:
    # A prompt's rows become columns together, when all are there.
    return lambda rows: rows
