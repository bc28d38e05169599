"""Can PEFT put the adapter on the model that the config asks for? It is asked with a model that has no weights."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from spark_verl.options import LONGEST_REASON, brief

if TYPE_CHECKING:
    from torch.nn import Module

_SECTION = "actor_rollout_ref.model"


def lora_problems(config: DictConfig, model: Module | None) -> Iterator[str]:
    """A message for each setting of LoRA that will not do.

    Args:
        config: The whole config.
        model: The model, on torch's ``meta`` device; None where it cannot be built here. PEFT changes it.
    """
    section = config.actor_rollout_ref.model
    if section.get("lora_adapter_path"):
        adapter = str(section.lora_adapter_path)
        folder = Path(os.path.expanduser(adapter))
        may_be_elsewhere = "://" in adapter or (not folder.is_dir() and _is_hub_id(adapter))
        if not may_be_elsewhere and not (folder / "adapter_config.json").is_file():
            yield f"{_SECTION}.lora_adapter_path: {brief(folder)} is no adapter, it has no adapter_config.json"
        return  # it says itself which modules it is for
    asked = {
        name: OmegaConf.to_container(value) if OmegaConf.is_config(value := section.get(name)) else value
        for name in ("target_modules", "target_parameters", "exclude_modules")
    }
    if model is not None:
        yield from _problems(model, {"r": section.lora_rank, "lora_alpha": section.lora_alpha, **asked})


def _is_hub_id(text: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return "/" in text


def _problems(model: Module, asked: dict[str, Any]) -> Iterator[str]:
    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import check_target_module_exists

    key, targets = f"{_SECTION}.target_modules", asked["target_modules"]
    # PEFT is content when one name of several is found.
    for target in targets if isinstance(targets, list) else ():
        if not any(check_target_module_exists(LoraConfig(target_modules=[target]), name) for name in _names(model)):
            yield f"{key}: the model has no module {brief(target)}, its linear layers are {_linear_layers(model)}"
            return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PEFT about the model's weights
            get_peft_model(model, LoraConfig(**asked))
    except Exception as error:  # PEFT raises anything from re.error to TypeError
        left_out = f", exclude_modules={brief(asked['exclude_modules'])}" if asked["exclude_modules"] else ""
        reason = f"{brief(error, LONGEST_REASON)}; the model's linear layers are {_linear_layers(model)}"
        yield f"{key}={brief(targets)}{left_out}: {reason}"


def _names(model: Module) -> list[str]:
    return [name for name, _ in model.named_modules()]


def _linear_layers(model: Module) -> str:
    from torch.nn import Linear

    last = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, Linear)}
    return brief(", ".join(sorted(name for name in last if not name.isdecimal())), LONGEST_REASON)
