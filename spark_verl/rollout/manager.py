"""The agent-loop manager: verl's, with SPARK's worker."""

from __future__ import annotations

from typing import Any

from tensordict import TensorDict
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ

from spark_verl.rollout.worker import SparkAgentLoopWorker


class SparkAgentLoopManager(AgentLoopManagerTQ):
    """Starts :class:`~spark_verl.rollout.worker.SparkAgentLoopWorker` instead of verl's worker.

    Set ``actor_rollout_ref.rollout.agent.agent_loop_manager_class`` to this class (the ``spark`` config does).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = SparkAgentLoopWorker
        self.worker_of: dict[str, int] = {}
        """``{uid: number of the worker that runs it}`` of the prompts that were handed out last."""

    def generate_sequences(self, prompts: TensorDict) -> None:
        """verl's: hand the prompts out and return; notes who got which."""
        chunks = prompts.chunk(len(self.agent_loop_workers))
        self.worker_of = {uid: number for number, chunk in enumerate(chunks) for uid in chunk["uid"]}
        super().generate_sequences(prompts)
