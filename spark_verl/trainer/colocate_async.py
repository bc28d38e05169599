"""Asynchronous training on the same GPUs: no step waits for its slowest response.

    step t: ... sampling goes on ──► enough questions are ready: break off the rest ──► update ──► the rest goes on
            with what was begun                                                         with the new weights, step t + 1

This is verl's ``colocate_async``. Judge prompts need nothing more: they are launched when their group ends, as ever,
and are under way like questions, so a step trains on the oldest questions that are ready and on all judge prompts that
are. How old a row may be is verl's setting for both (``trainer.v1.sampler``).

A checkpoint has what was ready (verl saves TransferQueue's rows) and what was under way. Questions are begun anew, and
so are judge prompts, whose requests stand in ``spark.json``: without images, which the data have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import transfer_queue as tq
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer

from spark_verl.judge import Plan, StepOutcome
from spark_verl.rollout.async_sampler import SparkReplayBufferAsync
from spark_verl.rollout.routing import AsyncGroupClient
from spark_verl.rollout.sampler import step_outcome
from spark_verl.rollout.tags import Tag, is_padding, request_of, row_of
from spark_verl.trainer.deferred import DeferredPrompts
from spark_verl.trainer.trainer import SparkTrainer

_UNDER_WAY = ("pending", "running")


@register_trainer("spark_colocate_async")
class SparkTrainerColocateAsync(SparkTrainer):
    """verl's colocated asynchronous trainer with judge rows.

    Args:
        config: The whole config; ``trainer.v1.trainer_mode`` is "spark_colocate_async".
    """

    verl_mode = "colocate_async"
    buffer_class = SparkReplayBufferAsync
    client_class = AsyncGroupClient
    _numbers_rows = True

    # ------------------------------------------------------------------ engines that go on

    def on_train_begin(self) -> None:
        """Have more questions under way than a step takes."""
        super().on_train_begin()
        self._add_async_warmup_batches(self.config.trainer.v1.colocate_async.num_warmup_batches)

    def on_sample_end(self) -> None:
        """Break off what is under way."""
        self.checkpoint_manager.abort_replicas()
        super().on_sample_end()

    def on_step_end(self) -> None:
        """Go on with what was broken off."""
        super().on_step_end()
        self.checkpoint_manager.resume_generation_replicas()

    def _pause_engines(self) -> None:
        self.checkpoint_manager.abort_replicas()
        super()._pause_engines()

    def _resume_engines(self, step: int) -> None:
        super()._resume_engines(step)
        self.checkpoint_manager.resume_generation_replicas()

    # ------------------------------------------------------------------ plans that outlive their step

    def _draw_plans(self, count: int) -> list[Plan]:
        # Questions are also submitted one by one, in the place of evicted ones.
        whole = self.config.data.train_batch_size
        return self.balance.plan(count, self.global_steps, of=whole, first=len(self._plans))

    def _outcome(self) -> StepOutcome:
        taken = self.replay_buffer.prompt_tags
        outcome = step_outcome(taken, self._plans, late=True)
        left = self.replay_buffer.prompt_global_steps["train"].keys() - taken.keys()
        self._plans = {uid: plan for uid, plan in self._plans.items() if uid in left}
        return outcome

    # ------------------------------------------------------------------ checkpoints

    def _write_checkpoint(self, step: int) -> None:
        """Also the judge prompts that are under way, as of when verl saves the rest."""
        requests = [request_of(tag) for tag in _tags().values() if tag.get("status") in _UNDER_WAY]
        self._waiting = DeferredPrompts.of([each for each in requests if each], self.train_dataset)
        super()._write_checkpoint(step)

    def _state(self) -> dict[str, Any]:
        return super()._state() | {"deferred": self._waiting.state_dict()}

    def _reissue_inflight_prompts(self, partition_id: str = "train") -> int:
        """verl's for questions; the checkpoint's judge prompts are asked beside the first of them.

        What TransferQueue knows of these gives way: some may have ended between the two looks.
        """
        waiting, tags = {request.uid for request in self.deferred.requests}, _tags(partition_id)
        judges = {
            uid
            for uid, tag in tags.items()
            if tag.get("is_prompt") and row_of(tag).parent and (uid in waiting or tag["status"] in _UNDER_WAY)
        }
        if keys := [key for key in tags if key.split("_")[0] in judges]:
            tq.kv_clear(keys=keys, partition_id=partition_id)
        return super()._reissue_inflight_prompts(partition_id)

    # ------------------------------------------------------------------ what is seen

    def _leaks(self, tags: Mapping[str, Tag]) -> list[str]:
        """Rows without their prompt."""
        return [key for key, tag in tags.items() if not tag.get("is_prompt") and key.split("_")[0] not in tags]

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: dict[str, float],
        global_steps: int,
        epoch: int,
    ) -> None:
        """Also how old policy and judge rows are."""
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        metrics.update(staleness(batch.tags, global_steps))
        metrics["spark/staleness/under_way"] = len(self.replay_buffer.seen.under_way)


def _tags(partition_id: str = "train") -> Mapping[str, Tag]:
    return (tq.kv_list(partition_id) or {}).get(partition_id, {})


def staleness(tags: list[Tag], step: int) -> dict[str, float]:
    """How old the rows of a step are, in updates.

    Args:
        tags: Of the rows; verl's ``min_global_steps`` and ``max_global_steps`` are the steps after which the weights
            that began and ended a row were the newest.
        step: The training step.

    Returns:
        ``spark/staleness/{policy,judge}/{mean,max}``: updates between the weights that began a row and those that it
        updates; ``continued``: share of the rows that were broken off and went on with newer weights.
    """
    found: dict[str, float] = {}
    for role, judge in (("policy", False), ("judge", True)):
        rows = [tag for tag in tags if not is_padding(tag) and bool(row_of(tag).parent) is judge]
        if rows:
            ages = [step - 1 - int(tag["min_global_steps"]) for tag in rows]
            continued = [tag["max_global_steps"] > tag["min_global_steps"] for tag in rows]
            values = {"mean": np.mean(ages), "max": max(ages), "continued": np.mean(continued)}
            found |= {f"spark/staleness/{role}/{name}": float(value) for name, value in values.items()}
    return found
