"""Checks that end in one clear line before Ray starts, instead of a stack trace from a worker minutes later.

They look, and change nothing. None of them needs verl.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, ListConfig, OmegaConf

from spark_verl import compat
from spark_verl.compat import bootstrap
from spark_verl.config import SparkConfig, load_spark_config
from spark_verl.data.check import check_file, check_images
from spark_verl.judge.templates import TemplateSet
from spark_verl.vocabulary import JUDGE_OBJECTIVES


class Rule(NamedTuple):
    """What SPARK needs of verl's config.

    Attributes:
        key: Dotted key that the rule is about.
        holds: Of (the key's value, the whole config).
        message: What follows the key when it does not hold; ``{value}`` and ``{config.other.key}`` are filled in.
        where: Dotted key of the switch without which the rule is void; None for a rule that always applies.
    """

    key: str
    holds: Callable[[Any, DictConfig], bool]
    message: str
    where: str | None = None


def _off(value: Any, config: DictConfig) -> bool:
    return not value


def _is_multiple(value: int, of: int) -> bool:
    return of > 0 and value % of == 0


def _holds_one_sequence(limit: int, config: DictConfig) -> bool:
    return limit >= config.data.max_prompt_length + config.data.max_response_length


_ONE_SEQUENCE = (
    "({value}) must hold one sequence ({config.data.max_prompt_length} + {config.data.max_response_length} tokens)"
)

RULES = (
    Rule("trainer.use_v1", lambda value, config: value, "must be true: SPARK is built on verl's V1 trainer"),
    Rule(
        "trainer.v1.trainer_mode",
        lambda value, config: value == "spark",
        "must be spark, got {value} (for plain GRPO set spark.enable=false, for verl's other trainers use"
        " verl.trainer.main_ppo)",
    ),
    Rule(
        "algorithm.adv_estimator",
        lambda value, config: value == "grpo",
        "must be grpo, got {value}: policy and judge rows are compared within their own groups",
    ),
    Rule("critic.enable", _off, "must be unset or false: rows are compared within their groups, without values"),
    Rule("distillation.enabled", _off, "must be false: a teacher's loss on judge rows is not defined"),
    Rule(
        "algorithm.filter_groups.enable",
        _off,
        "must be false: refilling would sample prompts after their judge prompts",
    ),
    Rule(
        "trainer.v1.sampler.custom_sampler",
        lambda value, config: not value.get("path"),
        "must be unset: spark_verl has its own sampler",
    ),
    Rule(
        "trainer.v1.sampler.sync_refill_failed_groups",
        _off,
        "must be false: a group that fails is counted and left out",
    ),
    Rule(
        "reward.reward_model.enable",
        lambda value, config: not value or config.reward.reward_model.enable_resource_pool,
        "needs reward.reward_model.enable_resource_pool=true: judge labels are needed while rollouts run",
    ),
    Rule(
        "reward.reward_model.enable",
        lambda value, config: not value or config.reward.num_workers > 0,
        "needs reward.num_workers of at least 1: these workers know the model's address",
    ),
    Rule("actor_rollout_ref.rollout.n", lambda value, config: value >= 2, "must be at least 2, got {value}"),
    Rule(
        "algorithm.rollout_correction.bypass_mode",
        lambda value, config: not value or config.actor_rollout_ref.rollout.calculate_log_probs,
        "takes the sampler's log-probabilities as old ones and needs"
        " actor_rollout_ref.rollout.calculate_log_probs=true",
    ),
    *(
        Rule(
            f"spark.{objective}.max_response_length",
            lambda value, config: value is None or value <= config.data.max_response_length,
            "({value}) must not exceed data.max_response_length ({config.data.max_response_length})",
        )
        for objective in JUDGE_OBJECTIVES
    ),
    Rule(
        "actor_rollout_ref.rollout.max_model_len",
        lambda value, config: value is None or _holds_one_sequence(value, config),
        "({value}) must hold data.max_prompt_length + data.max_response_length ({config.data.max_prompt_length} +"
        " {config.data.max_response_length})",
    ),
    *(
        Rule(f"actor_rollout_ref.{limit}", _holds_one_sequence, _ONE_SEQUENCE, where=f"actor_rollout_ref.{switch}")
        for limit, switch in (
            ("actor.ppo_max_token_len_per_gpu", "actor.use_dynamic_bsz"),
            ("rollout.log_prob_max_token_len_per_gpu", "rollout.log_prob_use_dynamic_bsz"),
            ("ref.log_prob_max_token_len_per_gpu", "ref.log_prob_use_dynamic_bsz"),
        )
    ),
    Rule(
        "spark.self_reward.enable",
        lambda value, config: not value or config.spark.enable,
        "needs spark.enable=true; to train no judge, set spark.judge_prompts_per_group=0 and"
        " spark.reflection_prompts_per_group=0",
    ),
    Rule(
        "spark.self_reward.enable",
        lambda value, config: not value or not config.algorithm.use_kl_in_reward,
        "goes with a KL loss (actor.use_kl_loss), not with algorithm.use_kl_in_reward: the model's own reward has no"
        " tokens to take it from",
    ),
    Rule(
        "data.train_batch_size",
        lambda value, config: _is_multiple(value, config.actor_rollout_ref.actor.ppo_mini_batch_size),
        "({value}) must be a multiple of actor.ppo_mini_batch_size"
        " ({config.actor_rollout_ref.actor.ppo_mini_batch_size})",
    ),
)


def check(config: DictConfig) -> SparkConfig:
    """Check SPARK's block, what it needs of verl's config, and files.

    Args:
        config: The composed config.

    Returns:
        The validated ``spark:`` block.

    Raises:
        ValueError: Something in the config is wrong; the message names the key and says what to change.
        FileNotFoundError: A file or folder that the config names does not exist.
    """
    spark = load_spark_config(config)
    for rule in RULES:
        value, applies = OmegaConf.select(config, rule.key), rule.where is None or OmegaConf.select(config, rule.where)
        if applies and not rule.holds(value, config):
            raise ValueError(f"{rule.key} {rule.message.format(value=value, config=config)}")
    if spark.enable:
        templates = TemplateSet.load(spark.templates)
        for objective, label_form in spark.used_label_forms():
            templates.require(objective, label_form)
    _check_data(config, spark)
    _check_model(config)
    _check_output(config)
    return spark


def _check_data(config: DictConfig, spark: SparkConfig) -> None:
    """Data files exist, have verl's columns, and a sample of their rows can be trained on."""
    pixels = 0
    for key in ("train_files", "val_files"):
        value = config.data[key]
        for file in value if isinstance(value, ListConfig) else [value]:
            path = Path(str(file)).expanduser()
            if "://" in str(file):
                continue
            if not path.is_file():
                raise FileNotFoundError(
                    f"data.{key}: {file} does not exist (data_preprocess/ has the programs to make it)"
                )
            if spark.check_rows and path.suffix == ".parquet":
                unlabelled = spark.self_reward.enable and key == "train_files"
                seen = check_file(path, config.data.image_key, spark.check_rows, unlabelled)
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
    """The attention goes with the sharding, and a run that starts its own Ray finds as many GPUs as it asks for.

    Raises:
        ValueError: It does not, or there are fewer.
    """
    actor = config.actor_rollout_ref.actor
    attention = config.actor_rollout_ref.model.override_config.get("attn_implementation")
    # verl exchanges heads for tokens around flash attention only; others would see their own part of each sequence.
    if actor.fsdp_config.ulysses_sequence_parallel_size > 1 and attention and "flash" not in attention:
        raise ValueError(
            f"actor_rollout_ref.model.override_config.attn_implementation={attention} sees one part of a sequence with"
            " actor.fsdp_config.ulysses_sequence_parallel_size above 1: leave the attention unset, or set that to 1"
        )
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
