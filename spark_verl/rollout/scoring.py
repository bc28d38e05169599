"""A sample's score: computed in the worker itself where no reward worker was asked for, and what it says of a rollout.

AgentLoopOutput ──► score_request ──► reward manager ──► reward_score, reward_extra_info ──► correctness_of
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.trainer.ppo.reward import load_reward_manager
from verl.utils.profiler import simple_timer

from spark_verl.rollout.plain import PlainWorker
from spark_verl.vocabulary import UNDECIDED, Correctness

_FIELDS = ("data_source", "reward_model", "extra_info", "uid", "index")
"""What a reward manager gets beside the tokens. verl also sends the raw prompt with its decoded images, per sample."""


class LocalScoring(PlainWorker):
    """A worker that, with ``reward.num_workers: 0`` scores samples itself, else as verl does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reward_manager = None
        if self.reward_loop_worker_handles == []:
            self._reward_manager = load_reward_manager(self.config, self.tokenizer)

    async def _compute_score(self, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]) -> None:
        if self._reward_manager is None:
            return await super()._compute_score(outputs, kwargs)
        final = outputs[-1]
        if final.reward_score is not None:
            return
        timing: dict[str, float] = {}
        with simple_timer("compute_score", timing):
            result = await self._reward_manager.run_single(score_request(outputs, kwargs))
        final.reward_score = result["reward_score"]
        final.extra_fields["reward_extra_info"] = result["reward_extra_info"]
        final.metrics.compute_score = timing["compute_score"]


def score_request(outputs: list[AgentLoopOutput], kwargs: Mapping[str, Any]) -> DataProto:
    """What verl hands to a reward manager's ``run_single``, without images, positions and the raw prompt."""
    prompts = [torch.tensor(o.prompt_ids, dtype=torch.int64) for o in outputs]
    responses = [torch.tensor(o.response_ids, dtype=torch.int64) for o in outputs]

    def pad(rows: list[torch.Tensor]) -> torch.Tensor:
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)

    # Prompts and responses are padded apart, and so is the mask: its last columns tell each response's own length.
    mask = torch.cat([pad([torch.ones_like(row) for row in rows]) for rows in (prompts, responses)], dim=1)
    batch = TensorDict(
        {"prompts": pad(prompts), "responses": pad(responses), "attention_mask": mask}, batch_size=len(outputs)
    )
    # Copies, as a process of its own would get: a reward function may write into them, and they are the whole group's.
    fields: dict[str, list] = {name: [copy.deepcopy(kwargs.get(name)) for _ in outputs] for name in _FIELDS}
    fields["tool_extra_fields"] = [o.extra_fields for o in outputs]
    fields["__num_turns__"] = [o.num_turns for o in outputs]
    non_tensor = {}
    for name, values in fields.items():
        non_tensor[name] = np.empty(len(outputs), dtype=object)
        non_tensor[name][:] = values
    return DataProto(batch=batch, non_tensor_batch=non_tensor)


def correctness_of(info: Mapping[str, Any], score: float | None) -> Correctness:
    """The verifier's finding: from the reward manager's ``status`` and ``acc``, or from the bare score."""
    if info.get("status") in UNDECIDED or (score is None and "acc" not in info):
        return Correctness.NOT_VERIFIED
    return Correctness.RIGHT if float(info.get("acc", score)) > 0.5 else Correctness.WRONG
