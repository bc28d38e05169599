"""Every shipped recipe composes, is valid for verl and for us, fits its hardware, and says what it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from spark_verl import main
from spark_verl.checks.budget import compute, model_shape

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))
TRAINED = [name for name in RECIPES if not name.startswith("quickstart")]
GPU_GIB = {"spark_vl_3b_lora": 24}


def load(name: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "recipes"), version_base=None):
        return compose(name, overrides=list(overrides))


def test_what_is_there():
    trained = {"spark_vl_7b", "spark_vl_32b", "spark_vl_3b_lora", "spark_7b", "grpo_vl_7b"}
    assert trained | {"quickstart", "quickstart_gpu"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_says_what_it_is(name):
    header = (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8").partition("hydra:")[0]
    for word in ("What:", "Hardware:", "Data:", "Command:"):
        assert f"# {word}" in header, word
    script = re.search(r"# Command: (?:\w+=\w+ )?bash (run_scripts/\S+)", header)[1]
    assert (ROOT / script).is_file()


@pytest.mark.parametrize("name", TRAINED)
def test_fits_its_gpus(name):
    config = load(name)
    budget = compute(config, model_shape(config.actor_rollout_ref.model.path), GPU_GIB.get(name, 80))
    assert not budget.problems
    assert budget.facts["kv cache, sequences at full length"] > 8
    assert budget.facts["trainable parameters (million)"] <= budget.facts["parameters (million)"]


def test_32b_engines_have_room_for_many_sequences():
    """Fewer would wait for a place, while the engine reads its weights for a handful of sequences."""
    config = load("spark_vl_32b")
    ranks, replica = 16, config.actor_rollout_ref.rollout.tensor_model_parallel_size
    assert (config.trainer.nnodes, config.trainer.n_gpus_per_node, replica) == (2, 8, 4)
    facts = compute(config, model_shape(config.actor_rollout_ref.model.path), 80).facts
    sequences = sum(value for name, value in facts.items() if "sequences" in name and "kv" not in name)
    assert facts["kv cache, tokens per engine"] > 500_000
    assert facts["kv cache, sequences at full length"] * ranks / replica > sequences / 5


@pytest.mark.parametrize(
    ("name", "million"),
    [("spark_vl_3b_lora", 3755), ("spark_vl_7b", 8292), ("spark_vl_32b", 33453), ("spark_7b", 7616)],
)
def test_models_have_their_published_sizes(name, million):
    assert model_shape(load(name).actor_rollout_ref.model.path).parameters / 1e6 == pytest.approx(million, rel=0.001)


def test_the_baseline_has_as_many_sequences_and_optimizer_steps():
    facts = {}
    for name in ("spark_vl_7b", "grpo_vl_7b"):
        config = load(name)
        budget = compute(config, model_shape(config.actor_rollout_ref.model.path), 80)
        steps = config.data.train_batch_size // config.actor_rollout_ref.actor.ppo_mini_batch_size
        facts[name] = (sum(v for k, v in budget.facts.items() if "sequences" in k and "kv" not in k), steps)
    assert facts["spark_vl_7b"] == facts["grpo_vl_7b"]
    same = ("actor_rollout_ref.rollout", "actor_rollout_ref.actor.optim", "algorithm", "reward")
    # Unresolved: the two runs log under different names.
    spark, grpo = (OmegaConf.to_container(load(name), resolve=False) for name in ("spark_vl_7b", "grpo_vl_7b"))
    for key in same:
        mine, theirs = spark, grpo
        for part in key.split("."):
            mine, theirs = mine[part], theirs[part]
        assert mine == theirs, key


@pytest.mark.parametrize(
    ("name", "overrides", "trained"),
    [
        ("spark_vl_7b", [], True),
        ("spark_vl_7b", ["actor_rollout_ref.actor.freeze_vision_tower=true"], False),
        ("spark_vl_3b_lora", [], False),
        ("spark_vl_3b_lora", ["actor_rollout_ref.model.exclude_modules=null"], True),
        (
            "spark_vl_3b_lora",
            ["actor_rollout_ref.model.exclude_modules=null", "actor_rollout_ref.actor.freeze_vision_tower=true"],
            False,
        ),
        ("spark_7b", [], False),
    ],
    ids=["trained", "frozen", "adapter beside it", "adapter on it", "adapter on it, frozen", "no tower"],
)
def test_a_trained_vision_tower_keeps_its_activations(name, overrides, trained):
    config = load(name, *overrides)
    shape = model_shape(config.actor_rollout_ref.model.path)
    kept = compute(config, shape, 80).training.get("activations of the vision tower", 0.0)
    # 32 layers of 1,280 numbers for each of 4 patches of a token, in bf16.
    tokens = config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu
    assert kept == pytest.approx(trained * tokens * 4 * 32 * 1280 * 2 / 2**30)
    facts = compute(config, shape, 80).facts
    if "lora" not in name:
        missing = facts["parameters (million)"] - facts["trainable parameters (million)"]
        assert missing == pytest.approx(676.6 if overrides else 0, abs=0.1)


def test_a_budget_that_does_not_fit_says_what_to_change():
    config = load("spark_vl_32b", "trainer.nnodes=1", "actor_rollout_ref.actor.fsdp_config.param_offload=false")
    problems = compute(config, model_shape("Qwen/Qwen2.5-VL-32B-Instruct"), 40).problems
    assert any("offload" in problem for problem in problems)


def run_script(name: str, *overrides: str, **variables: str) -> subprocess.CompletedProcess:
    """A script from another directory than the checkout."""
    return subprocess.run(
        ["bash", str(ROOT / "run_scripts" / name), *overrides],
        cwd="/",
        env={**os.environ, **forked.environment(), "HF_HUB_OFFLINE": "1", **variables},
        capture_output=True,
        text=True,
        timeout=1500,
    )


@pytest.fixture
def paths(data_folder, tmp_path):
    return {
        # Twice: the baseline's batch has 128 rows.
        "TRAIN_FILES": f"[{data_folder}/train.parquet,{data_folder}/train.parquet]",
        "VAL_FILES": f"{data_folder}/test.parquet",
        "OUTPUT_DIR": str(tmp_path / "out"),
    }


@pytest.fixture
def echo(tmp_path) -> Path:
    """An interpreter that prints its arguments."""
    file = tmp_path / "echo"
    file.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    file.chmod(0o755)
    return file


@pytest.fixture
def dry_run(echo, paths, monkeypatch, capsys):
    """What a script's dry run prints: its command from the script, the command itself in this process."""

    def run(script: str, *arguments: str, memory: int, **variables: str) -> str:
        command = run_script(script, *arguments, SPARK_PYTHON=str(echo), DRY_RUN="1", **{**paths, **variables})
        module, name, *overrides = command.stdout.splitlines()[1], *command.stdout.splitlines()[5:]
        assert module == "spark_verl.main"
        monkeypatch.setenv("DRY_RUN", "1")
        monkeypatch.setenv("GPU_MEMORY_GB", str(memory))
        monkeypatch.setenv("VERL_FILE_LOGGER_PATH", f"{paths['OUTPUT_DIR']}/metrics.jsonl")
        # The alias of vLLM's distribution must not outlive the test.
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
        main.main.__wrapped__(load(name, *overrides))
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", TRAINED)
def test_every_script_dry_runs(name, dry_run, paths):
    shown = dry_run(f"{name}.sh", memory=GPU_GIB.get(name, 80))
    assert "All configuration checks passed" in shown, "verl's own validate_config"
    assert f"experiment_name: {name}" in shown
    assert "KV cache" in shown
    assert not Path(paths["OUTPUT_DIR"], "global_step_1").exists()


