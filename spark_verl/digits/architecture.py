"""The digits model: Qwen2.5-VL's architecture at about one million parameters, and a lean way to run it on digits.

The architecture is Hugging Face's ``Qwen2_5_VLForConditionalGeneration`` unchanged; only sizes differ. Two choices make
training fast without leaving it:

* The vision tower's window is 56 pixels and every block attends within windows, so a digit tile is encoded
  independently of what stands beside it. Tiles can be encoded once and placed into any number of prompts.
* Digits are made of 7x7 blocks of equal grey, so a 14x14 patch holds four values and the patch embedding acts on them
  through sums of its weights (:func:`encode_tiles`).

Both are exact, not approximations: tests compare them with the processor and the Hugging Face forward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_position_ids

from spark_verl.digits.questions import BLOCK, TILE

PATCH = 14
PATCHES = (TILE // PATCH) ** 2
"""Vision patches per digit."""

TOKENS = PATCHES // 4
"""Image tokens per digit, after 2x2 merging."""


def build_config(processor: Qwen2_5_VLProcessor) -> Qwen2_5_VLConfig:
    """The configuration of the digits model for a tokenizer."""
    token_id = processor.tokenizer.convert_tokens_to_ids
    text = dict(
        vocab_size=len(processor.tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        # Two digits side by side are two columns apart. With Qwen's base (1e6) and sections the width of an image
        # only turns the slowest frequencies, and left and right would look alike at this head size.
        rope_parameters={"rope_type": "default", "rope_theta": 100.0, "mrope_section": [2, 2, 12]},
        initializer_range=0.06,
        tie_word_embeddings=True,
        bos_token_id=token_id("<|endoftext|>"),
        eos_token_id=token_id("<|im_end|>"),
        pad_token_id=token_id("<|endoftext|>"),
    )
    vision = dict(
        depth=3,
        hidden_size=96,
        intermediate_size=192,
        num_heads=3,
        out_hidden_size=128,
        patch_size=PATCH,
        window_size=TILE,
        fullatt_block_indexes=[],
        initializer_range=0.06,
    )
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=True,
    )


def random_model(processor: Qwen2_5_VLProcessor, seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """The model with random weights, float32, ready to generate."""
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(build_config(processor)).float()
    # At this width, unit scale cannot make one of the tokens much likelier than all others; large models can.
    nn.init.constant_(model.model.language_model.norm.weight, 3.0)
    token_id = processor.tokenizer.convert_tokens_to_ids
    model.generation_config.eos_token_id = [token_id("<|im_end|>"), token_id("<|endoftext|>")]
    model.generation_config.pad_token_id = token_id("<|endoftext|>")
    model.generation_config.bos_token_id = token_id("<|endoftext|>")
    return model


def tile_values(grey: Tensor, processor: Qwen2_5_VLProcessor) -> Tensor:
    """What the processor makes of digit tiles, one number per grey level and channel.

    Args:
        grey: Grey levels, 0 (paper) to 16 (ink), shape (n, 8, 8); fractions are rounded to 8-bit pixels.
        processor: Its image mean and standard deviation are used.

    Returns:
        Float tensor of shape (n, 16, 3, 2, 2): patches in the processor's order (the four patches of a merged token
        are neighbours), colour channels, rows and columns of grey levels in a patch.
    """
    image_processor = processor.image_processor
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (image_processor.image_mean, image_processor.image_std))
    values = (255 - grey.float() * 255 / 16).ceil() / 255
    values = values.view(-1, 2, 2, 2, 2, 2, 2).permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, PATCHES, 1, 2, 2)
    return (values - mean) / std


def encode_tiles(visual: nn.Module, values: Tensor) -> Tensor:
    """Run the vision tower on digit tiles.

    The same computation as ``visual(pixel_values, grid_thw)``, batched over tiles instead of looping over windows.

    Args:
        visual: The model's vision tower.
        values: Block values of shape (n, 16, 3, 2, 2), from :func:`tile_values`.

    Returns:
        Image embeddings of shape (n, 4, hidden): upper left, upper right, lower left, lower right.
    """
    n = values.shape[0]
    weight = visual.patch_embed.proj.weight
    dim = weight.shape[0]
    weight = weight.view(dim, 3, 2, 2, BLOCK, 2, BLOCK).sum((2, 4, 6)).view(dim, -1)
    hidden = values.reshape(n, PATCHES, -1) @ weight.T
    side = TILE // PATCH
    position_ids = get_vision_position_ids(torch.tensor([[1, side, side]]), 2)
    angles = visual.rotary_pos_emb(position_ids)
    angles = torch.cat((angles, angles), -1)
    cos, sin = angles.cos(), angles.sin()
    for block in visual.blocks:
        heads = block.attn.num_heads
        query, key, value = block.attn.qkv(block.norm1(hidden)).view(n, PATCHES, 3, heads, -1).unbind(2)
        query, key = apply_rotary_pos_emb_vision(query, key, cos, sin)
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        hidden = hidden + block.attn.proj(mixed.transpose(1, 2).reshape(n, PATCHES, dim))
        hidden = hidden + block.mlp(block.norm2(hidden))
    return visual.merger(hidden).view(n, TOKENS, -1)
