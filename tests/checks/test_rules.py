"""What is wrong in a config ends in one line before Ray starts; the shipped configs compose and pass."""

from __future__ import annotations

import subprocess
import sys

import pytest
from checked_configs import ROOT, load, write_files
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from spark_verl import main
from spark_verl.checks import rules
from spark_verl.compat import bootstrap


@pytest.fixture
def files(tmp_path):
    """Overrides that name files which exist."""
    return write_files(tmp_path, rows=1)


@pytest.mark.parametrize("recipe", sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml")))
def test_every_recipe_passes(recipe, files):
    assert rules.check(load(files, recipe)).enable is (recipe != "grpo_vl_7b")


def test_a_check_changes_nothing(files):
    config = load(files)
    config.trainer.default_local_dir = "~/out"
    before = OmegaConf.to_yaml(config)
    rules.check(config)
    assert OmegaConf.to_yaml(config) == before


def test_a_limit_counts_where_it_is_used(files):
    unused = ("use_dynamic_bsz=false", "max_token_len_per_gpu=200")
    rules.check(load([*files, *(f"actor_rollout_ref.ref.log_prob_{setting}" for setting in unused)]))


def test_home_is_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    config = load([])
    config.data.update(train_files="~/train", val_files=["~/a", "b"])
    config.trainer.default_local_dir = "~/out/~"
    main.expand_home(config)
    assert config.data.train_files == "/home/me/train"
    assert config.data.val_files == ["/home/me/a", "b"]
    assert config.trainer.default_local_dir == "/home/me/out/~"


def test_every_step_of_the_preparation_says_what_it_does():
    assert all(step.__doc__ for step in main.PREPARATION)
    assert len(set(main.PREPARATION)) == len(main.PREPARATION)


def test_defaults_are_the_references():
    with initialize_config_dir(str(ROOT / "spark_verl" / "config"), version_base=None):
        config = compose("spark_trainer")
    assert (config.data.train_batch_size, config.actor_rollout_ref.rollout.n) == (64, 8)
    assert config.actor_rollout_ref.actor.optim.lr == 5e-7
    assert config.actor_rollout_ref.actor.kl_loss_coef == 0.001
    assert config.actor_rollout_ref.actor.kl_loss_type == "low_var_kl"
    assert (config.data.max_prompt_length, config.data.max_response_length) == (8192, 768)
    assert config.spark.judge_prompts_per_group * config.data.train_batch_size == 32
    assert config.spark.reflection_prompts_per_group * config.data.train_batch_size == 32


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("spark.pointwise.cot_share=2", "spark.pointwise.cot_share"),
        ("+spark.judges=3", "judges"),
        ("spark.templates=/nowhere", "/nowhere"),
        ("trainer.v1.trainer_mode=separate_async", "trainer_mode must be spark or spark_colocate_async"),
        ("algorithm.adv_estimator=gae", "adv_estimator must be one of grpo, rloo"),
        ("algorithm.adv_estimator=reinforce_plus_plus_baseline", "adv_estimator must be one of grpo, rloo"),
        ("algorithm.filter_groups={enable: true, metric: null}", "filter_groups.metric must name"),
        ("algorithm.filter_groups.max_inflight_gen_batches=0", "max_inflight_gen_batches must be at least 1"),
        ("critic.enable=true", "critic.enable must be unset or false"),
        ("distillation.enabled=true", "distillation.enabled must be false"),
        ("trainer.v1.sampler.sync_refill_failed_groups=true", "sync_refill_failed_groups must be false"),
        ("trainer.v1.sampler.custom_sampler.path=x.py", "custom_sampler"),
        ("actor_rollout_ref.rollout.n=1", "rollout.n must be at least 2"),
        ("actor_rollout_ref.rollout.calculate_log_probs=false", "needs actor_rollout_ref.rollout.calculate_log_probs"),
        (
            "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu=200",
            "ref.log_prob_max_token_len_per_gpu (200) must hold",
        ),
        ("data.train_batch_size=12", "must be a multiple of"),
        ("trainer.use_v1=false", "use_v1"),
        ("data.train_files=/nowhere/train.parquet", "data.train_files: /nowhere/train.parquet does not exist"),
        ("actor_rollout_ref.model.path=/nowhere/model", "actor_rollout_ref.model.path: /nowhere/model does not exist"),
        ("actor_rollout_ref.model.path=/proc", "/proc is no model folder: it has no config.json"),
        ("actor_rollout_ref.model.path=null", "actor_rollout_ref.model.path is not set"),
        ("trainer.default_local_dir=/proc/out", "cannot be written"),
        ("trainer.default_local_dir=null", "trainer.default_local_dir is not set"),
        ("trainer.n_gpus_per_node=0", "trainer.n_gpus_per_node must be at least 1, a whole number, got 0"),
        ("trainer.n_gpus_per_node=two", "trainer.n_gpus_per_node must be a number (verl's default: 8), got two"),
        ("trainer.n_gpus_per_node=1.5", "trainer.n_gpus_per_node must be at least 1, a whole number, got 1.5"),
        ("trainer.nnodes=0", "trainer.nnodes must be at least 1"),
        ("trainer.nnodes=null", "trainer.nnodes must be at least 1, a whole number, got None"),
        ("trainer.nnodes=true", "trainer.nnodes must be a number (verl's default: 1), got True"),
        ("trainer.total_epochs=nan", "trainer.total_epochs must be at least 1, a whole number, got nan"),
        ("trainer.total_training_steps=0", "trainer.total_training_steps must be at least 1 (or null)"),
        ("data.max_prompt_length=0", "data.max_prompt_length must be at least 1"),
        ("data.max_response_length=0", "data.max_response_length must be at least 1"),
        ("data.dataloader_num_workers=-1", "data.dataloader_num_workers must be at least 0"),
        ("actor_rollout_ref.rollout.tensor_model_parallel_size=0", "tensor_model_parallel_size must be at least 1"),
        ("actor_rollout_ref.rollout.tensor_model_parallel_size=2", "must divide the number of GPUs (1 x 1)"),
        ("actor_rollout_ref.actor.ulysses_sequence_parallel_size=2", "must divide the number of GPUs (1 x 1)"),
        ("actor_rollout_ref.actor.optim.lr=abc", "actor_rollout_ref.actor.optim.lr must be a number"),
        ("trainer.resume_mode=resume_from_path", "trainer.resume_mode must be auto, disable or resume_path"),
        ("reward.reward_model=null", "reward.reward_model is a section of options, got None"),
        ("trainer.experiment_name=${nothing}", "experiment_name: Interpolation key 'nothing' not found"),
    ],
)
def test_what_is_wrong_is_named(files, override, message):
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        rules.check(load([*files, override]))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "needed"),
    [
        ("trainer.v1.trainer_mode=spark_colocate_async", "spark.judge_step=next", "spark.judge_step=same"),
        (
            "trainer.v1.trainer_mode=spark_colocate_async",
            "spark.self_reward.enable=true",
            "spark.self_reward.enable=false",
        ),
        ("trainer.v1.trainer_mode=spark_colocate_async", "skip.rollout_tq.enable=true", "skip.rollout_tq.enable=false"),
        ("algorithm.filter_groups.enable=true", "spark.self_reward.enable=true", "spark.self_reward.enable=false"),
        ("algorithm.filter_groups.enable=true", "skip.rollout_tq.enable=true", "skip.rollout_tq.enable=false"),
        ("spark.judge_step=next", "skip.rollout_tq.enable=true", "skip.rollout_tq.enable=false"),
    ],
)
def test_what_does_not_go_together(files, one, other, needed):
    with pytest.raises(ValueError, match=f"^{one} needs {needed}: "):
        rules.check(load([*files, one, other]))
    rules.check(load([*files, one]))


