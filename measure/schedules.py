"""What ``step_cost.py`` puts into a run: long-tailed responses, rewards that cost nothing, and a barrier."""

from __future__ import annotations

import asyncio
import math
import os
import random
import zlib
from typing import Any

import ray
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

    async def run(self, sampling_params: dict[str, Any], **kwargs):
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


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    """verl's signature: half of all texts are right, by their checksum, so that most groups have both outcomes.

    The checksum is the answer as well: a right and a wrong response with the same answer would make no judge prompt.
    """
    checksum = zlib.crc32(solution_str.encode("utf-8", errors="replace"))
    right = float(checksum % 2)
    return {"score": right, "acc": right, "answer": str(checksum)}


class BarrierWorker(SparkWorker):
    """SPARK's worker, but judge prompts wait until every policy prompt of the step has ended."""

    async def _launch_judge_prompts(self, group) -> None:
        # One worker holds all groups of a step (agent.num_workers=1), and registers them before the first one ends.
        while any(other.ended < other.expected for other in self._groups.values()):
            await asyncio.sleep(0.005)
        await super()._launch_judge_prompts(group)


class BarrierManager(AgentLoopManagerTQ):
    """Starts :class:`BarrierWorker`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = ray.remote(BarrierWorker)