def test_a_script_dry_runs_as_a_person_runs_it(paths):
    """A process of its own: without a GPU, Ray or a set-up, from any folder."""
    done = run_script("spark_vl_7b.sh", SPARK_PYTHON=sys.executable, DRY_RUN="1", GPU_MEMORY_GB="80", **paths)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
    assert "All configuration checks passed" in done.stdout and "KV cache" in done.stdout


def test_the_quickstart_on_a_gpu_is_in_float32_on_one_gpu():
    config = load("quickstart_gpu")
    parts = config.actor_rollout_ref
    assert (config.trainer.device, config.trainer.nnodes, config.trainer.n_gpus_per_node) == ("cuda", 1, 1)
    for name in ("actor", "ref"):
        fsdp = parts[name].fsdp_config
        # verl's autocast follows param_dtype.
        assert (fsdp.model_dtype, fsdp.mixed_precision.param_dtype) == ("fp32", "fp32"), name
    assert parts.rollout.dtype == "float32"
    # flash-attention has no float32.
    assert parts.model.override_config.attn_implementation == "sdpa"
    assert not parts.model.use_remove_padding


def test_the_quickstart_on_a_gpu_differs_from_the_quickstart_only_in_the_platform():
    cpu, gpu = (OmegaConf.to_container(load(name), resolve=True) for name in ("quickstart", "quickstart_gpu"))
    assert gpu["spark"] == cpu["spark"] and gpu["algorithm"] == cpu["algorithm"]
    assert gpu["actor_rollout_ref"]["actor"]["optim"] == cpu["actor_rollout_ref"]["actor"]["optim"]


def test_the_quickstart_on_a_gpu_dry_runs_and_fits_4_gb(model_folder, dry_run, paths):
    shown = dry_run("train.sh", "quickstart_gpu", memory=4, MODEL_PATH=model_folder)
    assert "All configuration checks passed" in shown, "verl's own validate_config"
    assert "memory per GPU of 4 GiB, estimated" in shown
    assert not Path(paths["OUTPUT_DIR"]).exists()


