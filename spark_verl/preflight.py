"""Checks that end in one clear line before Ray starts, instead of a stack trace from a worker minutes later."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from spark_verl.config import SparkConfig, load_spark_config
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
    _check_combinations(config)
    if spark.enable:
        templates = TemplateSet.load(spark.templates)
        for objective, label_form in spark.used_label_forms():
            templates.require(objective, label_form)
    _check_files(config)
    return spark


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
            not config.algorithm.filter_groups.enable,
            "algorithm.filter_groups.enable must be false: refilling would sample prompts after their judge prompts",
        ),
        (
            not config.trainer.v1.sampler.custom_sampler.get("path"),
            "trainer.v1.sampler.custom_sampler must be unset: spark_verl has its own sampler",
        ),
        (
            not config.reward.reward_model.enable or config.reward.reward_model.enable_resource_pool,
            "reward.reward_model.enable needs reward.reward_model.enable_resource_pool=true: judge labels are needed"
            " while rollouts run",
        ),
        (
            config.actor_rollout_ref.rollout.n >= 2,
            f"actor_rollout_ref.rollout.n must be at least 2, got {config.actor_rollout_ref.rollout.n}",
        ),
        (
            mini > 0 and batch % mini == 0,
            f"data.train_batch_size ({batch}) must be a multiple of actor.ppo_mini_batch_size ({mini})",
        ),
    ]
    for holds, message in rules:
        if not holds:
            raise ValueError(message)


def _check_files(config: DictConfig) -> None:
    """Data files, and the model where it is a path, exist."""
    for key in ("train_files", "val_files"):
        value = config.data[key]
        for file in value if isinstance(value, list | ListConfig) else [value]:
            if "://" not in str(file) and not Path(str(file)).expanduser().is_file():
                raise FileNotFoundError(
                    f"data.{key}: {file} does not exist (data_preprocess/ has the programs to make it)"
                )
    model = str(config.actor_rollout_ref.model.path)
    looks_local = model.startswith(("/", "./", "../", "~")) or model.count("/") > 1
    if looks_local and "://" not in model and not os.path.isdir(os.path.expanduser(model)):
        raise FileNotFoundError(f"actor_rollout_ref.model.path: folder {model} does not exist")
