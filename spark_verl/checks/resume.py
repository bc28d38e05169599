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
from spark_verl.trainer import checkpoint
from spark_verl.trainer.ending import say

_SHARD = re.compile(r"model_world_size_(\d+)_rank_\d+\.pt")
_SHAPE = ("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size")


def check_resume(config: DictConfig, mend: bool = True) -> None:
    """The checkpoint that ``trainer.resume_mode`` leads to is whole, of this model and of as many ranks.

    With "auto", one that is not whole is passed over, and said so, for the latest before it that is.

    Args:
        config: The whole config.
        mend: Have verl go on from the checkpoint that was found; False only says which it is.

    Raises:
        ValueError: There is none to go on from, or it does not fit; a line for each difference.
    """
    mode, trainer = config.trainer.resume_mode, config.trainer
    if mode == "resume_path":
        given = trainer.resume_from_path
        if not isinstance(given, str) or not re.search(r"global_step_\d+/?$", given):
            raise ValueError(f"trainer.resume_from_path must be a folder .../global_step_N, got {brief(given)}")
        key, found = "trainer.resume_from_path", Path(given)
        if flaw := checkpoint.flaw(found, trusted=True):
            raise ValueError(f"{key}: {brief(found)} is no whole checkpoint, it {flaw}")
    elif mode == "auto":
        key, found = "trainer.default_local_dir", _latest(Path(str(trainer.default_local_dir)).expanduser(), mend)
    else:
        return
    if found is None:
        return
    remedy = "trainer.resume_mode=disable or another trainer.default_local_dir starts afresh"
    refuse(f"{key}: {brief(found)} {what}; {remedy}" for what in _differences(config, found / "actor"))


def _latest(root: Path, mend: bool) -> Path | None:
    """The checkpoint to go on from: that of verl's tracker or, where it is not whole, the latest before it.

    Raises:
        ValueError: There were checkpoints, and none is whole.
    """
    try:
        tracked, torn = checkpoint.tracked(root), ""
    except ValueError as error:
        tracked, torn = None, str(error)
    flaws = {}
    for step in reversed(checkpoint.steps(root)):
        found = root / f"global_step_{step}"
        flaw = checkpoint.flaw(found)
        if flaw:
            flaws[step] = flaw
        # Later ones than verl's tracker names are passed over: that is how one goes back on purpose.
        elif tracked is None or step <= tracked:
            if flaws or step != tracked:
                missing = f"global_step_{tracked} is not there" if tracked is not None else "no checkpoint was noted"
                say(f"warning: {_list(flaws) or torn or missing}: going on from {brief(found)}")
            if mend and step != tracked:
                checkpoint.track(root, step)
            return found
    if torn:
        raise ValueError(f"{torn}, and no checkpoint beside it is whole: {_list(flaws) or 'there is none'}")
    if tracked is not None and flaws:
        raise ValueError(
            f"trainer.default_local_dir: no checkpoint of {brief(root)} is whole: {_list(flaws)};"
            " trainer.resume_mode=disable or another folder starts afresh"
        )
    if flaws:
        say(f"warning: {_list(flaws)}, and there is no earlier checkpoint: starting afresh")
    return None


def _list(flaws: dict[int, str]) -> str:
    """The latest two of the checkpoints that cannot be used."""
    return ", ".join(f"global_step_{step} {flaw}" for step, flaw in list(flaws.items())[:2])


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
