"""verl's TransferQueue agent-loop worker as a class that can be derived from."""

from __future__ import annotations

from typing import Any

from verl.trainer.ppo.v1 import agent_loop_tq

PlainWorker: Any = agent_loop_tq.AgentLoopWorkerTQ.__ray_metadata__.modified_class  # ty: ignore[missing-attribute]
"""verl exports the worker as a Ray actor class; this is the plain class behind it."""
