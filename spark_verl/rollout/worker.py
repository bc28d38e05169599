"""The agent-loop worker: samples, scores, and turns each finished group into judge prompts at once.

This is where SPARK's data recycling happens::

    prompt ──► n samples, each scored as it ends ──► the last one has ended: RolloutGroup
                                                                 │
               rows in TransferQueue ◄── n samples of each ◄── judge prompts (spark_verl.judge)

When the last of a group's n rollouts has ended, the worker builds the group's judge prompts and submits them to the
same rollout servers; nothing waits for the slowest prompt of the batch. Judge prompts are registered in TransferQueue
before their parent's status becomes terminal, so whoever waits for the step to finish never sees a moment with nothing
pending in between. With ``spark.judge_step: next`` they go into the parent's tag instead, and the trainer brings them
back beside the next step's questions. In asynchronous training they are under way like any prompt.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import ray
import transfer_queue as tq
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.v1.replay_buffer import FILTER_GROUPS_REWARD_METRIC

from spark_verl.judge import JudgeBuild, JudgeBuilder, Plan
from spark_verl.rollout.requests import JudgeRequest
from spark_verl.rollout.scoring import LocalScoring, correctness_of
from spark_verl.rollout.sharing import Sharing
from spark_verl.rollout.tags import GroupRecord, pending_tags, put_group
from spark_verl.rollout.turns import Turns
from spark_verl.rollout.verdicts import Verdicts, limit_length
from spark_verl.vocabulary import Rollout, RolloutGroup, Supervision

logger = logging.getLogger(__name__)
logger.setLevel(os.getenv("VERL_LOGGING_LEVEL", "INFO"))


@dataclass
class OpenGroup:
    """A policy prompt whose rollouts are under way.

    Attributes:
        prompt, sampling_params, trajectory: As verl's worker got them; judge prompts take after them.
        plan: What the group is asked for; None draws one.
        supervision: Where its reward comes from. Only labelled groups give judge prompts.
        row: Number of the question's row in the training data, where somebody asks for it.
        expected: Number of samples.
        ended: How many of them have ended, well or not.
        rollouts: Those that ended well, by session id.
        scores: By which verl filters groups, where it does.
        prompt_tokens: Length of the tokenized question.
        version: Of the newest weights that sampled for it: the step after which they were those.
    """

    prompt: dict[str, Any]
    sampling_params: dict[str, Any]
    trajectory: dict[str, Any]
    plan: Plan | None
    supervision: Supervision
    row: int | None
    expected: int
    ended: int = 0
    rollouts: dict[int, Rollout] = field(default_factory=dict)
    scores: list[float] = field(default_factory=list)
    prompt_tokens: int = 0
    version: int | None = None

    @property
    def filtered(self) -> bool:
        """Whether verl will evict it (``ReplayBuffer._dapo_filtered_keys``): all scores are there, and all alike."""
        return len(self.rollouts) == self.expected and len(self.scores) > 1 and len(set(self.scores)) == 1

    def end_sample(self) -> bool:
        """Count a sample that has ended; whether it was the last one."""
        self.ended += 1
        return self.ended == self.expected

    def step_of_what_follows(self) -> int:
        """The step in which its judge prompts begin: its own, unless training went on meanwhile."""
        begun = int(self.prompt["global_steps"])
        return begun if self.version is None else max(begun, self.version + 1)

    def finished(self) -> RolloutGroup:
        """What the judge transform works on."""
        return RolloutGroup(
            uid=self.prompt["uid"],
            messages=self.prompt["raw_prompt"],
            ground_truth=self.prompt["reward_model"]["ground_truth"],
            index=self.prompt["index"],
            step=int(self.prompt["global_steps"]),
            rollouts=tuple(self.rollouts[i] for i in sorted(self.rollouts)),
            prompt_tokens=self.prompt_tokens,
        )


class SparkWorker(LocalScoring, Sharing):
    """verl's TransferQueue agent-loop worker plus judge prompts. See the module's docstring."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._groups: dict[str, OpenGroup] = {}
        self._turns = Turns()
        self._asynchronous = self.config.trainer.v1.trainer_mode != "sync"
        self._builder = None
        if self.spark.enable:
            self._builder = JudgeBuilder(
                self.spark, tokenizer=self.tokenizer, max_prompt_length=self.config.data.max_prompt_length
            )
            self._verdicts = Verdicts(self, self._builder) if self.spark.self_reward.enable else None

    # ------------------------------------------------------------------ a group

    async def _run_prompt(
        self, prompt: dict[str, Any], sampling_params: dict[str, Any], trajectory: dict[str, Any], trace: bool = False
    ) -> None:
        """Run a prompt's rollouts; for a policy prompt of training, keep book so that its group can be judged."""
        # None of our own fields goes into verl's rows.
        prompt = dict(prompt)
        plan, is_judge = prompt.pop("spark_plan", None), prompt.pop("spark_judge", False)
        supervision = Supervision(prompt.pop("spark_supervision", Supervision.LABELLED))
        row = prompt.pop("spark_row", None)
        if is_judge:
            sampling_params = limit_length(self.spark, prompt["extra_info"]["objective"], sampling_params)
        if self._builder is None or trajectory["validate"] or is_judge:
            return await super()._run_prompt(prompt, sampling_params, trajectory, trace)
        n = prompt.get("__rollout_n__", self.config.actor_rollout_ref.rollout.n)
        self._groups[prompt["uid"]] = OpenGroup(
            dict(prompt), dict(sampling_params), dict(trajectory), plan, supervision, row, n
        )
        try:
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)
        finally:
            self._groups.pop(prompt["uid"])

    async def _run_agent_loop(self, sampling_params: dict[str, Any], trajectory: dict[str, Any], **kwargs: Any) -> None:
        """Run one sample, and launch the group's judge prompts when it was the last one."""
        group = self._groups.get(kwargs["uid"])
        try:
            return await super()._run_agent_loop(sampling_params, trajectory, **kwargs)
        finally:
            # Also after a failed sample: the group is complete when all n have ended, however they ended.
            if group is not None and group.end_sample():
                await self._finish(group)

    async def _agent_loop_postprocess(
        self, output: AgentLoopOutput | list[AgentLoopOutput], validate: bool, **kwargs: Any
    ) -> None:
        """Score and store a sample as verl does, and note it in its group.

        Raises:
            ValueError: The response has a media placeholder token (``<|image_pad|>``). No image belongs to it, so
                positions cannot be computed; the sample fails, its group goes on without it.
        """
        outputs = output if isinstance(output, list) else [output]
        if any(self._sampled_media(each) for each in outputs):
            raise ValueError(
                f"the policy sampled a media placeholder in response to row {kwargs['index']}: sample left out"
            )
        await super()._agent_loop_postprocess(output, validate, **kwargs)
        group = self._groups.get(kwargs["uid"])
        if group is not None and outputs:
            group.rollouts[kwargs["session_id"]] = self._as_rollout(outputs[-1])
            group.scores += self._filtered_by(outputs)
            group.prompt_tokens = len(outputs[-1].prompt_ids)
            if (version := outputs[-1].extra_fields.get("max_global_steps")) is not None:
                group.version = max(version, group.version or 0)

    async def _compute_score(self, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]) -> None:
        """Score as verl does; what it does before and after takes milliseconds for each of hundreds of samples."""
        await self._turns.take()
        await super()._compute_score(outputs, kwargs)
        await self._turns.take()

    def _sampled_media(self, output: AgentLoopOutput) -> bool:
        """Whether the policy itself wrote a media placeholder; those of a tool's images are masked out."""
        if self.media_ids.isdisjoint(output.response_ids):
            return False
        pairs = zip(output.response_ids, output.response_mask, strict=True)
        return any(mask and token in self.media_ids for token, mask in pairs)

    def _filtered_by(self, outputs: list[AgentLoopOutput]) -> list[float]:
        """Their values of the metric by which groups are filtered (``algorithm.filter_groups``), where they are."""
        filters = self.config.algorithm.filter_groups
        if not filters.enable:
            return []
        if filters.metric == FILTER_GROUPS_REWARD_METRIC:
            return [float(each.reward_score) for each in outputs if each.reward_score is not None]
        infos = [each.extra_fields.get("reward_extra_info") or {} for each in outputs]
        return [float(info[filters.metric]) for info in infos if filters.metric in info]

    def _as_rollout(self, output: AgentLoopOutput) -> Rollout:
        """What the judge transform needs to know of a sample."""
        info = output.extra_fields.get("reward_extra_info") or {}
        ids = output.response_ids
        limit = self.rollout_config.response_length
        cut = len(ids) >= limit and (not ids or ids[-1] != self.tokenizer.eos_token_id)
        return Rollout(
            text=self.tokenizer.decode(ids, skip_special_tokens=True),
            answer=info.get("answer") or None,
            correctness=correctness_of(info, output.reward_score),
            finish_reason="length" if cut else "stop",
        )

    async def _finish(self, group: OpenGroup) -> None:
        """A group with a truth becomes judge prompts, one without is judged; one that is not kept becomes nothing."""
        if group.filtered:
            return
        if group.supervision is Supervision.LABELLED:
            await self._launch_judge_prompts(group)
        else:
            await self._score(group)

    async def _score(self, group: OpenGroup) -> None:
        """Have the group's answers judged; its status is not terminal before that has ended."""
        finished, scored, skipped = group.finished(), None, {}
        answers = {session: group.rollouts[session].answer for session in sorted(group.rollouts)}
        try:
            scored = await self._verdicts.score(finished, answers, group)
        except Exception:  # a group that cannot be judged is counted and teaches nothing; it never stops a run
            logger.exception(f"scoring group {finished.uid} (row {finished.index}) failed")
            skipped = {"scoring_error": 1}
        record = GroupRecord(finished.outcome, skipped, scored=scored)
        await tq.async_kv_batch_put(keys=[finished.uid], partition_id="train", tags=[put_group({}, record)])

    # ------------------------------------------------------------------ its judge prompts

    async def _launch_judge_prompts(self, group: OpenGroup) -> None:
        """Build the group's judge prompts; register them and start sampling them in the background, or defer them."""
        started = time.perf_counter()
        finished = group.finished()
        try:
            build = self._builder.build(finished, group.plan)
        except Exception:  # a judge prompt that fails is counted and left out; it never stops a run
            logger.exception(f"judge prompts of group {finished.uid} (row {finished.index}) failed")
            build = JudgeBuild(skipped=Counter(error=1))
        n = self.config.actor_rollout_ref.rollout.n
        requests = [JudgeRequest.of(judge, ordinal, n, group.row) for ordinal, judge in enumerate(build.prompts)]
        deferred, asked = (requests, []) if self.spark.defers else ([], requests)
        # Without what follows: awaiting TransferQueue is mostly waiting for other rollouts' turn on the event loop.
        seconds = time.perf_counter() - started
        record = GroupRecord(
            finished.outcome, dict(build.skipped), dict(build.adapted), seconds, deferred=tuple(deferred)
        )
        step = group.step_of_what_follows()
        await tq.async_kv_batch_put(
            keys=[*(request.uid for request in asked), finished.uid],
            partition_id="train",
            tags=[*pending_tags(asked, step, whole=self._asynchronous), put_group({}, record)],
        )
        for request in asked:
            # Tasks start in the order in which they were made, hence while the parent still holds their images.
            prompt = request.as_prompt({**group.prompt, "global_steps": step})
            task = asyncio.create_task(self._run_prompt(prompt, group.sampling_params, group.trajectory))
            self.background_tasks.add(task)
            task.add_done_callback(self.background_tasks.discard)


SparkAgentLoopWorker = ray.remote(SparkWorker)
