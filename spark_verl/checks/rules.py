"""Checks that end in one clear line before Ray starts, instead of a stack trace from a worker minutes later.

They look, and change nothing. None of them imports verl.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from spark_verl import compat
from spark_verl.checks import keys
from spark_verl.checks.model import check_model
from spark_verl.compat import bootstrap
from spark_verl.config import SparkConfig, load_spark_config
from spark_verl.data.check import data_files
from spark_verl.judge.templates import TemplateSet
from spark_verl.options import brief, refuse
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


def _holds_one_sequence(limit: int, config: DictConfig) -> bool:
    return limit >= config.data.max_prompt_length + config.data.max_response_length


def _ranks(config: DictConfig) -> int:
    return config.trainer.nnodes * config.trainer.n_gpus_per_node


def _replica(config: DictConfig) -> int:
    rollout = config.actor_rollout_ref.rollout
    return rollout.tensor_model_parallel_size * rollout.data_parallel_size


_ONE_SEQUENCE = (
    "({value}) must hold one sequence ({config.data.max_prompt_length} + {config.data.max_response_length} tokens)"
)

_LEAST: dict[int, tuple[str, ...]] = {
    1: (
        *("trainer.nnodes", "trainer.n_gpus_per_node", "trainer.total_epochs"),
        *("data.train_batch_size", "data.max_prompt_length", "data.max_response_length", "data.image_patch_size"),
        *(f"actor_rollout_ref.actor.ppo_{name}" for name in ("mini_batch_size", "epochs", "max_token_len_per_gpu")),
        *(f"actor_rollout_ref.{name}.ulysses_sequence_parallel_size" for name in ("actor", "ref")),
        *(f"actor_rollout_ref.{name}.log_prob_max_token_len_per_gpu" for name in ("rollout", "ref")),
        *(f"actor_rollout_ref.rollout.{kind}_parallel_size" for kind in ("tensor_model", "data", "pipeline_model")),
        *(f"actor_rollout_ref.rollout.max_num_{what}" for what in ("batched_tokens", "seqs")),
        *(f"actor_rollout_ref.rollout.{name}" for name in ("n", "val_kwargs.n", "agent.num_workers")),
        "algorithm.filter_groups.max_inflight_gen_batches",
    ),
    0: (
        *("data.dataloader_num_workers", "reward.num_workers", "trainer.critic_warmup", "trainer.log_val_generations"),
        "actor_rollout_ref.model.lora_rank",
    ),
    -1: ("data.train_max_samples", "data.val_max_samples", "trainer.save_freq", "trainer.test_freq"),
}
_LEAST_1_OR_NULL = (
    *("data.gen_batch_size", "data.val_batch_size", "trainer.total_training_steps"),
    *("trainer.max_actor_ckpt_to_keep", "actor_rollout_ref.rollout.max_model_len"),
    *("ray_kwargs.ray_init.num_cpus", "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"),
    *(f"actor_rollout_ref.{name}.log_prob_micro_batch_size_per_gpu" for name in ("rollout", "ref")),
)


def _number(key: str, least: int, or_null: bool = False) -> Rule:
    return Rule(
        key,
        lambda value, config: (or_null and value is None) or (type(value) is int and value >= least),
        f"must be at least {least}{' (or null)' if or_null else ''}, a whole number, got {{value}}",
    )


NUMBERS = (
    *(_number(key, least) for least, keys_of in _LEAST.items() for key in keys_of),
    *(_number(key, 1, or_null=True) for key in _LEAST_1_OR_NULL),
)
"""What must hold before anything is computed with these values. verl asks for none of it."""

ASYNCHRONOUS = "spark_colocate_async"
"""verl's colocate_async with judge rows."""

GROUP_WISE = ("grpo", "rloo", "rloo_vectorized")
"""Advantages of verl's in which a row's depends on the rows of its own prompt only, whatever these are.

REINFORCE++ divides by a deviation over all rows, judge rows included; pass@k refuses a group of one; OPO weighs by
length, and verl's padding has none: its advantages would be no numbers."""

_NO_SELF_REWARD = ("spark.self_reward.enable", False)
_NOT_STORED = ("skip.rollout_tq.enable", False)


def _needs(key: str, value: Any, other: str, allowed: Any, why: str) -> Rule:
    """Where ``key`` has this value, ``other`` must have that one."""
    return Rule(
        key,
        lambda found, config: found != value or OmegaConf.select(config, other) == allowed,
        f"={value} needs {other}={allowed}: {why}".replace("True", "true").replace("False", "false"),
    )


