"""Checks that end in one clear line before Ray starts, instead of a stack trace from a worker minutes later."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from spark_verl import compat
from spark_verl.compat import bootstrap
from spark_verl.config import SparkConfig, load_spark_config
from spark_verl.data.check import check_file, check_images
from spark_verl.judge.templates import TemplateSet


def check(config: DictConfig) -> SparkConfig:
    """Check what can be checked without verl: SPARK's block, what it cannot be combined with, and files.

    Args:
        config: The composed config.

    Returns:
        The validated ``spark:`` block.

    Raises:
        ValueError: Something in the config is wrong; the message names the key and says what to change.
        FileNotFoundError: A file or folder that the config names does not exist.
    """
    spark = load_spark_config(config)
    _expand_user(config)
    _check_combinations(config)
    if spark.enable:
        templates = TemplateSet.load(spark.templates)
        for objective, label_form in spark.used_label_forms():
            templates.require(objective, label_form)
    _check_data(config, spark.check_rows)
    _check_model(config)
    _check_output(config)
    return spark


def _expand_user(config: DictConfig) -> None:
    """Replace a leading ``~`` in paths: not everything that opens them later does."""
    for node, key in (
        (config.data, "train_files"),
        (config.data, "val_files"),
        (config.actor_rollout_ref.model, "path"),
        (config.trainer, "default_local_dir"),
    ):
        value = node[key]
        if isinstance(value, list | ListConfig):
            node[key] = [os.path.expanduser(str(item)) for item in value]
        elif value is not None:
            node[key] = os.path.expanduser(str(value))


def _check_combinations(config: DictConfig) -> None:
    """What SPARK needs of verl's config."""
    batch, mini = config.data.train_batch_size, config.actor_rollout_ref.actor.ppo_mini_batch_size
    rules = [
        (config.trainer.use_v1, "trainer.use_v1 must be true: SPARK is built on verl's V1 trainer"),
        (
            config.trainer.v1.trainer_mode == "spark",
            f"trainer.v1.trainer_mode must be spark, got {config.trainer.v1.trainer_mode}"
            " (for plain GRPO set spark.enable=false, for verl's other trainers use verl.trainer.main_ppo)",
        ),
        (
            config.algorithm.adv_estimator == "grpo",
            f"algorithm.adv_estimator must be grpo, got {config.algorithm.adv_estimator}:"
            " policy and judge rows are compared within their own groups",
        ),
        (
            not config.critic.enable,
            "critic.enable must be unset or false: rows are compared within their groups, without values",
        ),
        (
            not config.distillation.enabled,
            "distillation.enabled must be false: a teacher's loss on judge rows is not defined",
        ),
        (
            not config.algorithm.filter_groups.enable,
            "algorithm.filter_groups.enable must be false: refilling would sample prompts after their judge prompts",
        ),
        (
            not config.trainer.v1.sampler.custom_sampler.get("path"),
            "trainer.v1.sampler.custom_sampler must be unset: spark_verl has its own sampler",
        ),
        (
            not config.trainer.v1.sampler.sync_refill_failed_groups,
            "trainer.v1.sampler.sync_refill_failed_groups must be false: a group that fails is counted and left out",
        ),
        (
            not config.reward.reward_model.enable or config.reward.reward_model.enable_resource_pool,
            "reward.reward_model.enable needs reward.reward_model.enable_resource_pool=true: judge labels are needed"
            " while rollouts run",
        ),
        (
            not config.reward.reward_model.enable or config.reward.num_workers > 0,
            "reward.reward_model.enable needs reward.num_workers of at least 1: these workers know the model's address",
        ),
        (
            config.actor_rollout_ref.rollout.n >= 2,
            f"actor_rollout_ref.rollout.n must be at least 2, got {config.actor_rollout_ref.rollout.n}",
        ),
        (
            config.actor_rollout_ref.rollout.calculate_log_probs or not config.algorithm.rollout_correction.bypass_mode,
            "algorithm.rollout_correction.bypass_mode takes the sampler's log-probabilities as old ones and needs"
            " actor_rollout_ref.rollout.calculate_log_probs=true",
        ),
        *(
            (
                limit is None or limit <= config.data.max_response_length,
                f"spark.{name}.max_response_length ({limit}) must not exceed data.max_response_length"
                f" ({config.data.max_response_length})",
            )
            for name in ("pointwise", "pairwise", "reflection")
            for limit in [config.spark[name].max_response_length]
        ),
        (
            config.actor_rollout_ref.rollout.max_model_len is None
            or config.actor_rollout_ref.rollout.max_model_len
            >= config.data.max_prompt_length + config.data.max_response_length,
            f"actor_rollout_ref.rollout.max_model_len ({config.actor_rollout_ref.rollout.max_model_len}) must hold"
            f" data.max_prompt_length + data.max_response_length"
            f" ({config.data.max_prompt_length} + {config.data.max_response_length})",
        ),
        (
            not config.actor_rollout_ref.actor.use_dynamic_bsz
            or config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu
            >= config.data.max_prompt_length + config.data.max_response_length,
            f"actor.ppo_max_token_len_per_gpu ({config.actor_rollout_ref.actor.ppo_max_token_len_per_gpu}) must hold"
            f" one sequence ({config.data.max_prompt_length} + {config.data.max_response_length} tokens)",
        ),
        *(
            (
                not part.log_prob_use_dynamic_bsz
                or part.log_prob_max_token_len_per_gpu
                >= config.data.max_prompt_length + config.data.max_response_length,
                f"{name}.log_prob_max_token_len_per_gpu ({part.log_prob_max_token_len_per_gpu}) must hold one sequence"
                f" ({config.data.max_prompt_length} + {config.data.max_response_length} tokens)",
            )
            for name in ("rollout", "ref")
            for part in [config.actor_rollout_ref[name]]
        ),
        (
            mini > 0 and batch % mini == 0,
            f"data.train_batch_size ({batch}) must be a multiple of actor.ppo_mini_batch_size ({mini})",
        ),
    ]
    for holds, message in rules:
        if not holds:
            raise ValueError(message)


