"""Asks verl, transformers and torch whether they will take a config's values, before a worker is started with them.

No list of allowed values stands here: verl's dataclasses say which options they have and of which type, its registries
and functions are called with the value, and torch builds the optimizer. Imports verl, which has to be set up before
(:func:`spark_verl.compat.configure`).
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import traceback
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from transfer_queue.storage.managers.base import StorageManagerFactory
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from verl.experimental.agent_loop import agent_loop
from verl.trainer.ppo import core_algos
from verl.trainer.ppo.reward import get_custom_reward_fn, resolve_reward_manager_cls
from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_and_rejection_mask
from verl.utils.checkpoint.checkpoint_manager import BaseCheckpointManager
from verl.utils.config import omega_conf_to_dataclass
from verl.utils.dataset.rl_dataset import get_dataset_class
from verl.utils.import_utils import resolve_config_path
from verl.utils.torch_dtypes import PrecisionType
from verl.utils.torch_functional import postprocess_data
from verl.utils.tracking import Tracking
from verl.workers.config import FSDPEngineConfig
from verl.workers.config.optimizer import build_optimizer
from verl.workers.rollout.replica import RolloutReplicaRegistry
from verl.workers.rollout.router import _load_router_yaml, _resolve_router_class

from spark_verl.checks import keys
from spark_verl.compat import packed_attention
from spark_verl.options import LONGEST_REASON, brief, refuse


class Question(NamedTuple):
    """A value, and who is asked about it.

    Attributes:
        key: Dotted key.
        ask: Called with (the value, the whole config); raises where the value will not do.
        where: Dotted key of the switch without which the value is not used; None where it always is.
    """

    key: str
    ask: Callable[[Any, DictConfig], object]
    where: str | None = None


def check(config: DictConfig) -> None:
    """Ask about every value.

    Raises:
        ValueError: At least one will not do; a line for each.
    """
    refuse(_wrong_fields(keys.plain(config)))
    refuse(_answers(config))


def _answers(config: DictConfig) -> Iterator[str]:
    refused: list[str] = []
    for key, ask, where in QUESTIONS:
        value, used = OmegaConf.select(config, key), where is None or OmegaConf.select(config, where)
        if not used or any(key.startswith(f"{section}.") for section in refused):
            continue
        try:
            ask(value, config)
        except (Exception, SystemExit) as error:  # whatever verl, torch or a user's own code raises is the answer
            shown = "" if isinstance(value, DictConfig) else f"={brief(value)}"
            yield f"{key}{shown}: {_reason(error.__cause__ or error)}"
            refused.append(key)


def _reason(error: BaseException) -> str:
    """What an error says; where it says nothing, the assertion that failed."""
    frames = traceback.extract_tb(error.__traceback__)
    line = frames[-1].line or "" if frames else ""
    return brief(error, LONGEST_REASON) or (brief(line) if line.startswith("assert") else "unknown to verl")


def _wrong_fields(config: Mapping[str, Any]) -> Iterator[str]:
    """A message for each field that a dataclass of verl does not have, or not with a value of this type."""
    for section in keys.INSTANTIATED:
        parent, _, name = section.rpartition(".")
        # Some options stand in verl's config, and are renamed before its dataclass is made.
        yield from _wrong_in(config[parent][name], keys.verl_defaults()[parent][name], section)


def _wrong_in(values: Mapping[str, Any], theirs: Mapping[str, Any], section: str) -> Iterator[str]:
    target = values.get("_target_")
    if target:
        module, _, name = str(target).rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
            hints, defaults = typing.get_type_hints(kind), {one.name: one.default for one in dataclasses.fields(kind)}
        except (ImportError, AttributeError, ValueError, TypeError):
            yield f"{section}._target_: {brief(target)} is no dataclass"
            return
        for key, value in values.items():
            if key not in defaults and key not in theirs:
                known = [*(f"{section}.{one}" for one in defaults), *keys.flat_keys(keys.verl_defaults())]
                yield f"{section}.{key}: verl has no such option{keys.suggestion(f'{section}.{key}', known)}"
            elif key in defaults and value != defaults[key] and (problem := _problem(hints[key], value)):
                yield f"{section}.{key}={brief(value)}: {problem}"
    for key, value in values.items():
        if isinstance(value, Mapping):
            below = theirs.get(key)
            yield from _wrong_in(value, below if isinstance(below, Mapping) else {}, f"{section}.{key}")


def _problem(hint: Any, value: Any) -> str | None:
    """Why a value is not of an annotated type; None where it is, or where only verl itself could tell."""
    if isinstance(value, Mapping):
        # A section: its own fields are looked at.
        return None
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        value = tuple(value)
    # verl names files and runs after numbers, too.
    if isinstance(value, int | float) and str in (hint, *typing.get_args(hint)):
        return None
    try:
        # Strict: verl hands a text that reads like a number on as it is.
        TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(value, strict=True)
    except ValidationError as error:
        return error.errors()[0]["msg"]
    except PydanticUserError:
        return None
    return None


def _one_of(known: Iterable[str], value: Any) -> None:
    """Raise with the known names where a value is none of them."""
    names = [str(name) for name in known]
    if value not in names:
        raise ValueError(f"choose from {', '.join(names)}")


def _ask_strategy(value: Any, config: DictConfig) -> None:
    with warnings.catch_warnings():
        # One for each engine whose library is not installed.
        warnings.simplefilter("ignore")
        from verl.workers.engine import EngineRegistry

    _one_of(EngineRegistry._engines["language_model"], value)
    FSDPEngineConfig(strategy=value)


def _ask_loggers(value: Any, config: DictConfig) -> None:
    for name in [value] if isinstance(value, str) else value or []:
        _one_of([*Tracking.supported_backend, "tracking"], name)
        # verl imports it after all weights have been loaded.
        if name in _PACKAGES and importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"{name} is not installed")


_PACKAGES = ("wandb", "mlflow", "swanlab", "tensorboard", "clearml", "trackio")
"""Loggers that are a package of the same name."""


def _ask_correction(value: Any, config: DictConfig) -> None:
    given = {name: value[name] for name in value if name.startswith("rollout_")}
    if given.get("rollout_is") is not None or given.get("rollout_rs") is not None:
        compute_rollout_correction_and_rejection_mask(_ZERO, _ZERO, torch.ones(1, 1), **given)


def _ask_dtypes(value: Any, config: DictConfig) -> None:
    for dtype in value.values() if isinstance(value, DictConfig) else [value]:
        PrecisionType.to_dtype(dtype)


def _ask_checkpoint(value: Any, config: DictConfig) -> None:
    # verl asks itself should_save_model, should_load_extra, ..; of a word that it never asks for nothing is saved.
    for use in ("save", "load"):
        asked = [name.partition(f"should_{use}_")[2] for name in dir(BaseCheckpointManager)]
        # should_save_lora_only is about another key of the config.
        asked = [name for name in asked if name != "lora_only"]
        for word in value.get(f"{use}_contents") or []:
            _one_of(filter(None, asked), word)


def _ask_router(value: Any, config: DictConfig) -> None:
    _resolve_router_class(str(_load_router_yaml(value).get("router_class")))


def _ask_agent_loop(value: Any, config: DictConfig) -> None:
    if not config.actor_rollout_ref.rollout.agent.agent_loop_config_path:
        _one_of(agent_loop._agent_loop_registry, value)


_ZERO = torch.FloatTensor([[0.0]])
_ONE = torch.ones(1, 1, dtype=torch.long)
_MODEL, _ACTOR, _REF, _ROLLOUT = (f"actor_rollout_ref.{name}" for name in ("model", "actor", "ref", "rollout"))
_ATTENTION, _DATASET = f"{_MODEL}.override_config.attn_implementation", "data.custom_cls.path"
_KL, _REWARD = "algorithm.use_kl_in_reward", "reward.custom_reward_function.path"

QUESTIONS = (
    Question(_ACTOR, lambda value, config: omega_conf_to_dataclass(value)),
    Question(_ROLLOUT, lambda value, config: omega_conf_to_dataclass(value)),
    Question(f"{_ACTOR}.strategy", _ask_strategy),
    Question(f"{_REF}.strategy", _ask_strategy),
    Question(
        f"{_ACTOR}.optim",
        lambda value, config: build_optimizer([torch.nn.Parameter(_ZERO)], omega_conf_to_dataclass(value)),
    ),
    Question(f"{_ACTOR}.policy_loss.loss_mode", lambda value, config: _one_of(core_algos.POLICY_LOSS_REGISTRY, value)),
    *(
        Question(penalty, lambda value, config: core_algos.kl_penalty(_ZERO, _ZERO, value), where=switch)
        for penalty, switch in ((f"{_ACTOR}.kl_loss_type", f"{_ACTOR}.use_kl_loss"), ("algorithm.kl_penalty", _KL))
    ),
    Question("algorithm.kl_ctrl", lambda value, config: core_algos.get_kl_controller(value), where=_KL),
    Question("algorithm.rollout_correction", _ask_correction, where="algorithm.rollout_correction"),
    *(
        Question(f"{part}.fsdp_config.{name}", _ask_dtypes, where=f"{part}.fsdp_config.{name}")
        for part in (_ACTOR, _REF)
        for name in ("model_dtype", "mixed_precision")
    ),
    Question(
        _ATTENTION,
        # Ours is registered where models are built only.
        lambda value, config: _one_of(["eager", packed_attention.NAME, *ALL_ATTENTION_FUNCTIONS.valid_keys()], value),
        where=_ATTENTION,
    ),
    Question(f"{_ROLLOUT}.name", lambda value, config: _one_of(RolloutReplicaRegistry._registry, value)),
    Question(f"{_ACTOR}.checkpoint", _ask_checkpoint),
    *(
        Question(seed, lambda value, config: torch.Generator().manual_seed(value), where=seed)
        for seed in ("data.seed", f"{_ACTOR}.data_loader_seed")
    ),
    Question(f"{_ROLLOUT}.router_config_path", _ask_router, where=f"{_ROLLOUT}.router_config_path"),
    *(
        Question(file, lambda value, config: OmegaConf.load(resolve_config_path(value)), where=file)
        for file in (f"{_ROLLOUT}.agent.agent_loop_config_path", f"{_ROLLOUT}.multi_turn.tool_config_path")
    ),
    Question(f"{_ROLLOUT}.agent.default_agent_loop", _ask_agent_loop),
    Question(
        "data.truncation",
        lambda value, config: postprocess_data(_ONE, _ONE, max_length=1, pad_token_id=0, truncation=value),
    ),
    Question(_DATASET, lambda value, config: get_dataset_class(config.data), where=_DATASET),
    Question("reward.reward_manager.name", lambda value, config: resolve_reward_manager_cls(config)),
    Question(_REWARD, lambda value, config: get_custom_reward_fn(config), where=_REWARD),
    Question("trainer.logger", _ask_loggers),
    Question(
        "transfer_queue.backend.storage_backend",
        lambda value, config: _one_of(StorageManagerFactory._registry, value),
    ),
)
"""What is asked, and of whom."""
