"""Three defects of verl 0.9.1's training engine.

Rows of one length crash it, weights are sent twice as large as they are used, and without flash-attn the
log-probabilities of packed rows are worked out token by token.

Replaced in the modules that use them, so :func:`mend` must run in a process that has an engine, and imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from spark_verl.compat.replace import replaces

PIECE = 1 << 26
"""Logits that are worked on at once: 256 MiB in float32."""


def mend() -> None:
    """Mend the engine in this process."""
    _fix_positions_of_workers()
    _fix_positions_of_engines()
    cast_before_gathering()
    many_tokens_at_once()


@replaces("verl.workers.engine_workers", "maybe_fix_3d_position_ids")
def _fix_positions_of_workers(original: Callable[[Any], None]) -> Callable[[Any], None]:
    return _positions_fixed_by(original)


@replaces("verl.workers.engine.base", "maybe_fix_3d_position_ids")
def _fix_positions_of_engines(original: Callable[[Any], None]) -> Callable[[Any], None]:
    return _positions_fixed_by(original)


def _positions_fixed_by(original: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let verl's repair of 3D positions also cope with rows that all have one length.

    A row's positions are (4, length). Of rows that differ, torch's jagged layout finds the second dimension to be the
    ragged one and lays them side by side: (4, all tokens), which verl's function reckons with. Of rows of one length,
    or a single row, it takes the first one and lays them below each other: (rows x 4, length). verl says "second" all
    the same, and the next access fails ("Expected cond to be True").
    """

    def fix(data: Any) -> None:
        positions = data["position_ids"] if "position_ids" in data.keys() else None  # noqa: SIM118  a TensorDict
        if positions is not None and positions.is_nested and positions.dim() == 3:
            rows, values, end = positions.shape[0], positions._values, int(positions.offsets()[-1])
            # Side by side, the first dimension is one row's 3 or 4, whatever the number of rows.
            if values.shape[0] == end and values.shape[0] // rows >= 3:
                from verl.utils.tensordict_utils import nested_tensor_from_tensor_list

                data["position_ids"] = nested_tensor_from_tensor_list(list(values.chunk(rows)), ragged_idx=2)
        original(data)

    return fix


@replaces("verl.workers.engine.fsdp.transformer_impl", "convert_weight_keys")
def cast_before_gathering(original: Callable[..., Any]) -> Callable[..., Any]:
    """Send the sampler the weights that the actor computes with, cast before they are gathered from all ranks.

    verl gathers the float32 master weights and leaves it to vLLM to round them: twice the bytes between the ranks, in
    the buckets, and into the engine. FSDP2 rounds the same weights to ``mixed_precision.param_dtype`` whenever it
    gathers them for a layer, so nothing is lost by doing it here. A model that computes in float32 sends float32.
    """

    def convert(state_dict: dict[str, Any], model: Any) -> Any:
        found = original(state_dict, model)
        dtype = _arithmetic(model)
        return found if dtype is None else _CastOnRead(found, dtype)

    return convert


class _CastOnRead(dict):
    """Weights by name, cast one at a time, where they are read, so that both kinds are never all there at once."""

    def __init__(self, weights: dict[str, Any], dtype: Any) -> None:
        super().__init__(weights)
        self._dtype = dtype

    def items(self) -> Iterator[tuple[str, Any]]:  # ty: ignore[incompatible-method-override]
        from torch.distributed.tensor import DTensor
        from verl.utils.device import get_device_id

        for name, weight in super().items():
            sharded = isinstance(weight, DTensor) and weight.is_floating_point()
            # To the device first, as verl does: it casts faster than the host.
            yield name, weight.to(get_device_id(), non_blocking=True).to(self._dtype) if sharded else weight


def _arithmetic(model: Any) -> Any:
    """The dtype in which an FSDP2 model computes; None for other models, and where it is that of its weights."""
    from torch.distributed.fsdp import FSDPModule

    return model._get_fsdp_state()._mp_policy.param_dtype if isinstance(model, FSDPModule) else None


@replaces("verl.utils.torch_functional", "logprobs_from_logits_v2")
def many_tokens_at_once(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Work out the log-probabilities of packed rows for many tokens at once.

    Where flash-attn's cross-entropy is missing, verl goes through the first dimension of the logits, to need less
    memory at once. Of padded rows that is the rows; of packed ones it is every single token, forwards and backwards.
    """
    return token_pieces(original)


def token_pieces(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """verl's function, for packed rows called with :data:`PIECE` logits at once, as if they were one padded row."""

    def compute(logits: Any, labels: Any) -> Any:
        if logits.dim() != 2:
            return original(logits, labels)
        import torch

        tokens = max(1, PIECE // logits.shape[-1])
        pieces = zip(logits.split(tokens), labels.split(tokens), strict=True)
        return torch.cat([original(some[None], same[None])[0] for some, same in pieces])

    return compute
