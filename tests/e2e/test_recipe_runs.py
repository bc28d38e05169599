"""The shipped scripts, run as on a GPU node, with ``DEVICE=cpu`` and small models: two real steps each.

Qwen3-VL with all weights on what ``virl39k.py`` makes, Qwen2.5-VL with LoRA, Qwen2.5 for text on what ``text_math.py``
makes; then the adapter as a Hugging Face folder. ``spark_vl_7b`` with Qwen2.5-VL is run by ``test_gpu_check.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_models

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "data.train_batch_size=4",
    "data.max_prompt_length=512",
    "data.max_response_length=32",
    "data.filter_overlong_prompts=false",
    "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=4096",
    "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu=4096",
    "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=4096",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.rollout.max_model_len=544",
    "actor_rollout_ref.rollout.max_num_seqs=32",
    "actor_rollout_ref.rollout.max_num_batched_tokens=2048",
    "trainer.val_before_train=false",
    "trainer.total_training_steps=2",
    "trainer.test_freq=-1",
    "trainer.save_freq=2",
    f"reward.custom_reward_function.path={ROOT}/tests/shared/coin_reward.py",
    # Two steps, and all kinds of rows in each; test_next_step.py looks at the recipes' own setting.
    "spark.judge_step=same",
    "spark.judge_prompts_per_group=1.0",
    "spark.reflection_prompts_per_group=1.0",
    "spark.pairwise.share_in_mixed=0.5",
]


@pytest.fixture(scope="module")
def script_run(tmp_path_factory, runner):
    """Run a script's two steps; returns the finished run."""

    def run(name: str, model: str, train_files: str, *overrides: str):
        folder = tmp_path_factory.mktemp(name)
        variables = {
            "DEVICE": "cpu",
            "MODEL_PATH": model,
            "TRAIN_FILES": train_files,
            "VAL_FILES": train_files,
            "N_GPUS_PER_NODE": "1",
            "NNODES": "1",
            "OUTPUT_DIR": str(folder / "checkpoints"),
        }
        return runner.finish(runner.start_script(folder, name, [*SMALL, *overrides], variables), folder)

    return run


