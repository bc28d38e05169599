"""The agent-loop manager: verl's, with SPARK's worker."""

from __future__ import annotations

from typing import Any

from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ

from spark_verl.rollout.worker import SparkAgentLoopWorker


class SparkAgentLoopManager(AgentLoopManagerTQ):
    """Starts :class:`~spark_verl.rollout.worker.SparkAgentLoopWorker` instead of verl's worker.

    Set ``actor_rollout_ref.rollout.agent.agent_loop_manager_class`` to this class (the ``spark`` config does).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = SparkAgentLoopWorker
