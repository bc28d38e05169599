"""What a model's ``config.json`` says, and which settings do not go with it: can PEFT put the adapter on it?"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from spark_verl import qwen
from spark_verl.checks.model import is_hub_id
from spark_verl.options import LONGEST_REASON, brief, refuse

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PretrainedConfig

_SECTION = "actor_rollout_ref.model"


def known_shape(path: str) -> tuple[str, dict[str, Any]] | None:
    """The entry of :data:`spark_verl.qwen.ARCHITECTURES` for a hub id."""
    return next((shape for known, shape in qwen.ARCHITECTURES.items() if path.split("/")[-1].startswith(known)), None)


def model_config(path: str, trust_remote_code: bool = False) -> PretrainedConfig | None:
    """The config of a model folder, of a model in the hub's cache, or of a known one; None where nothing is at hand.

    Raises:
        ValueError: transformers cannot read it.
    """
    from huggingface_hub import try_to_load_from_cache
    from transformers import AutoConfig

    file = Path(os.path.expanduser(path), "config.json")
    if not file.is_file():
        if shape := known_shape(path):
            return AutoConfig.for_model(shape[0], **shape[1])
        cached = try_to_load_from_cache(path, "config.json") if is_hub_id(path) else None
        if not isinstance(cached, str):
            return None
        file = Path(cached)
    try:
        # False, not None: transformers would ask on the terminal.
        return AutoConfig.from_pretrained(file.parent, trust_remote_code=trust_remote_code)
    except Exception as error:  # whatever a config class makes of the file
        raise ValueError(f"{brief(file)}: transformers cannot read it ({brief(error)})") from error


def empty_model(found: PretrainedConfig, trust_remote_code: bool = False) -> Module | None:
    """The model that a config describes on torch's ``meta`` device, without weights; None where it cannot be built."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    auto = AutoModelForImageTextToText if hasattr(found, "vision_config") else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            return auto.from_config(found, trust_remote_code=trust_remote_code)
    except Exception:  # a model's own code, made from whatever its config.json says
        return None


def check_architecture(config: DictConfig) -> None:
    """The model's heads can be divided as asked, its context is long enough, and LoRA goes with its modules.

    Raises:
        ValueError: They cannot, or it is not; a line for each.
    """
    model, rollout = config.actor_rollout_ref.model, config.actor_rollout_ref.rollout
    found = model_config(str(model.path), model.trust_remote_code)
    if found is not None:
        refuse(_problems(config, found, rollout))
        if model.lora_rank > 0:
            refuse(lora_problems(config, empty_model(found, model.trust_remote_code)))


def _problems(config: DictConfig, found: PretrainedConfig, rollout: DictConfig) -> Iterator[str]:
    from verl.workers.rollout.utils import get_max_position_embeddings

    text = found.get_text_config()
    heads = {"attention heads": text.num_attention_heads}
    vision = {"heads in its vision tower": getattr(getattr(found, "vision_config", None), "num_heads", 0)}
    shared = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    divided = {"rollout.tensor_model_parallel_size": heads | vision, "actor.ulysses_sequence_parallel_size": heads}
    for key, counts in divided.items():
        size = OmegaConf.select(config.actor_rollout_ref, key)
        uneven = [f"{count} {what}" for what, count in counts.items() if count % size]
        # Several ranks may hold a copy of the same key/value head.
        if shared % size and size % shared:
            uneven.append(f"{shared} key/value heads")
        if uneven:
            yield f"actor_rollout_ref.{key}={size} does not divide the model's {' and '.join(uneven)}"
    try:
        context = get_max_position_embeddings(found)
    except ValueError:
        return
    longest = rollout.max_model_len or config.data.max_prompt_length + config.data.max_response_length
    if longest > context:
        key = "actor_rollout_ref.rollout.max_model_len" if rollout.max_model_len else "data.max_prompt_length"
        yield f"{key}: {longest} tokens, the model's context is {context} (max_position_embeddings)"


# -- LoRA --------------------------------------------------------------------------------------------------------------


def lora_problems(config: DictConfig, model: Module | None) -> Iterator[str]:
    """A message for each setting of LoRA that will not do; PEFT is asked with a model that has no weights.

    Args:
        config: The whole config.
        model: The model, on torch's ``meta`` device; None where it cannot be built here. PEFT changes it.
    """
    section = config.actor_rollout_ref.model
    if section.get("lora_adapter_path"):
        adapter = str(section.lora_adapter_path)
        folder = Path(os.path.expanduser(adapter))
        may_be_elsewhere = "://" in adapter or (not folder.is_dir() and "/" in adapter and is_hub_id(adapter))
        if not may_be_elsewhere and not (folder / "adapter_config.json").is_file():
            yield f"{_SECTION}.lora_adapter_path: {brief(folder)} is no adapter, it has no adapter_config.json"
        return  # it says itself which modules it is for
    asked = {
        name: OmegaConf.to_container(value) if OmegaConf.is_config(value := section.get(name)) else value
        for name in ("target_modules", "target_parameters", "exclude_modules")
    }
    if model is not None:
        yield from _adapter_problems(model, {"r": section.lora_rank, "lora_alpha": section.lora_alpha, **asked})


def _adapter_problems(model: Module, asked: dict[str, Any]) -> Iterator[str]:
    from peft import LoraConfig, get_peft_model
    from peft.tuners.tuners_utils import check_target_module_exists

    key, targets = f"{_SECTION}.target_modules", asked["target_modules"]
    names = [name for name, _ in model.named_modules()]
    # PEFT is content when one name of several is found.
    for target in targets if isinstance(targets, list) else ():
        if not any(check_target_module_exists(LoraConfig(target_modules=[target]), name) for name in names):
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


def _linear_layers(model: Module) -> str:
    from torch.nn import Linear

    last = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, Linear)}
    return brief(", ".join(sorted(name for name in last if not name.isdecimal())), LONGEST_REASON)