def test_every_finding_has_its_line(files):
    with pytest.raises(ValueError) as caught:
        rules.check(load([*files, "trainer.nnodes=0", "trainer.n_gpus_per_node=0", "data.max_prompt_length=0"]))
    assert [line.split()[0] for line in str(caught.value).splitlines()] == [
        "trainer.nnodes",
        "trainer.n_gpus_per_node",
        "data.max_prompt_length",
    ]


def test_no_value_is_printed_whole(files):
    with pytest.raises(ValueError) as caught:
        rules.check(load([*files, f"trainer.nnodes={'1x' * 5000}"]))
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("recipe", "overrides", "environment", "cluster", "message"),
    [
        ("spark_vl_7b", [], {}, False, r"n_gpus_per_node=8, but this machine has \d GPU"),
        ("spark_vl_32b", ["trainer.n_gpus_per_node=0"], {}, False, "nnodes=2, but no Ray cluster is running"),
        ("spark_vl_7b", [], {"RAY_ADDRESS": "head:6379"}, False, None),
        ("spark_vl_7b", ["+ray_kwargs.ray_init.address=head:6379"], {}, False, None),
        ("spark_vl_7b", [], {}, True, None),
        ("quickstart", [], {}, False, None),
    ],
    ids=["too few GPUs", "no cluster", "joins by RAY_ADDRESS", "joins by config", "joins what runs here", "on a CPU"],
)
def test_gpus_are_counted_where_the_run_starts_ray(
    tmp_path, monkeypatch, recipe, overrides, environment, cluster, message
):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    noted = tmp_path / "ray_current_cluster"
    if cluster:
        noted.write_text("head:6379")
    monkeypatch.setattr(bootstrap, "RUNNING_CLUSTER", noted)
    config = load(overrides, recipe)
    if message is None:
        rules.check_devices(config)
        return
    with pytest.raises(ValueError, match=message):
        rules.check_devices(config)


