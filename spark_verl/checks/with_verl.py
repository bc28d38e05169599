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
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from spark_verl.checks import keys
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
        except Exception as error:  # whatever verl, torch or a user's own code raises is the answer
            shown = "" if isinstance(value, DictConfig) else f"={brief(value)}"
            yield f"{key}{shown}: {_reason(error.__cause__ or error)}"
            refused.append(key)


def _reason(error: BaseException) -> str:
    """What an error says; where it says nothing, the assertion that failed."""
    line = traceback.extract_tb(error.__traceback__)[-1].line or ""
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
        except (ImportError, AttributeError, ValueError):
            yield f"{section}._target_: there is no {brief(target)}"
            return
        hints, defaults = typing.get_type_hints(kind), {one.name: one.default for one in dataclasses.fields(kind)}
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


def _registered(registry: Mapping[Any, Any] | list[str], value: Any) -> None:
    """Raise with the known names where a value is none of them."""
    if value not in registry:
        raise ValueError(f"choose from {', '.join(map(str, registry))}")


def _ask_kl_penalty(value: Any, config: DictConfig) -> None:
    import torch
    from verl.trainer.ppo.core_algos import kl_penalty

    log_probabilities = torch.FloatTensor([[0.0]])
    kl_penalty(log_probabilities, log_probabilities, value)


def _ask_policy_loss(value: Any, config: DictConfig) -> None:
    from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY

    _registered(POLICY_LOSS_REGISTRY, value)


def _ask_kl_control(value: Any, config: DictConfig) -> None:
    from verl.trainer.ppo.core_algos import get_kl_controller

    get_kl_controller(config.algorithm.kl_ctrl)


def _ask_optimizer(value: Any, config: DictConfig) -> None:
    import torch
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.config.optimizer import build_optimizer

    build_optimizer([torch.nn.Parameter(torch.zeros(1))], omega_conf_to_dataclass(value))


def _ask_dataclass(value: Any, config: DictConfig) -> None:
    from verl.utils.config import omega_conf_to_dataclass

    omega_conf_to_dataclass(value)


def _ask_dtype(value: Any, config: DictConfig) -> None:
    from verl.utils.torch_dtypes import PrecisionType

    PrecisionType.to_dtype(value)


def _ask_mixed_precision(value: Any, config: DictConfig) -> None:
    for dtype in (value or {}).values():
        _ask_dtype(dtype, config)


def _ask_strategy(value: Any, config: DictConfig) -> None:
    from verl.utils.config import omega_conf_to_dataclass

    with warnings.catch_warnings():
        # One for each engine whose library is not installed.
        warnings.simplefilter("ignore")
        from verl.workers.engine import EngineRegistry

    _registered(EngineRegistry._engines["language_model"], value)
    engine = {**config.actor_rollout_ref.actor.fsdp_config, "strategy": value}
    omega_conf_to_dataclass(OmegaConf.create(engine))


def _ask_rollout(value: Any, config: DictConfig) -> None:
    from verl.workers.rollout.replica import RolloutReplicaRegistry

    _registered(RolloutReplicaRegistry._registry, value)


def _ask_truncation(value: Any, config: DictConfig) -> None:
    import torch
    from verl.utils.torch_functional import postprocess_data

    one = torch.ones(1, 1, dtype=torch.long)
    postprocess_data(one, one, max_length=1, pad_token_id=0, truncation=value)


def _ask_loggers(value: Any, config: DictConfig) -> None:
    from verl.utils.tracking import Tracking

    for name in [value] if isinstance(value, str) else value or []:
        _registered([*Tracking.supported_backend, "tracking"], name)
        if name in _LOGGERS_OF_THEIR_OWN and importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"{name} is not installed")


_LOGGERS_OF_THEIR_OWN = ("wandb", "mlflow", "swanlab", "tensorboard", "clearml", "trackio")
"""Loggers that are a package of the same name, which verl imports after all weights have been loaded."""


def _ask_correction(value: Any, config: DictConfig) -> None:
    import torch
    from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_and_rejection_mask as correct

    zero, given = torch.zeros(1, 1), {name: value.get(name) for name in value if name.startswith("rollout_")}
    if given.get("rollout_is") is not None or given.get("rollout_rs") is not None:
        correct(zero, zero, torch.ones(1, 1), **given)


def _ask_reward_function(value: Any, config: DictConfig) -> None:
    from verl.trainer.ppo.reward import get_custom_reward_fn

    get_custom_reward_fn(config)


def _ask_reward_manager(value: Any, config: DictConfig) -> None:
    from verl.trainer.ppo.reward import resolve_reward_manager_cls

    resolve_reward_manager_cls(config)


def _ask_dataset(value: Any, config: DictConfig) -> None:
    from verl.utils.dataset.rl_dataset import get_dataset_class

    get_dataset_class(config.data)


def _ask_agent_loop(value: Any, config: DictConfig) -> None:
    import verl.experimental.agent_loop  # noqa: F401  (registers verl's own)
    from verl.experimental.agent_loop.agent_loop import _agent_loop_registry

    if not config.actor_rollout_ref.rollout.agent.agent_loop_config_path:
        _registered(_agent_loop_registry, value)


def _ask_attention(value: Any, config: DictConfig) -> None:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if value is not None:
        _registered(["eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()], value)


_MODEL, _ACTOR, _REF, _ROLLOUT = (f"actor_rollout_ref.{name}" for name in ("model", "actor", "ref", "rollout"))

QUESTIONS = (
    Question(_ACTOR, _ask_dataclass),
    Question(_ROLLOUT, _ask_dataclass),
    Question(f"{_ACTOR}.strategy", _ask_strategy),
    Question(f"{_REF}.strategy", _ask_strategy),
    Question(f"{_ACTOR}.optim", _ask_optimizer),
    Question(f"{_ACTOR}.policy_loss.loss_mode", _ask_policy_loss),
    Question(f"{_ACTOR}.kl_loss_type", _ask_kl_penalty, where=f"{_ACTOR}.use_kl_loss"),
    Question("algorithm.rollout_correction", _ask_correction, where="algorithm.rollout_correction"),
    Question("algorithm.kl_penalty", _ask_kl_penalty, where="algorithm.use_kl_in_reward"),
    Question("algorithm.kl_ctrl", _ask_kl_control, where="algorithm.use_kl_in_reward"),
    *(Question(f"{part}.fsdp_config.model_dtype", _ask_dtype) for part in (_ACTOR, _REF)),
    *(Question(f"{part}.fsdp_config.mixed_precision", _ask_mixed_precision) for part in (_ACTOR, _REF)),
    Question(f"{_MODEL}.override_config.attn_implementation", _ask_attention),
    Question(f"{_ROLLOUT}.name", _ask_rollout),
    Question(f"{_ROLLOUT}.agent.default_agent_loop", _ask_agent_loop),
    Question("data.truncation", _ask_truncation),
    Question("data.custom_cls.path", _ask_dataset, where="data.custom_cls.path"),
    Question("reward.reward_manager.name", _ask_reward_manager),
    Question("reward.custom_reward_function.path", _ask_reward_function, where="reward.custom_reward_function.path"),
    Question("trainer.logger", _ask_loggers),
)
"""What is asked, and of whom."""
