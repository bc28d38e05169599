"""The agent-loop worker: samples, scores, and turns each finished group into judge prompts at once.

This is where SPARK's data recycling happens. When the last of a group's n rollouts has ended, the worker builds the
group's judge prompts and submits them to the same rollout servers; nothing waits for the slowest prompt of the batch.
Judge prompts are registered in TransferQueue before their parent's status becomes terminal, so whoever waits for the
step to finish never sees a moment with nothing pending in between.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import hydra
import numpy as np
import ray
import torch
import transfer_queue as tq
from tensordict import TensorDict
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import (
    AgentLoopOutput,
    DictConfigWrap,
    ToolListWrap,
    _agent_loop_registry,
)
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.trainer.ppo.reward import load_reward_manager
from verl.trainer.ppo.v1 import agent_loop_tq
from verl.utils.profiler import simple_timer
from verl.utils.rollout_trace import rollout_trace_attr
from verl.utils.tokenizer import get_processor_token_id

from spark_verl.compat import verl_rows
from spark_verl.config import load_spark_config
from spark_verl.judge import Correctness, JudgeBuild, JudgeBuilder, JudgePrompt, Plan, Rollout, RolloutGroup
from spark_verl.judge.templates import LABELS
from spark_verl.rollout.media import MediaCache, media_objects, share_image_processing, share_media_fetching
from spark_verl.rollout.single_turn import SharedSingleTurnLoop

logger = logging.getLogger(__name__)
logger.setLevel(os.getenv("VERL_LOGGING_LEVEL", "INFO"))

# verl exports the worker as a Ray actor class; subclassing needs the plain class behind it.
_PlainWorker = agent_loop_tq.AgentLoopWorkerTQ.__ray_metadata__.modified_class

_SCORE_FIELDS = ("data_source", "reward_model", "extra_info", "uid", "index")
"""What a reward manager gets beside the tokens. verl also sends the raw prompt with its decoded images, per sample."""

_SHARED_LOOP = f"{SharedSingleTurnLoop.__module__}.{SharedSingleTurnLoop.__name__}"


@dataclass
class _OpenGroup:
    """A policy prompt whose rollouts are under way."""

    prompt: dict[str, Any]
    sampling_params: dict[str, Any]
    trajectory: dict[str, Any]
    plan: Plan | None
    expected: int
    ended: int = 0
    rollouts: dict[int, Rollout] = field(default_factory=dict)
    prompt_tokens: int = 0
    media: list[Any] = field(default_factory=list)
    children: int = 0


class SparkWorker(_PlainWorker):
    """verl's TransferQueue agent-loop worker plus judge prompts. See the module's docstring.

    Differences in how verl's own work is done, none in its result: a prompt is tokenized once for its n samples, by one
    agent loop (:mod:`spark_verl.rollout.single_turn`); a group's images are fetched and processed once
    (:mod:`spark_verl.rollout.media`); rewards may be computed here (``reward.num_workers: 0``); rows are stored without
    the raw prompt's decoded images, and a prompt's n rows in one request (:mod:`spark_verl.compat.verl_rows`).
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        verl_rows.group_writes()
        self.spark = load_spark_config(self.config)
        self._groups: dict[str, _OpenGroup] = {}
        self._shared_loops: dict[str, SingleTurnAgentLoop | None] = {}
        self.media = MediaCache()
        if self.spark.share_media:
            share_image_processing(self.processor, self.media)
            self.dataset_cls = share_media_fetching(self.dataset_cls, self.media)
        media_ids = (get_processor_token_id(self.processor, kind) for kind in ("image", "video"))
        self._media_ids = {token_id for token_id in media_ids if token_id is not None}
        self._keep_raw_prompt = self.config.reward.reward_model.enable
        self._reward_manager = None
        if self.reward_loop_worker_handles == []:
            self._reward_manager = load_reward_manager(self.config, self.tokenizer)
        self._builder = None
        if self.spark.enable:
            self._builder = JudgeBuilder(
                self.spark, tokenizer=self.tokenizer, max_prompt_length=self.config.data.max_prompt_length
            )

    # ------------------------------------------------------------------ groups

    async def _run_prompt(self, prompt: dict, sampling_params: dict, trajectory: dict, trace: bool = False) -> None:
        """Run a prompt's rollouts; for a policy prompt of training, keep book so that its group can be judged."""
        media = media_objects(prompt["raw_prompt"])
        judged = self._builder is not None and not trajectory["validate"] and "spark_role" not in prompt
        uid = prompt["uid"]
        group = None
        prompt = dict(prompt)
        # None of our own fields goes into verl's rows.
        plan = prompt.pop("spark_plan", None)
        prompt.pop("spark_role", None)
        if judged:
            n = prompt.get("__rollout_n__", self.config.actor_rollout_ref.rollout.n)
            group = _OpenGroup(dict(prompt), dict(sampling_params), dict(trajectory), plan, expected=n, media=media)
            self._groups[uid] = group
        try:
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)
        finally:
            self.media.release(prompt["raw_prompt"])
            if group is None and "spark_parent" not in trajectory:
                self.media.release(media)
            elif group is not None:
                self._groups.pop(uid, None)
                if group.children == 0:
                    self.media.release(media)

    async def _run_agent_loop(self, sampling_params, trajectory, *, agent_name, trace=True, **kwargs):
        """Run one sample, and launch the group's judge prompts when it was the last one."""
        group = self._groups.get(kwargs["uid"])
        try:
            loop = None if trace else self._shared_agent_loop(agent_name)
            if loop is None:
                return await super()._run_agent_loop(
                    sampling_params, trajectory, agent_name=agent_name, trace=trace, **kwargs
                )
            with rollout_trace_attr(trace=False):
                output = await loop.run(sampling_params, **kwargs)
                return await self._agent_loop_postprocess(output, trajectory["validate"], **kwargs)
        finally:
            # Also after a failed sample: the group is complete when all n have ended, however they ended.
            if group is not None:
                group.ended += 1
                if group.ended == group.expected:
                    await self._launch_judge_prompts(group)

    def _shared_agent_loop(self, agent_name: str) -> SingleTurnAgentLoop | None:
        """The one instance for verl's single-turn loop, or for a class derived from :class:`SharedSingleTurnLoop`.

        Returns:
            None for any other loop: verl instantiates it for every sample.
        """
        if agent_name not in self._shared_loops:
            # A name that is not registered is verl's to complain about; a target may also be a function.
            entry = dict(_agent_loop_registry.get(agent_name, {"_target_": "builtins.object"}))
            kind = hydra.utils.get_object(entry["_target_"])
            if kind is SingleTurnAgentLoop:
                kind, entry["_target_"] = SharedSingleTurnLoop, _SHARED_LOOP
            loop = None
            if self.spark.share_media and isinstance(kind, type) and issubclass(kind, SharedSingleTurnLoop):
                # An entry of agent_loop_config_path may have more arguments for its class.
                make = hydra.utils.instantiate({**entry, "_partial_": True})
                loop = make(**self._loop_arguments(), cache=self.media)
            self._shared_loops[agent_name] = loop
        return self._shared_loops[agent_name]

    def _loop_arguments(self) -> dict[str, Any]:
        """What verl instantiates an agent loop with."""
        return {
            "trainer_config": DictConfigWrap(self.config),
            "server_manager": self.llm_client,
            "tokenizer": self.tokenizer,
            "processor": self.processor,
            "hf_model_type": self.hf_model_type,
            "dataset_cls": self.dataset_cls,
            "data_config": DictConfigWrap(self.config.data),
            "tools": ToolListWrap(self.tools),
        }

    async def _launch_judge_prompts(self, group: _OpenGroup) -> None:
        """Build the group's judge prompts, register them, and start sampling them in the background."""
        started = time.perf_counter()
        uid, step = group.prompt["uid"], group.prompt["global_steps"]
        finished = RolloutGroup(
            uid=uid,
            messages=group.prompt["raw_prompt"],
            ground_truth=group.prompt["reward_model"]["ground_truth"],
            index=group.prompt["index"],
            step=int(step),
            rollouts=tuple(group.rollouts[i] for i in sorted(group.rollouts)),
            prompt_tokens=group.prompt_tokens,
        )
        try:
            build = self._builder.build(finished, group.plan)
        except Exception:  # a judge prompt that fails is counted and left out; it never stops a run
            logger.exception(f"judge prompts of group {uid} (row {finished.index}, step {step}) failed")
            build = JudgeBuild(skipped=Counter(error=1))
        children = [self._child(group, ordinal, prompt) for ordinal, prompt in enumerate(build.prompts)]
        # Without what follows: awaiting TransferQueue is mostly waiting for other rollouts' turn on the event loop.
        transform_s = time.perf_counter() - started
        group.children = len(children)
        tags = [{"is_prompt": True, "status": "pending", "global_steps": step, "spark": spark} for _, spark in children]
        tags.append(
            {
                "spark": {
                    "outcome": finished.outcome,
                    "skipped": dict(build.skipped),
                    "adapted": dict(build.adapted),
                    "transform_s": transform_s,
                }
            }
        )
        uids = [child["uid"] for child, _ in children]
        await tq.async_kv_batch_put(keys=[*uids, uid], partition_id="train", tags=tags)
        if children:
            task = asyncio.create_task(self._run_children(group, [child for child, _ in children]))
            self.background_tasks.add(task)
            task.add_done_callback(self.background_tasks.discard)

    async def _run_children(self, group: _OpenGroup, children: list[dict]) -> None:
        """Sample all judge prompts of a group, then let go of its images."""
        trajectory = {**group.trajectory, "spark_parent": group.prompt["uid"]}
        try:
            await asyncio.gather(
                *(self._run_prompt(child, self._judge_sampling_params(group, child), trajectory) for child in children)
            )
        finally:
            self.media.release(group.media)

    def _judge_sampling_params(self, group: _OpenGroup, child: dict) -> dict[str, Any]:
        """The group's sampling parameters with the objective's own length limit."""
        limit = self.spark.objective(child["extra_info"]["objective"]).max_response_length
        if limit is None:
            return group.sampling_params
        return {**group.sampling_params, "max_tokens": min(limit, self.rollout_config.response_length)}

    def _child(self, group: _OpenGroup, ordinal: int, judge: JudgePrompt) -> tuple[dict, dict]:
        """A judge prompt as a verl prompt, and its role for the sampler, the metrics and the dumps."""
        parent = group.prompt
        spark = {
            "role": "judge",
            "objective": judge.objective,
            "source": judge.source,
            "label_form": judge.label_form,
            "about": judge.about,
            "parent": judge.parent_uid,
            "positive": judge.ground_truth == LABELS[judge.label_form][0] if LABELS[judge.label_form] else None,
        }
        child = {
            **parent,
            # Reproducible, and without "_": verl splits row keys at it.
            "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{judge.parent_uid}/{ordinal}")),
            "raw_prompt": judge.messages,
            "data_source": f"spark/{judge.objective}",
            "reward_model": {**parent["reward_model"], "ground_truth": judge.ground_truth},
            # A user's own reward function scores reflections, too, and knows the task by its own data source.
            "extra_info": {**(parent.get("extra_info") or {}), **spark, "task_data_source": parent["data_source"]},
            "spark_role": "judge",
        }
        for internal in ("__rollout_n__", "__do_sample__"):
            child.pop(internal, None)
        if judge.n is not None:
            child["__rollout_n__"] = judge.n
        return child, spark

    # ------------------------------------------------------------------ one sample

    async def _agent_loop_postprocess(self, output, validate, **kwargs) -> None:
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
        if not self._keep_raw_prompt:
            # verl stores every field of the prompt with every sample. Only a reward model reads the raw prompt there,
            # and its decoded images would travel n times.
            kwargs["raw_prompt"] = _without_media(kwargs["raw_prompt"])
        await super()._agent_loop_postprocess(output, validate, **kwargs)
        group = self._groups.get(kwargs["uid"])
        if group is not None and outputs:
            group.rollouts[kwargs["session_id"]] = self._as_rollout(outputs[-1])
            group.prompt_tokens = len(outputs[-1].prompt_ids)

    def _sampled_media(self, output: AgentLoopOutput) -> bool:
        """Whether the policy itself wrote a media placeholder; those of a tool's images are masked out."""
        if self._media_ids.isdisjoint(output.response_ids):
            return False
        pairs = zip(output.response_ids, output.response_mask, strict=True)
        return any(mask and token in self._media_ids for token, mask in pairs)

    def _as_rollout(self, output: AgentLoopOutput) -> Rollout:
        """What the judge transform needs to know of a sample."""
        info = output.extra_fields.get("reward_extra_info") or {}
        ids = output.response_ids
        limit = self.rollout_config.response_length
        cut = len(ids) >= limit and (not ids or ids[-1] != self.tokenizer.eos_token_id)
        return Rollout(
            text=self.tokenizer.decode(ids, skip_special_tokens=True),
            answer=info.get("answer") or None,
            correctness=_correctness(info, output.reward_score),
            finish_reason="length" if cut else "stop",
        )

    def _compute_multi_modal_inputs(self, output, input_ids) -> dict[str, torch.Tensor]:
        """verl's tensors for the actor, made once per group: they depend on the media only, not on the tokens."""
        media = output.multi_modal_data or {}
        owners = [item for items in media.values() if items is not None for item in items]
        tool_media = not self._media_ids.isdisjoint(output.response_ids)
        if not owners or not self.spark.share_media or tool_media:
            return super()._compute_multi_modal_inputs(output, input_ids)
        key = ("multi_modal_inputs", tuple(map(id, owners)))
        plain = super()._compute_multi_modal_inputs
        # verl decodes the ids and hands the text to the processor, so a response that merely spells <|image_pad|> would
        # be short of an image there. The prompt alone gives the same tensors.
        prompt_ids = torch.tensor(output.prompt_ids, dtype=input_ids.dtype)
        return dict(self.media.get(key, owners, lambda: plain(output, prompt_ids)))

    async def _compute_score(self, outputs: list[AgentLoopOutput], kwargs: dict) -> None:
        """Score a sample here when there are no reward workers; otherwise as verl does."""
        if self._reward_manager is None:
            return await super()._compute_score(outputs, kwargs)
        final = outputs[-1]
        if final.reward_score is not None:
            return
        timing: dict[str, float] = {}
        with simple_timer("compute_score", timing):
            result = await self._reward_manager.run_single(_score_request(outputs, kwargs))
        final.reward_score = result["reward_score"]
        final.extra_fields["reward_extra_info"] = result["reward_extra_info"]
        final.metrics.compute_score = timing["compute_score"]