def test_without_spark_nothing_is_deferred(files):
    assert rules.check(load([*files, "spark.judge_step=next"])).defers
    assert not rules.check(load([*files, "spark.judge_step=next", "spark.enable=false"])).defers


def test_a_reward_model_needs_reward_workers(files):
    model = [f"reward.reward_model.{key}=true" for key in ("enable", "enable_resource_pool")]
    with pytest.raises(ValueError, match="needs reward.num_workers of at least 1"):
        rules.check(load([*files, *model]))
    rules.check(load([*files, *model, "reward.num_workers=1"]))


SPLIT = "actor_rollout_ref.actor.fsdp_config.ulysses_sequence_parallel_size=2"
ATTENTION = "+actor_rollout_ref.model.override_config.attn_implementation="


@pytest.mark.parametrize(
    ("overrides", "refused"),
    [
        ([SPLIT], False),
        ([SPLIT, ATTENTION + "flash_attention_2"], False),
        ([SPLIT, ATTENTION + "torch_flash_varlen"], False),
        ([SPLIT, ATTENTION + "sdpa"], True),
        ([ATTENTION + "sdpa"], False),
    ],
    ids=["verl's default", "flash-attn", "torch's", "sdpa", "not split"],
)
def test_a_split_sequence_needs_flash_attention_on_joined_clusters_too(monkeypatch, overrides, refused):
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    config = load(overrides, "spark_vl_7b")
    if not refused:
        rules.check_devices(config)
        return
    with pytest.raises(ValueError, match="attn_implementation=sdpa sees one part of a sequence"):
        rules.check_devices(config)


def test_nothing_has_to_be_compiled(monkeypatch, tmp_path):
    """Without flash-attn packed rows go through torch's own kernels."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(bootstrap, "RUNNING_CLUSTER", tmp_path / "none")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    rules.check_devices(load([], "spark_vl_7b"))


def test_main_ends_with_one_line_and_without_ray(tmp_path):
    command = [
        *(
            sys.executable,
            "-m",
            "spark_verl.main",
            "--config-path",
            str(ROOT / "recipes"),
            "--config-name",
            "quickstart",
        ),
        "data.train_files=/nowhere/train.parquet",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 1
    assert "spark_verl: data.train_files: /nowhere/train.parquet does not exist" in done.stderr
    assert "Traceback" not in done.stderr
    assert "ray" not in done.stdout.lower()
