"""Packed rows on torch's own variable-length attention, so that nothing has to be compiled.

verl packs rows without padding, and by default its models then want the package flash-attn: half an hour of compiling.
torch 2.11 carries the same kernels (``torch.nn.attention.varlen``, forward and backward). Here they become one more
implementation of transformers' attention interface, :data:`NAME`; everything around the kernel (where a packed row
begins, padded rows, the windows of a vision tower, verl's sequence parallelism) stays transformers' and verl's code for
flash attention, which goes by the word "flash" in the name.

Where the kernels do not run (no GPU, float32), sequences of about one length are padded for the attention alone and
computed together, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from spark_verl.compat.replace import replaces

NAME = "torch_flash_varlen"
"""Value of ``actor_rollout_ref.model.override_config.attn_implementation``, and what is used where verl's default,
flash-attn, is not installed."""
FLASH_ATTN = "flash_attention_2"
_KERNEL_TYPES = (torch.bfloat16, torch.float16)
_ALL, _CAUSAL = (-1, -1), (-1, 0)


def register() -> None:
    """Make :data:`NAME` known to transformers, and have verl's models use it where flash-attn is not installed."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.flash_attention import flash_attention_forward
    from transformers.masking_utils import flash_attention_mask

    AttentionInterface.register(NAME, flash_attention_forward)
    AttentionMaskInterface.register(NAME, flash_attention_mask)
    _find_our_kernels()
    _use_what_is_installed()


