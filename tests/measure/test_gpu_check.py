"""What the GPU check compares is comparable and composes; its model, data and kernels are what they are said to be."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import forked
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from gpu_check import arms, data, installation, model, sizes
from gpu_check.results import KERNEL_ERROR
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from verl.trainer.ppo.utils import need_reference_policy
from verl.utils.config import validate_config

from spark_verl.checks import rules
from spark_verl.checks.budget import compute, model_shape
from spark_verl.config import load_spark_config
from spark_verl.data.check import check_file, check_images

ROOT = Path(__file__).resolve().parents[2]
EACH = pytest.mark.parametrize("size", sizes.SIZES.values(), ids=sizes.SIZES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The check's folder for each size, with everything but the large model's weights."""
    found = {}
    for name, size in sizes.SIZES.items():
        found[name] = tmp_path_factory.mktemp(name)
        data.write(found[name] / "data", size, steps=2)
        model.build(found[name] / "model", size, weights=name == "tiny")
        (found[name] / "loops.yaml").write_text(arms.LOOPS, encoding="utf-8")
    return found


def load(arm: arms.Arm, folder: Path) -> DictConfig:
    with initialize_config_dir(str(ROOT / "recipes"), version_base=None):
        return compose(arms.RECIPE, [*arm.overrides, f"trainer.default_local_dir={folder}/runs"])


CASES = [(size, device) for size in sizes.SIZES for device in arms.DEVICES]


@pytest.mark.parametrize(("name", "device"), CASES)
def test_every_arm_composes_and_has_as_many_sequences(folders: dict[str, Path], name: str, device: str) -> None:
    size, seen = sizes.SIZES[name], {}
    todo = arms.arms(size, folders[name], device, steps=2)
    assert tuple(todo) == arms.NAMES
    for arm, run in todo.items():
        config = load(run, folders[name])
        spark = load_spark_config(config)
        validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=False)
        if run.module == arms.SPARK:
            rules.check(config)
        else:
            assert config.trainer.v1.trainer_mode == "sync"
            assert config.actor_rollout_ref.rollout.agent.agent_loop_manager_class is None
        extra = spark.judge_prompts_per_group + spark.reflection_prompts_per_group if spark.enable else 0
        seen[arm] = config.data.train_batch_size * (1 + extra) * config.actor_rollout_ref.rollout.n
        # As many optimizer steps.
        assert config.data.train_batch_size / config.actor_rollout_ref.actor.ppo_mini_batch_size == 2
        assert config.trainer.device == {"gpu": "cuda", "cpu": "cpu"}[device]
    assert seen.pop("policy") * 2 == arms.sequences(size)
    assert set(seen.values()) == {arms.sequences(size)}


def test_on_a_gpu_it_is_the_recipe_with_its_workers_and_its_attention(folders: dict[str, Path]) -> None:
    """What differs from ``spark_vl_7b`` is size, data and length, and nothing that decides how it is computed."""
    run = arms.arms(sizes.FULL, folders["full"], "gpu", steps=4)["spark"]
    with initialize_config_dir(str(ROOT / "recipes"), version_base=None):
        recipe = compose(arms.RECIPE).actor_rollout_ref
    checked = load(run, folders["full"]).actor_rollout_ref
    assert checked.rollout.agent.num_workers == recipe.rollout.agent.num_workers == 8
    for key in ("use_remove_padding", "use_fused_kernels", "override_config", "enable_gradient_checkpointing"):
        assert checked.model[key] == recipe.model[key], key
    assert checked.actor.fsdp_config == recipe.actor.fsdp_config
    assert checked.rollout.dtype == "bfloat16"


def test_the_large_model_fits_an_80_gb_gpu(folders: dict[str, Path]) -> None:
    shape = model_shape(str(folders["full"] / "model"))
    assert (shape.parameters / 1e9, shape.vocab) == (pytest.approx(2.21, abs=0.01), 151936)
    for run in arms.arms(sizes.FULL, folders["full"], "gpu", steps=4).values():
        budget = compute(load(run, folders["full"]), shape, 80)
        assert not budget.problems
        assert sum(budget.generating.values()) < 66


def test_small_buckets_are_smaller_than_the_embeddings() -> None:
    text = sizes.FULL.text
    bucket = next(o for o in arms.arms(sizes.FULL, Path("x"), "gpu", 4)["ipc"].overrides if "bucket" in o)
    assert sizes.FULL.vocabulary * text["hidden_size"] * 2 > int(bucket.partition("=")[2]) * 2**20


@EACH
def test_the_tokenizer_has_every_id_and_reads_text_as_before(folders: dict[str, Path], size: sizes.Size) -> None:
    name = next(key for key, value in sizes.SIZES.items() if value is size)
    tokenizer = AutoProcessor.from_pretrained(folders[name] / "model").tokenizer
    assert len(tokenizer) == size.vocabulary
    decoded = tokenizer.decode([size.vocabulary - 1])
    assert decoded == f"unused{size.vocabulary - 1}"
    # Such a text is not that token again, and no question has one.
    assert size.vocabulary - 1 not in tokenizer(decoded).input_ids
    assert tokenizer.decode(tokenizer(data.QUESTION).input_ids) == data.QUESTION


