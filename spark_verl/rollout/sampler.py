"""The sampler: waits until a step's policy and judge rollouts have all ended, and says which row is which.

policy and judge prompts: pending ──► running ──► finished | failure        (nothing pending or running: the step
rows of the finished ones ──► one batch, each row with the tag of its prompt                          is complete)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import transfer_queue as tq
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer
from verl.utils.skip import SkipManager

from spark_verl.judge import Plan, StepOutcome
from spark_verl.rollout.tags import Tag, group_of, put_row, row_of
from spark_verl.trainer.ending import RunEnded
from spark_verl.vocabulary import POLICY, Outcome, RowTag, Supervision


@dataclass(frozen=True)
class Seen:
    """How far a step's rollouts were at the last look.

    Attributes:
        ended: Number of prompts that have ended.
        rows: Number of rows that are there.
        under_way: uids of the prompts that have not ended.
    """

    ended: int = 0
    rows: int = 0
    under_way: frozenset[str] = frozenset()


class SparkReplayBuffer(ReplayBuffer):
    """verl's synchronous replay buffer, with judge rows and a fast poll.

    A judge prompt is registered before its parent's status becomes terminal, so "nothing pending, nothing running"
    means that the step is complete, judge rows included. Every row's tag then says what the row is
    (:func:`spark_verl.rollout.tags.row_of`).

    Args:
        poll_interval: Seconds between two looks at TransferQueue; verl's default is 2.
        kwargs: As for verl's class.
    """

    prompt_tags: dict[str, Tag] = {}
    """``{uid: tag}`` of all policy and judge prompts of the last training step."""

    seen = Seen()
    """For whoever watches from another thread."""

    supervision: Mapping[str, Supervision] = {}
    """``{uid: where its reward comes from}`` of the step's policy prompts, as the trainer submitted them; labelled
    ones may be absent."""

    select: Callable[[KVBatchMeta, Mapping[str, Tag], int], tuple[KVBatchMeta, dict[str, float]]] | None = None
    """With ``spark.self_reward``: takes a step's rows, its prompts' tags and the step, gives the rows to train on."""

    @SkipManager.annotate_tq(role="rollout_tq", phase="sample")
    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict]:
        """Wait for all prompts of the partition and take all their rows.

        Args:
            global_steps: The training step.
            partition_id: "train" or "val".
            batch_size: Number of prompts that the trainer submitted. More are returned when there are judge prompts.

        Returns:
            The rows, ordered by key so that arrival order never decides anything, and metrics of the transform.

        Raises:
            RunEnded: All rollouts of the step failed.
        """
        last_log = time.time()
        while True:
            self._sync_metadata_from_transfer_queue()
            ended = self.finished_keys[partition_id] | self.failure_keys[partition_id]
            under_way = self.pending_keys[partition_id] | self.running_keys[partition_id]
            self.seen = Seen(len(ended), len(self.partitions[partition_id]), frozenset(under_way))
            if len(ended) >= batch_size and not under_way:
                break
            last_log = self._wait_for_next_poll(partition_id, last_log)

        # One more look for the tags: the loop above reads status only, and both must be of the same, final state.
        prompt_tags = {
            key: tag for key, tag in (tq.kv_list(partition_id) or {}).get(partition_id, {}).items() if key in ended
        }
        rows = self._materialize_batch(partition_id, sorted(ended), dict(self.partitions[partition_id]))
        if partition_id != "val" and not rows.keys:
            raise RunEnded(
                f"step {global_steps}: all {len(ended)} prompts failed to give a single rollout; "
                "the agent-loop worker's log above has the reason"
            )
        order = sorted(range(len(rows.keys)), key=rows.keys.__getitem__)
        rows.reorder(order)
        for i, key in enumerate(rows.keys):
            rows.tags[i] = put_row(rows.tags[i], self._row(key.split("_")[0], prompt_tags))
        if rows.keys:
            # verl reads the tags back from TransferQueue with every put, so they have to be there as well.
            tq.kv_batch_put(keys=rows.keys, partition_id=partition_id, tags=rows.tags)
        failed = len(self.failure_keys[partition_id])
        if partition_id == "val":
            return rows, {}
        self.prompt_tags = prompt_tags
        metrics = transform_metrics(prompt_tags, failed)
        if self.select:
            rows, of_judge = self.select(rows, prompt_tags, global_steps)
            metrics.update(of_judge)
        return rows, metrics

    def _row(self, uid: str, prompt_tags: Mapping[str, Tag]) -> RowTag:
        """What the rows of a prompt are."""
        if uid in self.supervision:
            return RowTag(supervision=self.supervision[uid])
        return row_of(prompt_tags.get(uid, {}))


def transform_metrics(prompt_tags: Mapping[str, Tag], failed_groups: int) -> dict[str, float]:
    """What the judge transform of a step did.

    Args:
        prompt_tags: ``{uid: tag}`` of all prompts of the step, as the agent-loop workers wrote them.
        failed_groups: Number of groups with at least one failed rollout.

    Returns:
        ``spark/judge/skipped/<reason>`` and ``spark/judge/adapted/<how>`` counts, the transform's seconds summed over
        groups, failed groups.
    """
    metrics: dict[str, float] = {"spark/failed_groups": failed_groups}
    records = [record for tag in prompt_tags.values() if (record := group_of(tag))]
    for record in records:
        for kind, counts in (("skipped", record.skipped), ("adapted", record.adapted)):
            for reason, count in counts.items():
                name = f"spark/judge/{kind}/{reason}"
                metrics[name] = metrics.get(name, 0) + count
    metrics["spark/judge/transform_seconds"] = sum(record.seconds for record in records)
    return metrics


def step_outcome(prompt_tags: Mapping[str, Tag], plans: Mapping[str, Plan]) -> StepOutcome:
    """What a step's groups turned out to be and gave, for the balance controller.

    Args:
        prompt_tags: ``{uid: tag}`` of all prompts of the step.
        plans: ``{uid: plan}`` of its policy prompts.
    """
    outcome = StepOutcome()
    for uid, tag in sorted(prompt_tags.items()):
        if uid in plans:
            # A group that failed before it was judged has no outcome; it gave nothing.
            record = group_of(tag)
            outcome.add_group(record.outcome if record else Outcome.NONE, plans[uid])
        elif (row := row_of(tag)) != POLICY:
            outcome.add_prompt(row.objective, row.about or "", bool(row.positive))
    return outcome
