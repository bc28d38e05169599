"""The sampler: waits until a step's policy and judge rollouts have all ended, and says which row is which.

policy and judge prompts: pending ──► running ──► finished | failure        (nothing pending or running: the step
rows of the finished ones ──► one batch, each row with the tag of its prompt                          is complete)
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import transfer_queue as tq
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, _accumulate_eviction_metrics
from verl.utils.skip import SkipManager

from spark_verl.judge import Plan, StepOutcome
from spark_verl.options import RunEnded
from spark_verl.rollout.tags import Tag, group_of, put_row, row_of
from spark_verl.vocabulary import Outcome, RowTag, Supervision

logger = logging.getLogger(__name__)


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


class TaggedReplayBuffer(ReplayBuffer):
    """What the trainer sees of a step beyond verl's rows; see the classes that derive from it."""

    prompt_tags: dict[str, Tag] = {}
    """``{uid: tag}`` of all policy and judge prompts of the last training step."""

    seen = Seen()
    """For whoever watches from another thread."""

    supervision: Mapping[str, Supervision] = {}
    """``{uid: where its reward comes from}`` of the step's policy prompts, as the trainer submitted them; labelled
    ones may be absent."""

    _judges: Mapping[str, str] = {}
    """``{uid: that of the question}`` of the training's judge prompts at the last look, where these are told apart."""

    select: Callable[[KVBatchMeta, Mapping[str, Tag], int], tuple[KVBatchMeta, dict[str, float]]] | None = None
    """With ``spark.self_reward``: takes a step's rows, its prompts' tags and the step, gives the rows to train on."""

    @property
    def _tells_apart(self) -> bool:
        """Whether questions and judge prompts have to be told apart while they are waited for."""
        return self.filter_groups_metric is not None

    def _sync_metadata_from_transfer_queue(self) -> None:
        super()._sync_metadata_from_transfer_queue()
        if self._tells_apart:
            self._judges = judge_prompts("train")

    def _dapo_filtered_keys(self, partition_id: str) -> tuple[set[str], Counter]:
        """verl's, of questions alone: a judge prompt comes with its question, no other can be asked in its place."""
        finished = self.finished_keys[partition_id]
        self.finished_keys[partition_id] = finished - self._judges.keys()
        try:
            return super()._dapo_filtered_keys(partition_id)
        finally:
            self.finished_keys[partition_id] = finished

    def _look(self, partition_id: str) -> tuple[set[str], set[str]]:
        """uids of the prompts that have ended, and of those that have not, now."""
        self._sync_metadata_from_transfer_queue()
        self._note(partition_id)
        return self._ended(partition_id), set(self.seen.under_way)

    def _ended(self, partition_id: str) -> set[str]:
        return self.finished_keys[partition_id] | self.failure_keys[partition_id]

    def _note(self, partition_id: str) -> None:
        """Tell whoever watches."""
        under_way = self.pending_keys[partition_id] | self.running_keys[partition_id]
        rows = len(self.partitions[partition_id])
        self.seen = Seen(len(self._ended(partition_id)), rows, frozenset(under_way))

    def _take(
        self, partition_id: str, uids: Collection[str], rows: Mapping[str, Tag], step: int
    ) -> tuple[KVBatchMeta, dict[str, float]]:
        """Take these prompts out of the queue.

        Returns:
            Their rows, ordered by key so that arrival order never decides anything, each with a tag that says what it
            is (:func:`spark_verl.rollout.tags.row_of`), and metrics of the transform.

        Raises:
            RunEnded: There are no rows.
        """
        # One more look: the statuses and the tags must be of the same, final state.
        tags = (tq.kv_list(partition_id) or {}).get(partition_id, {})
        prompt_tags = {key: tag for key, tag in tags.items() if key in uids}
        failed = len(self.failure_keys[partition_id] & set(uids))
        taken = self._materialize_batch(partition_id, sorted(uids), dict(rows))
        if partition_id != "val" and not taken.keys:
            raise RunEnded(
                f"step {step}: all {len(uids)} prompts failed to give a single rollout; "
                "the agent-loop worker's log above has the reason"
            )
        taken.reorder(sorted(range(len(taken.keys)), key=taken.keys.__getitem__))
        for i, key in enumerate(taken.keys):
            taken.tags[i] = put_row(taken.tags[i], self._row(key.split("_")[0], prompt_tags))
        if taken.keys:
            # verl reads the tags back from TransferQueue with every put, so they have to be there as well.
            tq.kv_batch_put(keys=taken.keys, partition_id=partition_id, tags=taken.tags)
        if partition_id == "val":
            return taken, {}
        self.prompt_tags = prompt_tags
        return taken, transform_metrics(prompt_tags, failed)

    def _row(self, uid: str, prompt_tags: Mapping[str, Tag]) -> RowTag:
        """What the rows of a prompt are."""
        if uid in self.supervision:
            return RowTag(supervision=self.supervision[uid])
        return row_of(prompt_tags.get(uid, {}))


