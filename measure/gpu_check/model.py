"""``python -m gpu_check.model FOLDER [--size tiny]``: a Qwen2.5-VL that nobody has trained.

Its tokenizer is the digits task's, with as many ids as the size says: those beyond its words are tokens that no text is
ever split into, but that can be sampled and decoded as any other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, Qwen2_5_VLConfig, Qwen2_5_VLProcessor

from gpu_check.sizes import SIDE, SIZES, Size
from spark_verl.digits.demonstrations import TEMPLATES
from spark_verl.digits.tokenizer import build_processor
from spark_verl.judge.templates import TemplateSet

SHARPNESS = 5.0
"""Factor of what the head sees. At unit scale all tokens of so large a vocabulary are about equally likely, and any two
sets of log-probabilities agree."""


def save_processor(folder: Path, size: Size) -> Qwen2_5_VLProcessor:
    """Write tokenizer and processor, and return them as they are read back."""
    processor = build_processor(TemplateSet.load(TEMPLATES))
    limits = {"shortest_edge": 4 * SIDE**2, "longest_edge": size.picture_tokens * SIDE**2}
    processor.image_processor.size = limits
    processor.save_pretrained(folder)
    file = folder / "tokenizer.json"
    tokenizer = json.loads(file.read_text(encoding="utf-8"))
    known = tokenizer["model"]["vocab"]
    taken = set(known.values()) | {token["id"] for token in tokenizer["added_tokens"]}
    # No merge leads to these.
    known.update({f"unused{i}": i for i in range(size.vocabulary) if i not in taken})
    file.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    processor = AutoProcessor.from_pretrained(folder)
    if len(processor.tokenizer) != size.vocabulary:
        raise ValueError(f"{folder}: the tokenizer has {len(processor.tokenizer)} ids, not {size.vocabulary}")
    return processor


def build_config(size: Size, processor: Qwen2_5_VLProcessor) -> Qwen2_5_VLConfig:
    """The model's config for a tokenizer."""
    ids = processor.tokenizer.convert_tokens_to_ids
    ends = {"bos_token_id": "<|endoftext|>", "eos_token_id": "<|im_end|>", "pad_token_id": "<|endoftext|>"}
    media = ("image_pad", "video_pad", "vision_start", "vision_end")
    names = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    text = {"vocab_size": size.vocabulary, "max_position_embeddings": 32768, "tie_word_embeddings": True}
    return Qwen2_5_VLConfig(
        text_config={**size.text, **text, **{key: ids(token) for key, token in ends.items()}},
        vision_config={**size.vision, "out_hidden_size": size.text["hidden_size"], "patch_size": 14},
        tie_word_embeddings=True,
        **{name: ids(f"<|{token}|>") for name, token in zip(names, media, strict=True)},
    )


def build(folder: Path, size: Size, weights: bool = True) -> None:
    """Make the model folder.

    Args:
        folder: Created when missing.
        size: Of the model.
        weights: Without them it is enough for a dry run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    processor = save_processor(folder, size)
    config = build_config(size, processor)
    if not weights:
        config.architectures = ["Qwen2_5_VLForConditionalGeneration"]
        config.save_pretrained(folder)
        # Of no bytes: the checks before a start look whether there are any.
        (folder / "model.safetensors").touch()
        return
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    torch.nn.init.constant_(model.model.language_model.norm.weight, SHARPNESS)
    text = config.text_config
    model.generation_config.eos_token_id = [text.eos_token_id, text.pad_token_id]
    model.generation_config.pad_token_id = text.pad_token_id
    model.save_pretrained(folder)
    print(f"{sum(weight.numel() for weight in model.parameters()) / 1e9:.2f} billion parameters in {folder}")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=tuple(SIZES), default="full")
    parser.add_argument("--no-weights", action="store_true", help="config and tokenizer only, for a dry run")
    arguments = parser.parse_args()
    build(arguments.folder, SIZES[arguments.size], weights=not arguments.no_weights)


if __name__ == "__main__":
    main()