RULES = (
    Rule("trainer.use_v1", lambda value, config: value, "must be true: SPARK is built on verl's V1 trainer"),
    Rule(
        "trainer.v1.trainer_mode",
        lambda value, config: value in ("spark", ASYNCHRONOUS),
        f"must be spark or {ASYNCHRONOUS}, got {{value}} (for plain GRPO set spark.enable=false, for verl's other"
        " trainers use verl.trainer.main_ppo)",
    ),
    _needs("trainer.v1.trainer_mode", ASYNCHRONOUS, "spark.judge_step", "same", "judge prompts need not wait there"),
    _needs("trainer.v1.trainer_mode", ASYNCHRONOUS, *_NO_SELF_REWARD, "its gate is measured on the weights it is for"),
    _needs("trainer.v1.trainer_mode", ASYNCHRONOUS, *_NOT_STORED, "which rows a step takes depends on what is ready"),
    _needs("algorithm.filter_groups.enable", True, *_NO_SELF_REWARD, "without a truth there is no score to filter by"),
    _needs("algorithm.filter_groups.enable", True, *_NOT_STORED, "how many groups a step has depends on their scores"),
    Rule(
        "algorithm.filter_groups.metric",
        lambda value, config: value or not config.algorithm.filter_groups.enable,
        "must name what groups are filtered by: reward, or a value of the reward function's, such as acc",
    ),
    Rule(
        "algorithm.adv_estimator",
        lambda value, config: value in GROUP_WISE,
        f"must be one of {', '.join(GROUP_WISE)}, got {{value}}: policy and judge rows are compared within their own"
        " groups, and with nothing else of the step",
    ),
    Rule("critic.enable", _off, "must be unset or false: rows are compared within their groups, without values"),
    Rule("distillation.enabled", _off, "must be false: a teacher's loss on judge rows is not defined"),
    Rule(
        "trainer.v1.sampler.custom_sampler",
        lambda value, config: not value or not value.get("path"),
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
        "trainer.resume_mode",
        lambda value, config: value in ("auto", "disable", "resume_path"),
        "must be auto, disable or resume_path, got {value}",
    ),
    Rule(
        "actor_rollout_ref.rollout.tensor_model_parallel_size",
        lambda value, config: _ranks(config) % _replica(config) == 0,
        "({value}) times data_parallel_size must divide the number of GPUs ({config.trainer.nnodes} x"
        " {config.trainer.n_gpus_per_node}): all of them generate",
    ),
    Rule(
        "actor_rollout_ref.actor.ulysses_sequence_parallel_size",
        lambda value, config: _ranks(config) % value == 0,
        "({value}) must divide the number of GPUs ({config.trainer.nnodes} x {config.trainer.n_gpus_per_node})",
    ),
    Rule(
        "actor_rollout_ref.actor.fsdp_config.fsdp_size",
        lambda value, config: not 0 <= value < _ranks(config) or (value > 0 and _ranks(config) % value == 0),
        "({value}) must divide the number of GPUs ({config.trainer.nnodes} x {config.trainer.n_gpus_per_node}), or be"
        " -1 for all of them",
    ),
    Rule(
        "actor_rollout_ref.actor.grad_clip",
        lambda value, config: value == 1.0,
        "({value}) is read by nobody in this version of verl: set actor_rollout_ref.actor.optim.clip_grad",
    ),
    Rule(
        "actor_rollout_ref.actor.optim.clip_grad",
        lambda value, config: value > 0,
        "must be positive, got {value}: it is the largest norm of the gradient",
    ),
    Rule(
        "actor_rollout_ref.rollout.temperature",
        lambda value, config: value > 0,
        "must be positive, got {value}: the samples of a group are compared, and would all be alike",
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
    _needs("spark.judge_step", "next", *_NOT_STORED, "rows that are stored ask nothing of the next step"),
    Rule(
        "data.train_batch_size",
        lambda value, config: value % config.actor_rollout_ref.actor.ppo_mini_batch_size == 0,
        "({value}) must be a multiple of actor.ppo_mini_batch_size"
        " ({config.actor_rollout_ref.actor.ppo_mini_batch_size})",
    ),
)


def check(config: DictConfig, at_hand: bool = False) -> SparkConfig:
    """Check SPARK's block, what it needs of verl's config, and files.

    Args:
        config: The composed config.
        at_hand: Whether the run is started here, so that its model must be at hand.

    Returns:
        The validated ``spark:`` block.

    Raises:
        ValueError: Something in the config is wrong; the message names the key and says what to change.
        FileNotFoundError: A file or folder that the config names does not exist.
    """
    keys.plain(config)
    refuse(keys.wrong_kinds(config))
    refuse(_broken(NUMBERS, config))
    spark = load_spark_config(config)
    refuse(_broken(RULES, config))
    if spark.enable:
        templates = TemplateSet.load(spark.templates)
        for objective, label_form in spark.used_label_forms():
            templates.require(objective, label_form)
    for files in ("train_files", "val_files"):
        data_files(config, files)
    check_model(config.actor_rollout_ref.model.path, "actor_rollout_ref.model.path", at_hand)
    _check_output(config)
    return spark


def _broken(rules: tuple[Rule, ...], config: DictConfig) -> Iterator[str]:
    """A message for each rule that does not hold."""
    for rule in rules:
        value, applies = OmegaConf.select(config, rule.key), rule.where is None or OmegaConf.select(config, rule.where)
        if applies and not rule.holds(value, config):
            said = rule.message.format(value=brief(value), config=config)
            yield f"{rule.key}{'' if said.startswith('=') else ' '}{said}"


def _check_output(config: DictConfig) -> None:
    """The output folder can be written to."""
    given = config.trainer.default_local_dir
    if not given:
        raise ValueError("trainer.default_local_dir is not set: name the folder of the run")
    folder = Path(str(given)).expanduser()
    try:
        existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        # Permissions alone do not tell: read-only mounts, full disks, root.
        tempfile.TemporaryFile(dir=existing).close()
    except (OSError, ValueError) as error:
        raise ValueError(f"trainer.default_local_dir: {brief(folder)} cannot be written ({brief(error)})") from error


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
