"""The rollout dump: verl's JSONL with what tells policy rows from judge rows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.utils.debug import marked_timer

from spark_verl.rollout.tags import is_padding, row_of
from spark_verl.trainer.batch import fetch, reward_infos, subset

logger = logging.getLogger(__name__)

SPARK_COLUMNS = ("role", "objective", "source", "label_form", "about", "parent", "supervision")
INFO_COLUMNS = ("acc", "format", "status", "answer", "index", "data_source")


def dump_rollouts(trainer: PPOTrainer, batch: KVBatchMeta, timing_raw: dict[str, float], folder: str) -> None:
    """Write the step's rows to ``folder/<step>.jsonl`` in verl's format, policy rows first, groups together.

    Beside verl's columns (input, output, gts, score, step, uid) each line has its advantage, its response's length in
    tokens, and the columns of :data:`SPARK_COLUMNS` and :data:`INFO_COLUMNS`; verl's ``scripts/rollout_viewer.py``
    shows them all.

    Args:
        trainer: The trainer: its tokenizer decodes, its background thread writes.
        batch: All rows of the step. Padding rows are left out.
        timing_raw: Gets ``dump_rollout_generations`` in seconds.
        folder: ``trainer.rollout_data_dir``.
    """
    with marked_timer("dump_rollout_generations", timing_raw, color="green"):
        rows = subset(batch, [not is_padding(tag) for tag in batch.tags])
        rows.reorder(sorted(range(len(rows)), key=lambda i: (row_of(rows.tags[i]).role != "policy", rows.keys[i])))
        stored = [row_of(tag).to_dict() for tag in rows.tags]
        fields = ("prompts", "responses", "rm_scores", "reward_model", "extra_fields", "advantages", "response_mask")
        data = fetch(rows, *fields)
        infos = reward_infos(data)

        def decode(nested: torch.Tensor) -> list[str]:
            return [trainer.tokenizer.decode(ids, skip_special_tokens=True) for ids in nested.unbind()]

        columns = {"uid": list(rows.keys), "advantage": _per_row(data["advantages"], data["response_mask"])}
        for name in SPARK_COLUMNS:
            columns[name] = [row[name] for row in stored]
        columns["response_length"] = [tag["response_len"] for tag in rows.tags]
        for name in INFO_COLUMNS:
            columns[name] = [info.get(name) for info in infos]
        trainer._dump_generations(
            inputs=decode(data["prompts"]),
            outputs=decode(data["responses"]),
            gts=[reward_model.get("ground_truth") for reward_model in data["reward_model"]],
            scores=[score.sum().item() for score in data["rm_scores"].unbind()],
            reward_extra_infos_dict=columns,
            dump_path=folder,
        )


def write_if_possible(write: Callable[..., None], *arguments: Any) -> None:
    """Write a dump; a disk that has no room for it costs the dump, not the run.

    Args:
        write: verl's function.
        arguments: Its arguments: the columns, then the dump's folder and the training step.
    """
    folder, step = arguments[-2:]
    try:
        write(*arguments)
    except OSError as error:
        logger.warning(f"step {step} is not dumped: {error}")
        # Half a dump would be taken for all of the step's rows.
        Path(folder, f"{step}.jsonl").unlink(missing_ok=True)


def _per_row(advantages: torch.Tensor, response_mask: torch.Tensor) -> list[float]:
    """The advantage of each row: GRPO gives every generated token of a row the same one."""
    return [
        (row * mask).sum().item() / max(1, int(mask.sum()))
        for row, mask in zip(advantages.unbind(), response_mask.unbind(), strict=True)
    ]
