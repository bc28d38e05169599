"""What is special about Qwen2.5 and Qwen2.5-VL: what is known of them where neither model nor tokenizer can be asked.

What verl's code for them needs mended is in ``compat/qwen_vl.py``. Everything else here holds for any model that verl
trains.
"""

from __future__ import annotations

from typing import Any

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
"""In its order."""

CHAT_MARKUP = ("<tool_call>", "</tool_call>")
"""Added tokens that are not special (``tokenizer_config.json``) and that no candidate may have either."""

MIN_PIXELS = 4 * 28 * 28
"""Smaller images are scaled up to this size (``min_pixels`` of Qwen2.5-VL's image processor)."""

MAX_RATIO = 200
"""``smart_resize`` of qwen-vl-utils and of transformers raise above this ratio of the longer to the shorter side."""

_CONTEXT = {"max_position_embeddings": 128000}
_VISION = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen2.5-VL-3B": (
        "qwen2_5_vl",
        {"hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2}
        | {"intermediate_size": 11008, "vocab_size": 151936, "tie_word_embeddings": True}
        | _CONTEXT
        | {"vision_config": {**_VISION, "out_hidden_size": 2048}},
    ),
    "Qwen2.5-VL-7B": (
        "qwen2_5_vl",
        {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
        | {"intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False}
        | _CONTEXT
        | {"vision_config": {**_VISION, "out_hidden_size": 3584}},
    ),
    "Qwen2.5-VL-32B": (
        "qwen2_5_vl",
        {"hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8}
        | {"intermediate_size": 27648, "vocab_size": 152064, "tie_word_embeddings": False}
        | _CONTEXT
        | {"vision_config": {**_VISION, "intermediate_size": 3456, "out_hidden_size": 5120}},
    ),
    "Qwen2.5-7B": (
        "qwen2",
        {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
        | {"intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False}
        | {"max_position_embeddings": 131072},
    ),
}
"""Shapes of the recipes' models (their config.json), so that a budget needs no download."""