def preprocess(program: str, source: Path, target: Path) -> str:
    """Run a program of ``data_preprocess/``; returns the training file."""
    command = [sys.executable, str(ROOT / "data_preprocess" / program)]
    options = ["--local_dataset_path", str(source), "--local_save_dir", str(target)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(target / "train.parquet")


@pytest.fixture(scope="module")
def virl_rows(tmp_path_factory, data_folder) -> str:
    """The digits' questions and images as ViRL39K has its own: a parquet file, an image archive, boxed answers."""
    source = tmp_path_factory.mktemp("ViRL39K")
    records = []
    with zipfile.ZipFile(source / "images.zip", "w") as archive:
        for number, row in enumerate(pq.read_table(data_folder / "train.parquet").to_pylist()):
            paths = [f"images/digits-{number}-{i}.png" for i in range(len(row["images"]))]
            for path, image in zip(paths, row["images"], strict=True):
                archive.writestr(path, image["bytes"])
            records.append(
                {
                    "question": row["prompt"][-1]["content"],
                    "answer": rf"\boxed{{{row['reward_model']['ground_truth']}}}",
                    "PassRate_32BTrained": 0.5,
                    "PassRate_7BBase": -1.0,
                    "category": "(GradeSchool) Arithmetic",
                    "source": "digits",
                    "qid": f"digits-{number}",
                    "image": paths,
                }
            )
    pq.write_table(pa.Table.from_pylist(records), source / "39Krelease.parquet")
    return preprocess("virl39k.py", source, tmp_path_factory.mktemp("virl_rows"))


@pytest.fixture(scope="module")
def lora_run(script_run, model_folder, data_folder):
    rank = ["actor_rollout_ref.model.lora_rank=8", "actor_rollout_ref.model.lora_alpha=16"]
    return script_run("spark_vl_3b_lora.sh", model_folder, f"{data_folder}/train.parquet", *rank)


@pytest.fixture(scope="module")
def text_model(tmp_path_factory, model_folder) -> str:
    return small_models.save_qwen2(tmp_path_factory.mktemp("text_model"), model_folder)


@pytest.fixture(scope="module")
def text_run(script_run, text_model, tmp_path_factory):
    source = tmp_path_factory.mktemp("gsm8k")
    records = [{"question": f"What is {i} + {i + 3}?", "answer": f"Add.\n#### {2 * i + 3}"} for i in range(16)]
    pq.write_table(pa.Table.from_pylist(records), source / "train-00000-of-00001.parquet")
    rows = preprocess("text_math.py", source, tmp_path_factory.mktemp("text_rows"))
    filtered = ["algorithm.filter_groups.enable=true", "algorithm.filter_groups.metric=acc"]
    # As on a GPU: this model has a head of its own, which fused kernels read under FSDP2 (compat/verl_models.py).
    fused = "actor_rollout_ref.model.use_fused_kernels=true"
    return script_run("spark_7b.sh", text_model, rows, fused, *filtered)


@pytest.fixture(scope="module")
def qwen3_vl_run(script_run, tmp_path_factory, model_folder, virl_rows):
    model = small_models.save_qwen3_vl(tmp_path_factory.mktemp("qwen3_vl"), model_folder)
    # Fused kernels as on a GPU: Qwen3-VL has its own in verl.
    return script_run("spark_vl_7b.sh", model, virl_rows, "actor_rollout_ref.model.use_fused_kernels=true")


@pytest.mark.parametrize("which", ["lora_run", "text_run", "qwen3_vl_run"])
def test_two_steps_with_all_objectives(request, which):
    run = request.getfixturevalue(which)
    assert sorted(run.metrics) == [1, 2]
    seen = {row["objective"] for step in (1, 2) for row in run.rollouts(step)}
    assert seen == {"policy", "pointwise", "pairwise", "reflection"}
    for step in (1, 2):
        metrics = run.metrics[step]
        assert metrics["spark/leaked_keys"] == 0
        assert metrics["actor/grad_norm"] > 0
        assert metrics["training/rollout_actor_probs_pearson_corr"] > 0.98


def test_filtered_groups_teach_something_and_judges_come_with_them(text_run):
    for step in (1, 2):
        scores: dict[str, set[float]] = {}
        parents = set()
        for row in text_run.rollouts(step):
            if row["role"] == "judge":
                parents.add(row["parent"])
            else:
                scores.setdefault(row["uid"].split("_")[0], set()).add(row["score"])
        assert len(scores) == 4 and all(len(each) == 2 for each in scores.values())
        assert parents and parents <= scores.keys()


def test_a_lora_checkpoint_gives_an_adapter(lora_run, model_folder, tmp_path, runner):
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForImageTextToText

    runner.merge(lora_run, tmp_path / "merged")
    adapter = tmp_path / "merged" / "lora_adapter"
    settings = json.loads((adapter / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (8, 16)
    weights = load_file(adapter / "adapter_model.safetensors")
    assert not any("visual" in name for name in weights)
    assert any(tensor.abs().sum() > 0 for name, tensor in weights.items() if "lora_B" in name), "training moved B"
    base = AutoModelForImageTextToText.from_pretrained(model_folder, dtype=torch.float32)
    with warnings.catch_warnings():
        # PEFT warns when the adapter lacks weights of a layer that its config names, and goes on.
        warnings.simplefilter("error", UserWarning)
        adapted = PeftModel.from_pretrained(base, str(adapter))
    loaded = {name.replace(".default.", "."): value for name, value in adapted.named_parameters() if "lora_" in name}
    assert loaded.keys() == weights.keys()
    for name, value in weights.items():
        assert torch.equal(loaded[name], value.float()), name
