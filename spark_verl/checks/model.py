"""Is a model's path one that can be loaded? One answer for training, serving and evaluation, before any of them starts.

Light: neither torch nor transformers is imported.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from spark_verl.options import brief, did_you_mean

_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
_SHARDS = tuple(f"{place}model_world_size_*_rank_*.pt" for place in ("", "actor/", "global_step_*/actor/"))
_MERGE = "bash run_scripts/merge_checkpoint.sh makes a model of it"


def check_model(model: str | None, option: str = "model", at_hand: bool = True) -> str:
    """Check that a model is a folder that can be loaded, or the id of one on the Hugging Face hub.

    Args:
        model: As the user gave it: a folder, a hub id, or a URL (``s3://...``, which is left to who loads it).
        option: What it was given as, for messages.
        at_hand: Whether a hub id must be in the cache here or be known to the hub. A model that is loaded on another
            machine need not be.

    Returns:
        What to load: the folder, a leading ``~`` replaced, or the model as given.

    Raises:
        ValueError: It is neither; one line that says what it is instead and what to do.
    """
    if not model:
        raise ValueError(f"{option} is not set: give a model folder or a hub id")
    path = os.path.expanduser(model)
    if "://" in model:
        return model
    if os.path.isdir(path):
        problem = _problem_of_folder(Path(path))
    elif os.path.isfile(path):
        problem = "is a file: give the folder that it is in"
    elif _looks_local(model):
        problem = f"does not exist{_beside(path)}"
    else:
        problem = _problem_of_hub_id(model, at_hand)
    if problem:
        raise ValueError(f"{option}: {brief(model)} {problem}")
    return path


def _looks_local(model: str) -> bool:
    """Whether something that is not here was meant as a path: a hub id is ``name`` or ``owner/name``."""
    first = model.partition("/")[0]
    return model.startswith(("/", ".", "~")) or model.count("/") > 1 or model.endswith("/") or os.path.isdir(first)


def _beside(path: str) -> str:
    """The folder that may have been meant instead of one that does not exist."""
    parent, name = os.path.split(os.path.abspath(path))
    names = [entry.name for entry in os.scandir(parent) if entry.is_dir()] if os.path.isdir(parent) else []
    return did_you_mean(name, names)


def _problem_of_folder(folder: Path) -> str | None:
    if not (folder / "config.json").is_file():
        inside = next(
            (file.parent for file in sorted(folder.glob("*/config.json")) if _holds(file.parent, _WEIGHTS)), None
        )
        if (folder / "adapter_config.json").is_file():
            return "is a LoRA adapter, not a model: give the base model, or the two merged"
        if inside is not None:
            return f"is no model folder, it has no config.json: did you mean {brief(inside.name)} in it?"
        if _holds(folder, _SHARDS):
            return f"is a checkpoint: {_MERGE}"
        return "is no model folder: it has no config.json"
    config = _read_json(folder / "config.json")
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        return "is no model folder: its config.json has no model_type"
    for index in folder.glob("*.index.json"):
        read = _read_json(index)
        files = read.get("weight_map") if isinstance(read, dict) else None
        named = {str(name) for name in files.values()} if isinstance(files, dict) else ()
        missing = sorted(name for name in named if not (folder / name).is_file())
        if missing:
            return f"is not complete: {missing[0]}, which {index.name} names, is missing"
    if not _holds(folder, _WEIGHTS):
        # A checkpoint keeps config and tokenizer in actor/huggingface, beside the shards of its weights.
        remedy = f": it is part of a checkpoint, and {_MERGE}" if _holds(folder.parent, _SHARDS[:1]) else ""
        return f"has no weights (*.safetensors){remedy}"
    return None


def _holds(folder: Path, patterns: Iterable[str]) -> bool:
    return any(any(folder.glob(pattern)) for pattern in patterns)


def _read_json(file: Path) -> Any:
    """What a file holds; None where that is no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return None


def is_hub_id(text: str) -> bool:
    """Whether a text has the form of an id on the Hugging Face hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True


def _problem_of_hub_id(model: str, at_hand: bool) -> str | None:
    import httpx
    from huggingface_hub import HfApi, constants, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if not is_hub_id(model):
        return "is neither a folder here nor a hub id"
    if not at_hand or isinstance(try_to_load_from_cache(model, "config.json"), str):
        return None
    if constants.HF_HUB_OFFLINE:
        return "is neither a folder here nor in the hub's cache, and HF_HUB_OFFLINE=1 forbids to fetch it"
    try:
        HfApi().model_info(model, timeout=10)
    except RepositoryNotFoundError:
        return "is neither a folder here nor a model of the hub that you may read (hf auth login for private ones)"
    except (HfHubHTTPError, httpx.HTTPError, OSError):
        # The hub does not answer: who loads the model may have another way.
        return None
    return None
