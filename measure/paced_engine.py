"""An engine whose decoding steps are at least as long as a GPU's: ``--decode-ms`` of ``step_cost.py``.

A GPU reads all weights for every decoding step, so that a step takes about as long for one sequence as for a hundred.
On a CPU a step of a tiny model grows with the number of sequences, and what is sampled beside a long response slows it
down. With a floor under every step the engine has room beside the last long responses, as a GPU's has; nothing else
changes: the same model samples the same tokens, and all that is not decoding takes its own time.
"""

from __future__ import annotations

import os
import time
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.output import SchedulerOutput

FLOOR = float(os.environ.get("SPARK_BENCH_DECODE_MS", "0")) / 1000
"""Seconds from the start of one step to the start of the next, at least."""


class PacedScheduler(AsyncScheduler):
    """vLLM's scheduler; starts no step sooner than :data:`FLOOR` after the one before."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next = 0.0

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """As vLLM's, after a wait. New requests are seen after the wait, as on an engine that is busy with a step."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + FLOOR
        return super().schedule(*args, **kwargs)
