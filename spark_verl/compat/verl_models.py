"""Defects of verl 0.9.1's model code, mended in every process that imports this module.

``actor_rollout_ref.model.external_lib`` names it (:func:`spark_verl.compat.mend_models`); verl imports it before it
builds a model, on every platform. All are inert where verl's code does not run into them. What concerns verl's engine
(:mod:`spark_verl.compat.verl_engine`) is mended when a model is built, as then the process has an engine: the others
are spared its imports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spark_verl.compat import packed_attention
from spark_verl.compat.replace import replaces
from spark_verl.compat.vision_tower import prepare_vision_tower


@replaces("verl.utils.fsdp_utils", "_select_fsdp2_wrap_targets")
def keep_fused_head_with_the_root(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """With fused kernels, let the root FSDP2 unit own ``lm_head`` (verl pull request 7427).

    verl wraps an ``lm_head`` whose weights are not the embedding's as a unit of its own. Such a unit gathers its
    weights when its ``forward`` is called; the fused log-probabilities read ``lm_head.weight`` instead, and find a
    shard ("mixed torch.Tensor and DTensor"). The root's weights are there during the whole forward pass.
    """

    def select(model: Any, layer_classes: Any) -> list[Any]:
        found = original(model, layer_classes)
        whole = model.get_base_model() if hasattr(model, "peft_config") else model
        if not getattr(whole, "_verl_fused_kernels_backend", None):
            return found
        head = whole.get_output_embeddings()
        return [module for module in found if module is not head]

    return select


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

    return _attend_through_transformers(original, Qwen2_5_VLAttention, Qwen2VLAttention)


@replaces("verl.models.transformers.glm4v", "glm4v_attn_forward")
def attend_in_glm(original: Callable[..., Any]) -> Callable[..., Any]:
    """Leave the attention of GLM-4.1V to transformers, unless it is flash-attn's."""
    from transformers.models.glm4v.modeling_glm4v import Glm4vTextAttention

    return _attend_through_transformers(original, Glm4vTextAttention)


def _attend_through_transformers(original: Callable[..., Any], *kinds: Any) -> Callable[..., Any]:
    """Attention for layers of these kinds, as transformers defines it, which finds packed rows from their positions.

    With packed rows verl replaces it by a function of its own that calls flash-attn, whatever the config asks for: a
    ``NameError`` where the package is missing.
    """
    own = {kind: kind.forward for kind in kinds}

    def forward(attention: Any, *args: Any, **named: Any) -> Any:
        flash_attn = attention.config._attn_implementation == packed_attention.FLASH_ATTN
        return (original if flash_attn else own[type(attention)])(attention, *args, **named)

    return forward


@replaces("verl.models.transformers.monkey_patch", "patch_forward_with_backends")
def finish_model(original: Callable[..., None]) -> Callable[..., None]:
    """At the end of what verl does to a new model, before adapters and FSDP, do what this package has to."""

    def finish(model: Any, *args: Any, **named: Any) -> None:
        from spark_verl.compat import verl_engine

        original(model, *args, **named)
        prepare_vision_tower(model)
        verl_engine.mend()

    return finish


packed_attention.register()
keep_fused_head_with_the_root()
embed_text_without_images()
attend_in_qwen()
attend_in_glm()
finish_model()