SparkAgentLoopWorker = ray.remote(SparkWorker)


def _correctness(info: dict, score: float | None) -> Correctness:
    """The verifier's finding: from the reward manager's ``status`` and ``acc``, or from the bare score."""
    if info.get("status") in ("timeout", "error") or (score is None and "acc" not in info):
        return Correctness.NOT_VERIFIED
    return Correctness.RIGHT if float(info.get("acc", score)) > 0.5 else Correctness.WRONG


def _score_request(outputs: list[AgentLoopOutput], kwargs: dict) -> DataProto:
    """What verl hands to a reward manager's ``run_single``, without images, positions and the raw prompt."""
    prompts = [torch.tensor(o.prompt_ids, dtype=torch.int64) for o in outputs]
    responses = [torch.tensor(o.response_ids, dtype=torch.int64) for o in outputs]

    def pad(rows):
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)

    # Prompts and responses are padded apart, and so is the mask: its last columns tell each response's own length.
    mask = torch.cat([pad([torch.ones_like(row) for row in rows]) for rows in (prompts, responses)], dim=1)
    batch = TensorDict(
        {"prompts": pad(prompts), "responses": pad(responses), "attention_mask": mask}, batch_size=len(outputs)
    )
    # Copies, as a process of its own would get: a reward function may write into them, and they are the whole group's.
    fields: dict[str, list] = {name: [copy.deepcopy(kwargs.get(name)) for _ in outputs] for name in _SCORE_FIELDS}
    fields["tool_extra_fields"] = [o.extra_fields for o in outputs]
    fields["__num_turns__"] = [o.num_turns for o in outputs]
    non_tensor = {}
    for name, values in fields.items():
        non_tensor[name] = np.empty(len(outputs), dtype=object)
        non_tensor[name][:] = values
    return DataProto(batch=batch, non_tensor_batch=non_tensor)


def _without_media(messages: list[dict]) -> list[dict]:
    """Chat messages with every media part reduced to its type."""
    light = []
    for message in messages:
        content = message["content"]
        if isinstance(content, list):
            content = [part if part.get("type") == "text" else {"type": part.get("type")} for part in content]
        light.append({**message, "content": content})
    return light
