"""SparkTrainer: verl's synchronous PPO trainer on policy rows and judge rows.

One step is verl's step, unchanged in order; what stands in brackets is added here::

    [plan judge data] ──► sample ──► balance ranks [spread padding] ──► old and reference log-probabilities
           ▲                │                                                      │
           │     [reward unlabelled groups] ─────────────────────────────┐         │
           └── [learn from outcomes]        update, weight sync ◄── advantages [silence, weigh]

The rows of judge prompts simply are in the batch; GRPO normalises them in their own groups because a judge prompt has
its own uid. With ``spark.judge_step: next`` they are sampled beside the questions of the step after the one that built
them (:mod:`spark_verl.trainer.deferred`).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import ray
import transfer_queue as tq
from omegaconf import DictConfig, open_dict
from tensordict import TensorDict
from torchdata.stateful_dataloader import StatefulDataLoader
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import collate_fn
from verl.utils.metric import reduce_metrics
from verl.utils.py_functional import rename_dict
from verl.workers.rollout.llm_server import LLMServerClient

from spark_verl.config import load_spark_config
from spark_verl.judge import BalanceController, Plan, StepOutcome
from spark_verl.rollout.routing import GroupClient, route_groups
from spark_verl.rollout.sampler import SparkReplayBuffer, TaggedReplayBuffer, step_outcome
from spark_verl.rollout.tags import Tag, is_padding, pending_tags, row_of
from spark_verl.self_reward.questions import divide
from spark_verl.trainer import advantages
from spark_verl.trainer.alarm import SelfConfirmationAlarm
from spark_verl.trainer.batch import spread_padding, subset
from spark_verl.trainer.deferred import DeferredPrompts
from spark_verl.trainer.dump import dump_rollouts
from spark_verl.trainer.lasting import LastingTrainer
from spark_verl.trainer.metrics import overall_metrics, response_limits, row_metrics
from spark_verl.trainer.mixture import MixtureSampler, NumberedDataset
from spark_verl.trainer.self_rewarding import SelfRewarding
from spark_verl.vocabulary import POLICY, Supervision

LABELLED = Supervision.LABELLED

logger = logging.getLogger(__name__)


@register_trainer("spark")
class SparkTrainer(LastingTrainer):
    """verl's synchronous trainer with judge rows; plain GRPO when ``spark.enable`` is false.

    Args:
        config: The whole config; ``trainer.v1.trainer_mode`` is "spark".
    """

    verl_mode = "sync"
    """verl's name for what this is; it takes every other one for asynchronous (checkpoints, data loader)."""
    buffer_class: type[TaggedReplayBuffer] = SparkReplayBuffer
    client_class: type[LLMServerClient] = GroupClient
    """verl's client, which says which group a sample belongs to."""
    started_at: float | None = None
    """When the run's first process started (seconds since the epoch); set by ``spark_verl.main``."""

    def __init__(self, config: DictConfig) -> None:
        self.spark = load_spark_config(config)
        with open_dict(config):
            config.trainer.v1.trainer_mode = self.verl_mode
            if self.spark.route_groups:
                route_groups(config)
        self.balance = BalanceController(self.spark)
        self._plans: dict[str, Plan] = {}
        # The step's questions, as they were submitted.
        self._asked: list[TensorDict] = []
        self.deferred = DeferredPrompts()
        self.self_reward = SelfRewarding(self.spark) if self.spark.self_reward.enable else None
        self.alarm = SelfConfirmationAlarm(self.spark.alarm_window) if self.spark.alarm_window else None
        super().__init__(config, self.spark.stall_timeout_s)

    def _build_replay_buffer(self) -> TaggedReplayBuffer:
        sampler = self.config.trainer.v1.sampler
        buffer = self.buffer_class(
            trainer_mode=self.trainer_mode,
            trainer_config=self.config.trainer.v1.get(self.trainer_mode, {}),
            max_off_policy_threshold=sampler.max_off_policy_threshold,
            max_off_policy_strategy=sampler.max_off_policy_strategy,
            sampler_kwargs=sampler.sampler_kwargs,
            refill_fn=self._add_prompts_to_generate,
            filter_groups_metric=self._resolve_filter_groups_metric(),
            train_batch_size=self.config.data.train_batch_size,
            max_inflight_gen_batches=self.config.algorithm.filter_groups.max_inflight_gen_batches,
            poll_interval=self.spark.poll_interval_s,
        )
        buffer.select = self.self_reward.select if self.self_reward else None
        return buffer

    def get_llm_client(self) -> LLMServerClient:
        """verl's client, of :attr:`client_class`."""
        return self.llm_server_manager.get_client(client_cls=self.client_class)

    def _init_dataloader(self) -> None:
        """verl's; rows have numbers where these are asked for, and each kind of row comes in its share."""
        super()._init_dataloader()
        if not self.self_reward and not self._numbers_rows:
            return
        data, config, supervision = self.config.data, self.spark.self_reward, None
        sampler, batch_size = self.train_dataloader.sampler, self.train_dataloader.batch_size
        if self.self_reward:
            truths = [row.get("ground_truth") is not None for row in self.train_dataset.dataframe["reward_model"]]
            supervision, batch_size = divide(truths, config, self.spark.seed), data.train_batch_size
            sampler = MixtureSampler(supervision, batch_size, config, self.spark.seed)
        self.train_dataloader = StatefulDataLoader(
            dataset=NumberedDataset(self.train_dataset, supervision),
            batch_size=batch_size,
            num_workers=data.dataloader_num_workers,
            drop_last=True,
            collate_fn=collate_fn,
            sampler=sampler,
        )

    @property
    def _numbers_rows(self) -> bool:
        """Whether a judge prompt may outlive its step, so that its question has to be found again."""
        return self.spark.defers

    def fit(self, agent_loop_manager: Any) -> None:
        """verl's training loop; notes how long everything before it took."""
        # Workers import for seconds after they were asked for; the start-up ends when they are there.
        ray.get([worker.__ray_ready__.remote() for worker in agent_loop_manager.agent_loop_workers])
        self.startup_seconds = time.time() - self.started_at if self.started_at else 0.0
        super().fit(agent_loop_manager)

    def on_step_begin(self) -> None:
        """Count what an earlier step left in TransferQueue: anything but zero is a leak."""
        super().on_step_begin()
        self._leaked_keys = len(self._leaks((tq.kv_list("train") or {}).get("train", {})))

    def _leaks(self, tags: Mapping[str, Tag]) -> list[str]:
        """Which of the keys between two steps nobody will take."""
        return [*tags]

    # ------------------------------------------------------------------ planning judge data

    def _submit_batch_to_rollout(self, batch: TensorDict) -> int:
        """Hand every prompt its plan: which judge prompts to build from it when its rollouts are there."""
        if self.spark.enable:
            # Judges are trained on true labels only, and on nothing that measures them.
            known = "spark_supervision" in batch
            kinds = [Supervision(kind) for kind in batch["spark_supervision"]] if known else [LABELLED] * len(batch)
            drawn = iter(self._draw_plans(kinds.count(LABELLED)))
            plans = [next(drawn) if kind is LABELLED else Plan() for kind in kinds]
            uids = list(batch["uid"])
            self._plans |= {uid: plan for uid, plan, kind in zip(uids, plans, kinds, strict=True) if kind is LABELLED}
            self.replay_buffer.supervision = dict(zip(uids, kinds, strict=True))
            tu.assign_non_tensor_stack(batch, "spark_plan", plans)
            self._ask_deferred()
        if self.spark.defers:
            self._asked.append(batch)
        return super()._submit_batch_to_rollout(batch)

    def _draw_plans(self, count: int) -> list[Plan]:
        """What as many groups, submitted together, are asked for; with group filtering they are not all of a step's."""
        whole = self.config.data.train_batch_size if self.replay_buffer.filter_groups_metric else None
        return self.balance.plan(count, self.global_steps, of=whole, first=len(self._plans))

    def _ask_deferred(self) -> None:
        """Sample the judge prompts that the step before has deferred; not before they are registered as pending."""
        requests, batch = self.deferred.take(self.global_steps)
        if batch is not None:
            tags = pending_tags(requests, self.global_steps, whole=self.verl_mode != "sync")
            tq.kv_batch_put(keys=[request.uid for request in requests], partition_id="train", tags=tags)
            self.agent_loop_manager.generate_sequences(batch)

    def on_sample_end(self) -> None:
        """All prompts of the step have ended: learn from how they turned out."""
        super().on_sample_end()
        if self.spark.enable:
            self.balance.update(self._outcome())
        for asked in self._asked:
            self.deferred.collect(self.replay_buffer.prompt_tags, asked)
        self._asked = []

    def _outcome(self) -> StepOutcome:
        """How the step's groups turned out, and what they gave; their plans are forgotten."""
        plans, self._plans = self._plans, {}
        return step_outcome(self.replay_buffer.prompt_tags, plans)

    def _state(self) -> dict[str, Any]:
        """The balance controller's, the alarm's, self-reward's, and judge prompts that wait."""
        parts = {"balance": self.balance, "alarm": self.alarm}
        if self.self_reward:
            parts["self_reward"] = self.self_reward.controller
        if self.spark.defers:
            parts["deferred"] = self.deferred
        return {name: part.state_dict() if part else None for name, part in parts.items()}

    def _restore(self, state: dict[str, Any]) -> None:
        self.balance.load_state_dict(state["balance"])
        if self.alarm and state.get("alarm"):
            self.alarm.load_state_dict(state["alarm"])
        if self.self_reward and state.get("self_reward"):
            self.self_reward.controller.load_state_dict(state["self_reward"])
        # Whatever judge_step is now: they were built to be asked in this step.
        if self.spark.enable and state.get("deferred"):
            self.deferred.load_state_dict(state["deferred"], self.train_dataset)

    @property
    def _is_last_step(self) -> bool:
        """Whether verl's loop ends with this step: at the number of steps, or at that of epochs."""
        epochs = self.global_steps // self.steps_per_epoch
        return self.global_steps >= self.total_training_steps or epochs >= self.config.trainer.total_epochs

    # ------------------------------------------------------------------ one update

    @property
    def _mini_batches_per_step(self) -> int:
        """Optimizer steps per training step, as configured for the policy rows alone."""
        return max(1, self.config.data.train_batch_size // self.config.actor_rollout_ref.actor.ppo_mini_batch_size)

    def _get_required_batch_multiple(self, dp_size: int) -> int:
        """Rows are padded to a multiple of this.

        verl pads to whole mini-batches of ``ppo_mini_batch_size * rollout.n`` rows. Judge rows come in varying
        numbers, so that could be hundreds of padding rows; here the mini-batches grow with the judge rows instead
        (:meth:`_update_actor`), and only an even split is needed: over mini-batches and data-parallel ranks, and over
        micro-batches where those have a fixed number of rows (``use_dynamic_bsz: false``).
        """
        if not self.spark.enable or self.use_critic:
            return super()._get_required_batch_multiple(dp_size)
        config = self.config.actor_rollout_ref
        multiple = dp_size * self._mini_batches_per_step
        if not config.actor.use_dynamic_bsz:
            multiple *= config.actor.ppo_micro_batch_size_per_gpu
        inference = [config.rollout, config.ref] if self.use_reference_policy else [config.rollout]
        for part in inference:
            if not part.log_prob_use_dynamic_bsz:
                multiple = math.lcm(multiple, dp_size * part.log_prob_micro_batch_size_per_gpu)
        return multiple

    def _balance_batch(
        self, batch: KVBatchMeta, metrics: dict, logging_prefix: str = "global_seqlen", keep_minibatch: bool = False
    ) -> KVBatchMeta:
        """verl's padding and split over ranks; then each rank's padding rows are spread over its mini-batches.

        verl appends them, and mini-batches are taken in order: with micro-batches of a fixed number of rows the padding
        may be as long as a mini-batch, which would be an optimizer step on nothing, or on a handful of rows.
        """
        batch = super()._balance_batch(batch, metrics, logging_prefix, keep_minibatch)
        if self.spark.enable:
            ranks = max(self.actor_rollout_wg._dispatch_info["actor"]) + 1
            batch.reorder(spread_padding([is_padding(tag) for tag in batch.tags], ranks))
        return batch

    def _update_actor(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        """One actor update on policy and judge rows together.

        The number of optimizer steps stays what the config asks for the policy rows; each mini-batch just holds its
        share of the judge rows, too. The loss is divided by the number of real rows, so padding weighs nothing.
        """
        if not self.spark.enable:
            return super()._update_actor(batch, metrics)
        actor = self.config.actor_rollout_ref.actor
        real_rows = sum(not is_padding(tag) for tag in batch.tags)
        batch.extra_info = {
            **(batch.extra_info or {}),
            **{
                "calculate_entropy": actor.calculate_entropy or actor.entropy_coeff != 0.0,
                "distillation_use_topk": False,
                "distillation_only": False,
                "global_batch_size": max(1, round(real_rows / self._mini_batches_per_step)),
                "mini_batch_size": len(batch) // self._mini_batches_per_step,
                "epochs": actor.ppo_epochs,
                "seed": actor.data_loader_seed,
                "dataloader_kwargs": {"shuffle": actor.shuffle},
                "temperature": self.config.actor_rollout_ref.rollout.temperature,
            },
        }
        output = rename_dict(self.actor_rollout_wg.update_actor(batch)["metrics"], "actor/")
        output["perf/mfu/actor"] = output.pop("actor/mfu")
        metrics.update(reduce_metrics(output))
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict) -> KVBatchMeta:
        """verl's advantages per uid times the weight of the row's objective; 0 for rows that must not teach."""
        if not self.spark.enable:
            return super()._compute_advantage(batch, metrics)
        silent = advantages.isolate_unverified(batch)
        batch = super()._compute_advantage(batch, metrics)
        factors = {i: self.spark.weight_of(row_of(tag).objective) for i, tag in enumerate(batch.tags)}
        advantages.scale(batch, factors | dict.fromkeys(silent, 0.0))
        unlabelled = [row_of(tag).supervision is Supervision.UNLABELLED for tag in batch.tags]
        metrics["spark/silent_rows"] = sum(not is_padding(batch.tags[i]) and not unlabelled[i] for i in silent)
        if self.self_reward:
            metrics.update(self.self_reward.reward(batch))
        return batch

    # ------------------------------------------------------------------ what is seen

    def _validate(self) -> dict[str, Any]:
        """verl's validation; the alarm takes its figures as the policy's progress."""
        metrics = super()._validate()
        if self.alarm:
            self.alarm.validated(self.global_steps, metrics)
        return metrics

    def _compute_metrics(
        self,
        batch: KVBatchMeta,
        metrics: dict[str, Any],
        timing_raw: dict[str, float],
        global_steps: int,
        epoch: int,
    ) -> None:
        """verl's metrics for the policy rows, ``spark/*`` for policy and judge rows, throughput for all of them."""
        policy = subset(batch, [row_of(tag) == POLICY for tag in batch.tags])
        super()._compute_metrics(policy if policy.keys else batch, metrics, timing_raw, global_steps, epoch)
        metrics.update(row_metrics(batch, response_limits(self.config, self.spark)))
        metrics["spark/startup_seconds"] = self.startup_seconds
        metrics["spark/leaked_keys"] = self._leaked_keys
        if self.spark.enable:
            shares = self.balance.shares(self.config.data.train_batch_size)
            metrics.update({f"spark/balance/{name}": value for name, value in shares.items()})
        if self.spark.defers:
            metrics.update(self.deferred.metrics(self._is_last_step))
        if self.alarm:
            found = self.alarm.update(global_steps, metrics)
            metrics.update({f"spark/alarm/{name}": value for name, value in found.items()})
            if self.self_reward:
                self.self_reward.controller.alarm = bool(found.get("self_confirmation"))
            if found.get("self_confirmation"):
                logger.warning(
                    f"step {global_steps}: the judge says Yes {found['yes_drift']:+.0%} more often than "
                    f"{self.alarm.window} steps ago, and accuracy has not risen ({found['accuracy_drift']:+.1%})"
                )
        metrics.update(overall_metrics(batch, timing_raw, self._get_n_gpus_for_throughput()))

    def _log_rollout_data(self, batch: KVBatchMeta, timing_raw: dict[str, float], rollout_data_dir: str) -> None:
        """verl's rollout dump with each row's role, objective, verdict and parent."""
        dump_rollouts(self, batch, timing_raw, rollout_data_dir)
        if self.self_reward:
            self.self_reward.dump(rollout_data_dir, self.global_steps)
