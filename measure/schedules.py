"""What ``step_cost.py`` and ``gpu_check`` put into a run: long-tailed responses, rewards for nothing, a barrier."""

from __future__ import annotations

import asyncio
import math
import os
import random
import zlib
from collections import Counter, defaultdict
from typing import Any

import ray
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ
from verl.utils.tokenizer import get_processor_token_id

from spark_verl.rollout.sharing import SharedSingleTurnLoop
from spark_verl.rollout.worker import SparkWorker

MEDIAN = float(os.environ.get("SPARK_BENCH_MEDIAN", "32"))
"""Median response length in tokens."""

SIGMA = float(os.environ.get("SPARK_BENCH_SIGMA", "0.8"))
"""Standard deviation of the logarithm of the length; 0 makes all responses equally long."""


def response_length(key: str, longest: int) -> int:
    """A length drawn from a log-normal distribution, cut off at ``longest``; the same key gives the same length."""
    return max(1, min(longest, round(MEDIAN * math.exp(random.Random(key).gauss(0.0, SIGMA)))))


class LongTail:
    """A single-turn loop's responses really are sampled, and as long as the distribution says."""

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """As the loop's own, with the length fixed."""
        about = (kwargs.get("extra_info") or {}).get("objective", "policy")
        length = response_length(f"{kwargs['index']}/{about}/{kwargs['session_id']}", self.response_length)
        media = (get_processor_token_id(self.processor, kind) for kind in ("image", "video"))
        # A media token in a response would belong to no image.
        never = {token_id: -100.0 for token_id in media if token_id is not None}
        fixed = {"max_tokens": length, "ignore_eos": True, "logit_bias": never}
        return await super().run({**sampling_params, **fixed}, **kwargs)


class VerlLongTailLoop(LongTail, SingleTurnAgentLoop):
    """With verl's loop, for verl's own worker."""


class SparkLongTailLoop(LongTail, SharedSingleTurnLoop):
    """With the loop that SPARK's worker uses."""


def compute_score(data_source: str, solution_str: str, ground_truth: Any, **_: Any) -> dict[str, Any]:
    """verl's signature: half of all texts are right, by their checksum, so that most groups have both outcomes.

    The checksum is the answer as well: a right and a wrong response with the same answer would make no judge prompt.
    """
    checksum = zlib.crc32(solution_str.encode("utf-8", errors="replace"))
    right = float(checksum % 2)
    return {"score": right, "acc": right, "answer": str(checksum)}


class Gate:
    """Where the groups of a step wait for the last one of them, whichever worker they are in.

    Args:
        groups: Policy prompts per step.
    """

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self._arrived: Counter[int] = Counter()
        self._open: dict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def wait(self, step: int) -> None:
        """Arrive, once per group, and return when all groups of the step have arrived."""
        self._arrived[step] += 1
        if self._arrived[step] == self._groups:
            self._open[step].set()
        await self._open[step].wait()


class BarrierWorker(SparkWorker):
    """SPARK's worker, but judge prompts wait until every policy prompt of the step has ended, in all workers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        groups = int(self.config.data.train_batch_size)
        # One for all workers of the run. It computes nothing, and all of a step's groups wait in it.
        gate = ray.remote(Gate).options(
            name="spark_gate", get_if_exists=True, num_cpus=0, max_concurrency=max(1000, groups + 1)
        )
        self._gate = gate.remote(groups)

    async def _launch_judge_prompts(self, group: Any) -> None:
        await self._gate.wait.remote(int(group.prompt["global_steps"]))
        await super()._launch_judge_prompts(group)


class BarrierManager(AgentLoopManagerTQ):
    """Starts :class:`BarrierWorker`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(BarrierWorker)
