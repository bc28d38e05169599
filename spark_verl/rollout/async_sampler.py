"""The sampler of asynchronous training: a step takes what is ready, and leaves the rest under way.

policy prompts: pending ──► running ──► finished ──► the oldest train_batch_size of them ─┐
judge prompts:  pending ──► running ──► finished ──► all of them ─────────────────────────┴──► one batch

verl's asynchronous buffer counts prompts, whatever they are; judge prompts would take the place of questions. Here they
come on top, and neither an evicted one nor a failed one is made up for by a question.
"""

from __future__ import annotations

from collections import Counter

from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBufferAsync
from verl.utils.skip import SkipManager

from spark_verl.rollout.sampler import TaggedReplayBuffer

Reasons = tuple[set[str], set[str], set[str], Counter]
"""verl's: uids of prompts that are too old, filtered, failed; and what was filtered."""


class SparkReplayBufferAsync(TaggedReplayBuffer, ReplayBufferAsync):
    """verl's asynchronous replay buffer that knows judge prompts from questions.

    Age, eviction and waiting (``max_off_policy_threshold`` and ``max_off_policy_strategy`` of ``trainer.v1.sampler``)
    are verl's and hold for both.
    """

    evicted_judge_prompts = 0
    """Since the last step: too old, or failed."""

    _tells_apart = True

    def _evict_terminal_groups(
        self, global_steps: int, partition_id: str, eviction_reasons: Reasons
    ) -> tuple[set[str], int, int, dict]:
        """verl's; says of the questions alone that they were evicted, since as many are sampled anew."""
        evicted, stale, filtered, metrics = super()._evict_terminal_groups(global_steps, partition_id, eviction_reasons)
        self.evicted_judge_prompts += len(evicted & self._judges.keys())
        return evicted - self._judges.keys(), stale, filtered, metrics

    def _has_enough_samples(
        self, global_steps: int, partition_id: str, batch_size: int, sampleable_keys: set[str]
    ) -> bool:
        """Whether there are enough questions."""
        questions = sampleable_keys - self._judges.keys()
        return super()._has_enough_samples(global_steps, partition_id, batch_size, questions)

    @SkipManager.annotate_tq(role="rollout_tq", phase="sample")
    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict]:
        """Wait for ``batch_size`` questions, evicting and replacing meanwhile, and take all judge prompts there are.

        Args:
            global_steps: The training step.
            partition_id: "train" or "val".
            batch_size: Number of questions.

        Returns:
            Their rows, and metrics of the transform and of verl's eviction.

        Raises:
            RunEnded: There is not a single row.
        """
        ready, evicted = self.wait_for_sampleable(global_steps, partition_id, batch_size)
        questions, rows, _ = self._select_prompt_uids(partition_id, ready - self._judges.keys(), batch_size)
        taken, metrics = self._take(partition_id, {*questions, *(ready & self._judges.keys())}, rows, global_steps)
        if partition_id != "val":
            metrics |= {**evicted, "spark/judge/evicted": self.evicted_judge_prompts}
            self.evicted_judge_prompts = 0
        return taken, metrics

    def _wait_for_next_poll(self, partition_id: str, last_debug_time: float) -> float:
        self._note(partition_id)
        return super()._wait_for_next_poll(partition_id, last_debug_time)
