"""Two defects of verl 0.9.1's code for Qwen2.5-VL and Qwen2-VL. What else is special about them is in ``qwen.py``.

Qwen3-VL has code of its own in verl, which needs nothing mended (``tests/compat/test_qwen3_vl.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spark_verl.compat import packed_attention
from spark_verl.compat.replace import replaces


@replaces("verl.models.transformers.qwen2_vl", "_get_input_embeds")
def embed_text_without_images(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let Qwen2.5-VL and Qwen2-VL compute micro-batches without a single image.

    There verl runs the vision tower on zeros, so that all ranks take part in its collectives, and takes the mean of
    what it returns: a tensor in older versions of transformers, an object with several in 5.9.
    """
    import torch
    from verl.utils.transformers_compat import unpack_visual_output

    def embed(
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        pixel_values: torch.Tensor | None = None,
        pixel_values_videos: torch.Tensor | None = None,
        *grids: torch.Tensor | None,
        **named: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if pixel_values is not None or pixel_values_videos is not None:
            return original(model, input_ids, attention_mask, pixel_values, pixel_values_videos, *grids, **named)
        embeddings = model.get_input_embeddings()(input_ids)
        vision = model.config.vision_config
        side = 2 * vision.spatial_merge_size
        patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        nothing = torch.zeros((side * side, patch), dtype=embeddings.dtype, device=embeddings.device)
        grid = torch.tensor([[1, side, side]], dtype=torch.long, device=embeddings.device)
        features, _ = unpack_visual_output(model.visual(nothing, grid_thw=grid))
        if attention_mask is not None:
            attention_mask = attention_mask.to(embeddings.device)
        return embeddings + 0.0 * features.mean(), attention_mask

    return embed


@replaces("verl.models.transformers.qwen2_vl", "qwen2_vl_attn_forward")
def attend_in_qwen(original: Callable[..., Any]) -> Callable[..., Any]:
    """Leave the attention of Qwen2.5-VL and Qwen2-VL to transformers, unless it is flash-attn's."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLAttention
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLAttention

    return packed_attention.through_transformers(original, Qwen2_5_VLAttention, Qwen2VLAttention)


def mend() -> None:
    """Mend both, in this process."""
    embed_text_without_images()
    attend_in_qwen()