def test_the_variables_stand_in_place_of_what_the_recipe_says(echo):
    given = {
        "MODEL_PATH": ("actor_rollout_ref.model.path", "/a model"),
        "TRAIN_FILES": ("data.train_files", "[a.parquet,b.parquet]"),
        "VAL_FILES": ("data.val_files", "c.parquet"),
        "NNODES": ("trainer.nnodes", "3"),
        "N_GPUS_PER_NODE": ("trainer.n_gpus_per_node", "4"),
        "EXPERIMENT": ("trainer.experiment_name", "mine"),
        "OUTPUT_DIR": ("trainer.default_local_dir", "/out"),
    }

    def overrides(script: str, *arguments: str, **variables: str) -> list[str]:
        done = run_script(script, *arguments, SPARK_PYTHON=str(echo), **variables)
        assert done.returncode == 0, done.stderr
        module = ["-m", "spark_verl.main", "--config-path", str(ROOT / "recipes"), "--config-name", "spark_vl_7b"]
        assert done.stdout.splitlines()[:6] == module
        return done.stdout.splitlines()[6:]

    everything = [f"{key}={value}" for key, value in given.values()]
    assert overrides("spark_vl_7b.sh", "a=1", **{name: value for name, (_, value) in given.items()}) == [
        *everything,
        "a=1",
    ]
    assert overrides("train.sh", "spark_vl_7b") == [f"trainer.default_local_dir={ROOT}/outputs/spark_vl_7b"]
    assert overrides("spark_vl_7b.sh", "--cfg", "job", EXPERIMENT="mine", DEVICE="cpu") == [
        "platform=cpu",
        "trainer.experiment_name=mine",
        f"trainer.default_local_dir={ROOT}/outputs/mine",
        "--cfg",
        "job",
    ]


@pytest.mark.parametrize(
    ("variables", "overrides", "message"),
    [
        ({"TRAIN_FILES": "/nowhere.parquet"}, [], "data.train_files: /nowhere.parquet does not exist"),
        ({}, ["spark.pointwise.n=1"], "spark.pointwise.n must be at least 2"),
        ({}, ["data.train_batch_size=60"], "data.train_batch_size (60) must be a multiple"),
        ({}, ["data.max_prompt_length=9000"], "max_model_len (8960) must hold"),
        ({}, ["actor_rollout_ref.actor.ppo_max_token_len_per_gpu=4096"], "must hold one sequence"),
        ({}, ["actor_rollout_ref.rollout.gpu_memory_utilization=0.2"], "KV cache does not hold one sequence"),
        ({"GPU_MEMORY_GB": "24"}, [], "training needs about"),
        ({"OUTPUT_DIR": "/proc/out"}, [], "trainer.default_local_dir: /proc/out cannot be written"),
        ({"MODEL_PATH": "/nowhere/model"}, [], "actor_rollout_ref.model.path: /nowhere/model does not exist"),
        ({}, ["spark.reward.fallbacks=[tea_leaves]"], "spark.reward.fallbacks"),
        (
            {},
            ["actor_rollout_ref.actor.use_dynamic_bsz=false"],
            "Please set at least one of 'actor.ppo_micro_batch_size'",
        ),
        ({}, ["spark.pairwise.max_response_length=4000"], "must not exceed data.max_response_length"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said_before_ray_starts(paths, variables, overrides, message, monkeypatch):
    monkeypatch.setenv("DRY_RUN", "1")
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", f"{paths['OUTPUT_DIR']}/metrics.jsonl")
    # The alias of vLLM's distribution must not outlive the test.
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    names = {
        "TRAIN_FILES": "data.train_files",
        "VAL_FILES": "data.val_files",
        "OUTPUT_DIR": "trainer.default_local_dir",
        "MODEL_PATH": "actor_rollout_ref.model.path",
    }
    given = {**paths, **variables}
    monkeypatch.setenv("GPU_MEMORY_GB", given.pop("GPU_MEMORY_GB", "80"))
    with pytest.raises((ValueError, FileNotFoundError, AssertionError, InstantiationException)) as caught:
        config = load("spark_vl_7b", *(f"{names[name]}={path}" for name, path in given.items()), *overrides)
        main.prepare(config)
        main.show(config)
    wrapped = isinstance(caught.value, InstantiationException)
    error = str(caught.value.__cause__ if wrapped else caught.value)
    assert message in error
    assert "\n" not in error.strip()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.n_gpus_per_node=0", "spark_verl: trainer.n_gpus_per_node must be at least 1"),
        ("actor_rollout_ref.rollout.tensor_model_parallel_size=8", "does not divide the model's 28 attention heads"),
        ("data.train_batch_size=60", "spark_verl: data.train_batch_size (60) must be a multiple"),
        (
            "spark.pointwse.n=4",
            "spark_verl: spark.pointwse.n: there is no such option: did you mean spark.pointwise.n?",
        ),
    ],
)
def test_an_error_has_no_stack_trace_and_nothing_is_written(paths, override, message):
    done = run_script("spark_vl_7b.sh", override, DRY_RUN="1", **paths)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path(paths["OUTPUT_DIR"]).exists()