@EACH
def test_rows_are_trainable_and_fit(folders: dict[str, Path], size: sizes.Size) -> None:
    name = next(key for key, value in sizes.SIZES.items() if value is size)
    config = load(arms.arms(size, folders[name], "gpu", steps=2)["spark"], folders[name])
    tokenizer = AutoProcessor.from_pretrained(folders[name] / "model").tokenizer
    for file in ("train", "mixed", "test"):
        path = folders[name] / "data" / f"{file}.parquet"
        check_images(config, check_file(path, rows=-1).most_pixels)
        for row in pq.read_table(path).to_pylist():
            width, height = Image.open(io.BytesIO(row["images"][0]["bytes"])).size
            image = width * height // sizes.SIDE**2
            text = len(tokenizer(row["prompt"][0]["content"]).input_ids)
            assert image <= size.picture_tokens
            # A judge prompt may show two longer answers than the made-up ones.
            assert image + text < config.data.max_prompt_length - 100


def test_a_mixed_step_asks_about_the_pictures_of_its_questions(folders: dict[str, Path]) -> None:
    size = sizes.TINY
    rows = pq.read_table(folders["tiny"] / "data" / "mixed.parquet").to_pylist()
    assert len(rows) == 2 * 2 * size.questions
    for first in range(0, len(rows), 2 * size.questions):
        questions, judge = (
            rows[first : first + size.questions],
            rows[first + size.questions : first + 2 * size.questions],
        )
        assert [row["images"] for row in questions] == [row["images"] for row in judge]
        texts = [row["prompt"][0]["content"] for row in judge]
        assert all(text.startswith(data.QUESTION) and len(text) > len(data.QUESTION) + 100 for text in texts)
        # Half reflections, which ask for no verdict.
        assert sum("Yes" in text or r"\boxed{A}" in text for text in texts) == size.questions / 2
    indices = [row["extra_info"]["index"] for row in rows]
    # A response's length is drawn by it.
    assert len(set(indices)) == len(indices)


def test_the_model_prefers_some_tokens_and_sees_the_picture(folders: dict[str, Path]) -> None:
    folder = folders["tiny"] / "model"
    processor = AutoProcessor.from_pretrained(folder)
    network = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    rng = np.random.default_rng(1)
    outputs = []
    for _ in range(2):
        image = Image.open(io.BytesIO(data.picture(rng, sizes.TINY))).resize((112, 112))
        content = [{"type": "image", "image": image}, {"type": "text", "text": "Which?"}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            **{"tokenize": True, "return_dict": True, "return_tensors": "pt", "add_generation_prompt": True},
        )
        with torch.no_grad():
            outputs.append(network(**inputs).logits[0, -1].log_softmax(-1))
    entropy = -(outputs[0].exp() * outputs[0]).sum()
    assert entropy < 0.8 * np.log(sizes.TINY.vocabulary)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


def whole(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, begins: torch.Tensor, *rest: object) -> torch.Tensor:
    """A kernel that does not see where a sequence begins."""
    return installation.reference(q, k, v, begins[[0, -1]], *rest)


def not_causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *rest: object) -> torch.Tensor:
    """A kernel that looks ahead."""
    return installation.reference(q, k, v, *rest[:-1], False)


SMALL = {
    "language model": installation.Case(4, 2, 16, True, (70, 3, 128, 1)),
    "vision tower": installation.Case(2, 2, 24, False, (16, 16, 64)),
}


@pytest.mark.parametrize("case", SMALL.values(), ids=SMALL)
def test_a_right_kernel_passes_in_bf16(case: installation.Case) -> None:
    assert max(installation.errors(installation.reference, case, "cpu", torch.float32).values()) < 1e-5
    assert 1e-4 < max(installation.errors(installation.reference, case, "cpu", torch.bfloat16).values()) < KERNEL_ERROR


@pytest.mark.parametrize(
    ("kernel", "case"), [(whole, "language model"), (whole, "vision tower"), (not_causal, "language model")]
)
def test_a_wrong_kernel_does_not(kernel: installation.Attend, case: str) -> None:
    found = installation.errors(kernel, SMALL[case], "cpu", torch.float32)
    assert all(error > 10 * KERNEL_ERROR for error in found.values()), found


def test_what_is_checked_are_the_published_models_heads() -> None:
    text, tower = (installation.CASES[name] for name in ("language model", "vision tower"))
    size = sizes.FULL
    assert (text.heads, text.key_heads) == (size.text["num_attention_heads"], size.text["num_key_value_heads"])
    assert text.head_size == size.text["hidden_size"] // text.heads == 128
    assert tower.head_size == size.vision["hidden_size"] // size.vision["num_heads"] == 80


def test_a_dry_run_needs_no_gpu_and_starts_nothing(tmp_path: Path) -> None:
    """The script as its owner runs it, from another folder; SPARK's arm is checked and budgeted, verl's composed."""
    done = subprocess.run(
        ["bash", str(ROOT / "run_scripts" / "gpu_check.sh"), "--only", "spark", "verl"],
        cwd=tmp_path,
        env={**os.environ, **forked.environment(), "DRY_RUN": "1", "OUTPUT_DIR": "here"},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training:" in done.stdout and "engine: KV cache" in done.stdout
    logs = {name: (tmp_path / "here" / f"{name}.log").read_text() for name in ("spark", "verl")}
    assert "All configuration checks passed" in logs["spark"]
    assert "trainer_mode: sync" in logs["verl"]
    assert not any(file.stat().st_size for file in (tmp_path / "here").glob("**/*.safetensors"))
    assert not (tmp_path / "here" / "runs").exists()