def _check_data(config: DictConfig, rows: int) -> None:
    """Data files exist, have verl's columns, and a sample of their rows can be trained on."""
    pixels = 0
    for key in ("train_files", "val_files"):
        value = config.data[key]
        for file in value if isinstance(value, list | ListConfig) else [value]:
            path = Path(str(file)).expanduser()
            if "://" in str(file):
                continue
            if not path.is_file():
                raise FileNotFoundError(
                    f"data.{key}: {file} does not exist (data_preprocess/ has the programs to make it)"
                )
            if rows and path.suffix == ".parquet":
                seen = check_file(path, config.data.image_key, rows)
                pixels = max(pixels, seen.most_pixels)
    if pixels:
        check_images(config, pixels)


def _check_model(config: DictConfig) -> None:
    """The model, where it is a path, is a model folder."""
    model = str(config.actor_rollout_ref.model.path)
    looks_local = model.startswith(("/", "./", "../", "~")) or model.count("/") > 1
    if not looks_local or "://" in model:
        return
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"actor_rollout_ref.model.path: folder {model} does not exist")
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(f"actor_rollout_ref.model.path: {model} is no model folder, it has no config.json")


def _check_output(config: DictConfig) -> None:
    """The output folder can be written to."""
    folder = Path(str(config.trainer.default_local_dir)).expanduser()
    existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    try:
        # Permissions alone do not tell: read-only mounts, full disks, root.
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise ValueError(f"trainer.default_local_dir: {folder} cannot be written ({error})") from error


def check_devices(config: DictConfig) -> None:
    """A run that starts its own Ray finds as many GPUs as it asks for, and the attention that the model is to use.

    Raises:
        ValueError: There are fewer, or flash-attn is not installed.
    """
    if config.trainer.device != "cuda" or compat.names_cluster(config) or bootstrap.RUNNING_CLUSTER.is_file():
        return
    import torch

    found = torch.cuda.device_count()
    if config.trainer.n_gpus_per_node > found:
        raise ValueError(
            f"trainer.n_gpus_per_node={config.trainer.n_gpus_per_node}, but this machine has {found} GPU(s): lower it"
            " (or set trainer.device=cpu to try the run without one)"
        )
    if config.trainer.nnodes > 1:
        raise ValueError(
            f"trainer.nnodes={config.trainer.nnodes}, but no Ray cluster is running: start one first"
            " (run_scripts/start_ray.sh on every node)"
        )
    attention = config.actor_rollout_ref.model.override_config.get("attn_implementation", "flash_attention_2")
    if attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise ValueError(
            "flash-attn is not installed: bash run_scripts/setup_gpu.sh (or set"
            " +actor_rollout_ref.model.override_config.attn_implementation=sdpa and use_remove_padding=false)"
        )
