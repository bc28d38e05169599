"""The digits model: fast paths equal Hugging Face's, and what is saved can be loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer

from spark_verl.digits.architecture import PATCH, encode_tiles, random_model, tile_values
from spark_verl.digits.batches import BatchBuilder
from spark_verl.digits.build_model import build
from spark_verl.digits.demonstrations import CAREFUL_SHARES, TEMPLATES, draw_demonstration
from spark_verl.digits.questions import BLOCK, KINDS, draw_question, levels
from spark_verl.digits.schedule import Schedule
from spark_verl.digits.tokenizer import SPECIAL_TOKENS, build_processor
from spark_verl.digits.warm_start import demonstration_loss, shift
from spark_verl.judge.templates import TemplateSet
from spark_verl.vocabulary import Objective


@pytest.fixture(scope="module")
def templates() -> TemplateSet:
    return TemplateSet.load(TEMPLATES)


@pytest.fixture(scope="module")
def processor(templates: TemplateSet):
    return build_processor(templates)


@pytest.fixture(scope="module")
def model(processor):
    return random_model(processor, seed=0).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    schedule = replace(Schedule(), perception_steps=3, skill_steps=2, habit_steps=1, batch=4)
    return build(tmp_path_factory.mktemp("model"), seed=0, schedule=schedule, show_progress=False)


def messages(question, text: str) -> list[dict]:
    """The conversation as verl structures it."""
    images = [{"type": "image", "image": image} for image in question.images()]
    return [{"role": "user", "content": [*images, {"type": "text", "text": text.replace("<image>", "")}]}]


@pytest.mark.parametrize("text", ["The digits are 3 and 14. 3-14=-11. \\boxed{-11}", "Ünïcode 数字 \t\n  and <b>", ""])
def test_tokenizer_round_trip(processor, text: str) -> None:
    assert processor.tokenizer.decode(processor.tokenizer(text)["input_ids"]) == text


def test_tokenizer_keeps_numerals_apart_and_specials_whole(processor) -> None:
    tokenizer = processor.tokenizer
    assert tokenizer.tokenize("12345") == list("12345")
    assert [tokenizer(token)["input_ids"] for token in SPECIAL_TOKENS] == [[i] for i in range(len(SPECIAL_TOKENS))]
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def patch_pixels(values: torch.Tensor) -> torch.Tensor:
    """Expand block values to the processor's ``pixel_values``: (n, 16, 3, 2, 2) to (n * 16, 1176)."""
    values = values.repeat_interleave(BLOCK, -2).repeat_interleave(BLOCK, -1)
    return values.unsqueeze(3).expand(-1, -1, -1, 2, -1, -1).reshape(-1, 3 * 2 * PATCH * PATCH)


@pytest.mark.parametrize("kind", ["sum", "two_images"])
def test_composed_pixels_are_the_processors(processor, model, kind: str) -> None:
    """Patches and vision-tower output composed from single digits equal those of whole images."""
    question = draw_question(Random(1), "train", kind)
    reference = processor.image_processor(images=question.images(), return_tensors="pt")
    values = tile_values(torch.from_numpy(levels()[list(question.tiles)]), processor)

    def in_order(x: torch.Tensor) -> torch.Tensor:
        """From tile by tile to row by row across one wide image; two images stay one after the other."""
        tiles = x.view(2, 2, 2, -1)
        return tiles.transpose(0, 1) if KINDS[kind].images == 1 else tiles

    composed = in_order(patch_pixels(values)).reshape(reference["pixel_values"].shape)
    torch.testing.assert_close(composed, reference["pixel_values"])
    with torch.no_grad():
        expected = model.model.visual(reference["pixel_values"], reference["image_grid_thw"]).pooler_output
        found = in_order(encode_tiles(model.model.visual, values)).reshape(expected.shape)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_loss_is_hugging_faces(templates, processor, model) -> None:
    """Ids, positions, image placement and labels of a mixed batch, against the processor and the full model."""
    rng = Random(4)
    builder = BatchBuilder(processor, model)
    demonstrations = [draw_demonstration(rng, templates, CAREFUL_SHARES) for _ in range(12)]
    assert {KINDS[d.question.kind].images for d in demonstrations} == {1, 2}
    batch = builder.build(demonstrations, builder.encode(demonstrations))
    features = encode_tiles(model.model.visual, tile_values(torch.from_numpy(levels()), processor))
    tiles = features[batch.tiles[..., 0], batch.tiles[..., 1]]
    with torch.no_grad():
        found = demonstration_loss(model, batch, tiles, builder.image_id).item()
        total, count = 0.0, 0
        for row, demonstration in enumerate(demonstrations):
            chat = messages(demonstration.question, demonstration.prompt)
            prompt = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
            whole = processor(
                text=[prompt + demonstration.response + "<|im_end|>"],
                images=demonstration.question.images(),
                return_tensors="pt",
            )
            ids = whole["input_ids"][0]
            assert batch.ids[row, : len(ids)].tolist() == ids.tolist()
            taught = len(processor.tokenizer(demonstration.response)["input_ids"]) + 1
            labels = ids.clone()
            labels[:-taught] = -100
            total += model(**whole, labels=labels[None]).loss.item() * taught
            count += taught
    assert found == pytest.approx(total / count, rel=1e-4)


