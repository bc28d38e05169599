"""Can a run go on from the checkpoint that it will look for? verl says so after all weights are loaded, if at all."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from spark_verl.checks.architecture import model_config
from spark_verl.options import brief, refuse

_SHARD = re.compile(r"model_world_size_(\d+)_rank_\d+\.pt")
_SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size")
_TRACKER = "latest_checkpointed_iteration.txt"


def check_resume(config: DictConfig) -> None:
    """The checkpoint that ``trainer.resume_mode`` leads to is one of this model and of as many ranks.

    Raises:
        ValueError: It is not; a line for each difference.
    """
    mode, trainer = config.trainer.resume_mode, config.trainer
    if mode == "resume_path":
        given = trainer.resume_from_path
        if not isinstance(given, str) or not re.search(r"global_step_\d+/?$", given):
            raise ValueError(f"trainer.resume_from_path must be a folder .../global_step_N, got {brief(given)}")
        key, checkpoint = "trainer.resume_from_path", Path(given)
    elif mode == "auto":
        key, checkpoint = "trainer.default_local_dir", _latest(Path(str(trainer.default_local_dir)).expanduser())
    else:
        return
    if checkpoint is None:
        return
    if not (checkpoint / "actor").is_dir():
        raise ValueError(f"{key}: {brief(checkpoint)} is no checkpoint, it has no folder actor")
    remedy = "trainer.resume_mode=disable or another trainer.default_local_dir starts afresh"
    refuse(f"{key}: {brief(checkpoint)} {what}; {remedy}" for what in _differences(config, checkpoint / "actor"))


def _latest(folder: Path) -> Path | None:
    """The checkpoint that verl goes on from."""
    if not (folder / _TRACKER).is_file():
        return None
    noted = (folder / _TRACKER).read_text(encoding="utf-8", errors="replace").strip()
    if not noted.isdecimal():
        raise ValueError(f"{brief(folder / _TRACKER)} must hold the number of a step, got {brief(noted)}")
    checkpoint = folder / f"global_step_{int(noted)}"
    return checkpoint if checkpoint.is_dir() else None


def _differences(config: DictConfig, actor: Path) -> Iterator[str]:
    ranks = config.trainer.nnodes * config.trainer.n_gpus_per_node
    saved = {int(match[1]) for name in os.listdir(actor) if (match := _SHARD.fullmatch(name))}
    if saved and ranks not in saved:
        yield f"was saved by {max(saved)} ranks, this run has {ranks}"
    mine, theirs = (
        _shape(model_config(str(folder))) for folder in (config.actor_rollout_ref.model.path, actor / "huggingface")
    )
    for name in _SHAPE:
        if name in mine and name in theirs and mine[name] != theirs[name]:
            yield f"is of another model ({name} {theirs[name]}, actor_rollout_ref.model.path has {mine[name]})"
            return
    meta = actor / "lora_train_meta.json"
    rank = json.loads(meta.read_text(encoding="utf-8")).get("r") if meta.is_file() else None
    wanted = config.actor_rollout_ref.model.get("lora_rank") or None
    if saved and rank != wanted:
        yield f"has {f'a LoRA adapter of rank {rank}' if rank else 'no LoRA adapter'}, this run has lora_rank={wanted}"


def _shape(found: Any) -> dict[str, Any]:
    text = found.get_text_config() if found is not None else None
    return {name: getattr(text, name) for name in _SHAPE if getattr(text, name, None) is not None}