@replaces("transformers.modeling_flash_attention_utils", "_lazy_imports")
def _find_our_kernels(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let transformers find the functions of :data:`NAME`, which it would look for on the hub."""
    from transformers.modeling_flash_attention_utils import _pad_input, _unpad_input

    def find(implementation: str | None, *args: Any, **named: Any) -> tuple[Any, ...]:
        if implementation != NAME:
            return original(implementation, *args, **named)
        # No function for a cache: this is for training.
        return attend_rows, attend_packed, None, _pad_input, _unpad_input

    return find


@replaces("verl.workers.config.model", "update_model_config")
def _use_what_is_installed(original: Callable[[Any, dict[str, Any]], None]) -> Callable[[Any, dict[str, Any]], None]:
    """Choose :data:`NAME` where verl's default is not installed; keep any choice out of the model's config.json.

    verl would write ``attn_implementation`` as a property of the model into every checkpoint, which could then only be
    loaded where that implementation is.
    """
    from transformers.utils import is_flash_attn_2_available, is_torch_npu_available

    def update(module_config: Any, override_config_kwargs: dict[str, Any]) -> None:
        # It has been applied by then: verl hands it to the config's constructor.
        given = {key: value for key, value in override_config_kwargs.items() if key != "attn_implementation"}
        original(module_config, given)
        available = is_flash_attn_2_available() or is_torch_npu_available()
        if getattr(module_config, "_attn_implementation", None) == FLASH_ATTN and not available:
            module_config._attn_implementation = NAME

    return update


def attend_packed(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: torch.Tensor,
    cu_seqlens_k: torch.Tensor,
    max_seqlen_q: int | torch.Tensor,
    max_seqlen_k: int | torch.Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = _ALL,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attention within each of several sequences that lie behind one another, as flash-attn's function of that kind.

    Args:
        q: Queries, (tokens, heads, head size).
        k: Keys, (tokens, key heads, head size); ``heads`` is a multiple of ``key heads``.
        v: Values, as the keys.
        cu_seqlens_q: Where each sequence of queries begins, and the last one ends.
        cu_seqlens_k: The same for keys and values.
        max_seqlen_q: Length of the longest sequence of queries.
        max_seqlen_k: The same for keys and values.
        dropout_p: Must be 0.
        softmax_scale: Factor of the scores; one over the root of the head size if None.
        causal: A token sees none behind it.
        window_size: How many tokens it sees before and behind it; -1 for all.
        softcap: Must be 0 or None.

    Returns:
        (tokens, heads, head size).

    Raises:
        NotImplementedError: The model wants dropout or capped scores, which torch's kernels do not have.
    """
    if dropout_p or softcap:
        raise NotImplementedError(
            f"{NAME} has neither attention dropout ({dropout_p}) nor capped scores ({softcap}): install flash-attn, or"
            " set +actor_rollout_ref.model.override_config.attn_implementation=sdpa"
        )
    if q.shape[1] != k.shape[1]:
        # torch documents its kernels for as many heads of keys as of queries.
        k, v = (states.repeat_interleave(q.shape[1] // states.shape[1], 1) for states in (k, v))
    before, behind = window_size
    window = (before, 0 if causal else behind)
    if q.is_cuda and q.dtype in _KERNEL_TYPES and q.shape[-1] % 8 == 0:
        from torch.nn.attention.varlen import varlen_attn

        of_queries, of_keys = (ends.to(torch.int32) for ends in (cu_seqlens_q, cu_seqlens_k))
        longest = int(max_seqlen_q), int(max_seqlen_k)
        found = varlen_attn(q, k, v, of_queries, of_keys, *longest, scale=softmax_scale, window_size=window)
        return found  # ty: ignore[invalid-explicit-return]  a tuple only where more is asked for
    lengths = list(zip(*(ends.diff().tolist() for ends in (cu_seqlens_q, cu_seqlens_k)), strict=True))
    together: dict[tuple[int, int], list[int]] = {}
    for i, (queries, keys) in enumerate(lengths):
        # What sees nothing behind it does not see padding at the end, either; up to twice the length costs little.
        length = 1 << (queries - 1).bit_length() if window == _CAUSAL and queries == keys > 0 else 0
        together.setdefault((length, length) if length else (queries, keys), []).append(i)
    of_queries, of_keys = ([pair[side] for pair in lengths] for side in range(2))
    sequences = [q.split(of_queries), k.split(of_keys), v.split(of_keys)]
    found: dict[int, torch.Tensor] = {}
    for members in together.values():
        padded_states = (pad_sequence([states[i] for i in members], batch_first=True) for states in sequences)
        outputs = _attend(*padded_states, softmax_scale, window)
        found |= {i: output[: lengths[i][0]] for i, output in zip(members, outputs, strict=True)}
    return torch.cat([found[i] for i in range(len(lengths))])


def attend_rows(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
    """:func:`attend_packed` for rows of equal length: (rows, length, heads, head size)."""
    of_queries, of_keys = (
        torch.arange(0, len(states) * states.shape[1] + 1, states.shape[1], dtype=torch.int32, device=q.device)
        for states in (q, k)
    )
    found = attend_packed(
        q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), of_queries, of_keys, q.shape[1], k.shape[1], **options
    )
    return found.unflatten(0, q.shape[:2])


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None, window: tuple[int, int]
) -> torch.Tensor:
    """Attention within sequences of one length, (sequences, length, heads, size); last queries stand at last keys."""
    seen = None
    queries, keys = q.shape[1], k.shape[1]
    causal = window == _CAUSAL and queries == keys
    if window != _ALL and not causal:
        seen = torch.ones(queries, keys, dtype=torch.bool, device=q.device)
        before, behind = window
        offset = keys - queries
        seen = seen.tril(offset + behind) if behind >= 0 else seen
        seen = seen.triu(offset - before) if before >= 0 else seen
    query, key, value = (states.transpose(1, 2) for states in (q, k, v))
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, is_causal=causal, scale=scale)
    return found.transpose(1, 2)


def through_transformers(original: Callable[..., Any], *kinds: Any) -> Callable[..., Any]:
    """Attention for layers of these kinds, as transformers defines it, which finds packed rows from their positions.

    With packed rows verl replaces it by a function of its own that calls flash-attn, whatever the config asks for: a
    ``NameError`` where the package is missing.
    """
    own = {kind: kind.forward for kind in kinds}

    def forward(attention: Any, *args: Any, **named: Any) -> Any:
        flash_attn = attention.config._attn_implementation == FLASH_ATTN
        return (original if flash_attn else own[type(attention)])(attention, *args, **named)

    return forward
