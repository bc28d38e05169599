"""Defects of verl 0.9.1's model code, mended in every process that imports this module.

``actor_rollout_ref.model.external_lib`` names it (:func:`spark_verl.compat.mend_models`); verl imports it before it
builds a model, on every platform. All are inert where verl's code does not run into them. What concerns verl's engine
(:mod:`spark_verl.compat.verl_engine`) is mended when a model is built, as then the process has an engine: the others
are spared its imports.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spark_verl.compat import packed_attention, qwen_vl
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


@replaces("verl.models.transformers.glm4v", "glm4v_attn_forward")
def attend_in_glm(original: Callable[..., Any]) -> Callable[..., Any]:
    """Leave the attention of GLM-4.1V to transformers, unless it is flash-attn's."""
    from transformers.models.glm4v.modeling_glm4v import Glm4vTextAttention

    return packed_attention.through_transformers(original, Glm4vTextAttention)


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
qwen_vl.mend()
attend_in_glm()
finish_model()