class SparkReplayBuffer(TaggedReplayBuffer):
    """verl's synchronous replay buffer, with judge rows and a fast poll.

    A judge prompt is registered before its parent's status becomes terminal, or, if that was in the step before, before
    this step's questions; so "nothing pending, nothing running" means that the step is complete, judge rows included.

    Args:
        poll_interval: Seconds between two looks at TransferQueue; verl's default is 2.
        kwargs: As for verl's class.
    """

    @SkipManager.annotate_tq(role="rollout_tq", phase="sample")
    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[KVBatchMeta, dict]:
        """Wait for all prompts of the partition and take all their rows.

        Args:
            global_steps: The training step.
            partition_id: "train" or "val".
            batch_size: Number of prompts that the trainer submitted. More are returned when there are judge prompts.
                With group filtering, the number of questions that are kept, whose judge prompts are returned with them.

        Returns:
            The rows, and metrics of the transform.

        Raises:
            RunEnded: All rollouts of the step failed.
        """
        last_log = time.time()
        filtering = self.filter_groups_metric is not None and partition_id != "val"
        groups = GroupFilter(self, global_steps, batch_size) if filtering else None
        while True:
            ended, under_way = self._look(partition_id)
            if groups:
                ended = groups.keep()
            if len(ended) >= batch_size and not under_way:
                break
            last_log = self._wait_for_next_poll(partition_id, last_log)
        if groups:
            ended = groups.choose()
        rows, metrics = self._take(partition_id, ended, self.partitions[partition_id], global_steps)
        if groups:
            metrics |= groups.metrics
        if self.select and partition_id != "val":
            rows, of_judge = self.select(rows, self.prompt_tags, global_steps)
            metrics.update(of_judge)
        return rows, metrics


class GroupFilter:
    """One step's group filtering (DAPO's dynamic sampling): questions that teach nothing give way to others.

    ::

        ended ──► all samples score the same: evicted, two more are asked for ──► ended ──► ... enough are kept: no more
                                                                                            what is under way still ends

    The rule is that of verl's synchronous buffer, which would take judge prompts for questions. Judge prompts go with
    their question: the worker builds none about one that will be evicted, and those of surplus questions are dropped.

    Args:
        buffer: The step's.
        step: Of the training.
        wanted: Number of questions.
    """

    def __init__(self, buffer: TaggedReplayBuffer, step: int, wanted: int) -> None:
        self.buffer, self.step, self.wanted = buffer, step, wanted
        self.metrics: dict[str, Any] = {}
        self._credit = 0
        self._enough = False
        self._told = 10 * wanted

    def keep(self) -> set[str]:
        """Evict what teaches nothing, and have other questions sampled in its place; what is kept so far."""
        buffer = self.buffer
        reasons = buffer._terminal_eviction_reasons(self.step, "train")
        _, _, filtered, metrics = buffer._evict_terminal_groups(self.step, "train", reasons)
        _accumulate_eviction_metrics(self.metrics, metrics, 0)
        kept = buffer._ended("train") - buffer._judges.keys()
        if (evicted := self.metrics.get("training/filter_groups/evicted_samples", 0)) >= self._told:
            logger.warning(
                f"step {self.step}: {evicted} questions scored all alike so far, {len(kept)} of {self.wanted} are kept"
                " (algorithm.filter_groups): harder or easier data would cost less"
            )
            self._told *= 2
        self._enough = self._enough or len(kept) >= self.wanted
        self._credit = 0 if self._enough else self._credit + 2 * filtered
        waiting = (buffer.pending_keys["train"] | buffer.running_keys["train"]) - buffer._judges.keys()
        at_once = buffer.max_inflight_gen_batches * (buffer.train_batch_size or self.wanted)
        if (count := min(self._credit, at_once - len(waiting))) > 0:
            assert buffer.refill_fn  # verl's constructor has seen to it
            self._credit -= count
            buffer.refill_fn(count)
        return kept

    def choose(self) -> set[str]:
        """The step's questions with their judge prompts; the others are dropped.

        uids are random: what ended soon is not preferred.
        """
        buffer = self.buffer
        kept = buffer._ended("train") - buffer._judges.keys()
        surplus = set(sorted(kept)[self.wanted :])
        orphans = {judge for judge, question in buffer._judges.items() if question in surplus}
        buffer._clear_groups("train", surplus | orphans)
        if surplus:
            self.metrics["training/filter_groups/discarded_surplus_samples"] = len(surplus)
        return buffer._ended("train")


def judge_prompts(partition_id: str) -> dict[str, str]:
    """``{uid: that of the question}`` of the judge prompts in TransferQueue."""
    tags = (tq.kv_list(partition_id) or {}).get(partition_id, {})
    return {key: parent for key, tag in tags.items() if tag.get("is_prompt") and (parent := row_of(tag).parent)}


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


def step_outcome(prompt_tags: Mapping[str, Tag], plans: Mapping[str, Plan], late: bool = False) -> StepOutcome:
    """What a step's groups turned out to be and gave, for the balance controller.

    Args:
        prompt_tags: ``{uid: tag}`` of all prompts of the step.
        plans: ``{uid: plan}`` of its policy prompts.
        late: Count judge prompts in the step that takes them, whatever step their group was in. Else they count with
            their group, whenever they are sampled.
    """
    outcome = StepOutcome()
    for uid, tag in sorted(prompt_tags.items()):
        row = row_of(tag)
        if uid in plans:
            # A group that failed before it was judged has no outcome; it gave nothing.
            record = group_of(tag)
            outcome.add_group(record.outcome if record else Outcome.NONE, plans[uid])
            given = [request.tag for request in record.deferred] if record else []
        else:
            given = [row] if row.parent and (late or row.parent in plans) else []
        for one in given:
            outcome.add_prompt(one.objective, one.about or "", bool(one.positive))
    return outcome