def test_prompts_are_short(templates, processor) -> None:
    rng = Random(5)
    longest = {"prompt": 0, "judge": 0, "response": 0}
    careful = dict.fromkeys(CAREFUL_SHARES, 1.0)
    builder = BatchBuilder(processor, random_model(processor, 0))
    drawn = [draw_demonstration(rng, templates, careful) for _ in range(1000)]
    for demonstration, (ids, prompt) in zip(drawn, builder.encode(drawn), strict=True):
        key = "prompt" if demonstration.objective is Objective.POLICY else "judge"
        longest[key] = max(longest[key], prompt)
        longest["response"] = max(longest["response"], len(ids) - prompt)
    assert longest["prompt"] < 64 and longest["judge"] < 128 and longest["response"] < 48, longest


def test_shift_moves_but_keeps_the_ink() -> None:
    grey = torch.from_numpy(levels()[:50])
    moved = shift(grey, torch.Generator().manual_seed(0))
    assert moved.shape == grey.shape and 0 <= moved.min() and moved.max() <= 16
    assert not torch.equal(moved, grey.float())
    assert moved.sum().item() == pytest.approx(grey.sum().item(), rel=0.1)


def test_saved_folder_loads_and_generates(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    assert type(model).__name__ == "Qwen2_5_VLForConditionalGeneration"
    assert model.dtype == torch.float32
    assert 0.8e6 < model.num_parameters() < 1.6e6
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ("<|im_end|>", "<|endoftext|>")]
    assert model.generation_config.eos_token_id == ends
    for kind, tokens in (("product", 8), ("two_images", 8)):
        question = draw_question(Random(0), "test", kind)
        prompt = processor.apply_chat_template(
            messages(question, question.prompt), add_generation_prompt=True, tokenize=False
        )
        inputs = processor(text=[prompt], images=question.images(), return_tensors="pt")
        assert (inputs["input_ids"] == model.config.image_token_id).sum() == tokens
        output = model.generate(**inputs, max_new_tokens=4, do_sample=False)
        assert output.shape[1] <= inputs["input_ids"].shape[1] + 4


def test_build_depends_on_the_seed_only(processor, folder: Path, tmp_path: Path) -> None:
    schedule = replace(Schedule(), perception_steps=3, skill_steps=2, habit_steps=1, batch=4)
    again = build(tmp_path, seed=0, schedule=schedule, show_progress=False)
    first, second = (AutoModelForImageTextToText.from_pretrained(f).state_dict() for f in (folder, again))
    assert all(np.allclose(first[name], second[name], atol=1e-5) for name in first)
    assert (folder / "tokenizer.json").read_bytes() == (again / "tokenizer.json").read_bytes()


def test_the_warm_start_computes_in_float32(tmp_path: Path) -> None:
    """On a CPU without bfloat16 instructions a product takes five times as long in bfloat16."""
    watcher = Path(__file__).resolve().parents[1] / "shared" / "half_precision"
    environment = {**os.environ, "PYTHONPATH": str(watcher), "HALF_PRECISION_DIR": str(tmp_path), "SPARK_CACHE": ""}
    command = [sys.executable, "-m", "spark_verl.digits.build_model", "--steps", "2", "--output_dir", f"{tmp_path}/m"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert max(line.get("seen", 0) for line in lines) > 1000
    assert [line for line in lines if "operation" in line] == []
