"""A worker whose engine answers by a script, and a queue in memory."""

from __future__ import annotations

import pytest
from memory_queue import MemoryQueue
from scripted_worker import runner
from verl.trainer.ppo.v1 import replay_buffer

from spark_verl.rollout import sampler


@pytest.fixture
def run(model_folder, tokenizer, monkeypatch):
    """See :func:`scripted_worker.runner`."""
    return runner(model_folder, tokenizer, monkeypatch)


@pytest.fixture
def new_queue(monkeypatch):
    """Puts a new queue in the place of the samplers' each time that it is called."""

    def new() -> MemoryQueue:
        queue = MemoryQueue()
        monkeypatch.setattr(sampler, "tq", queue)
        monkeypatch.setattr(replay_buffer, "tq", queue)
        return queue

    return new


@pytest.fixture
def queue(new_queue) -> MemoryQueue:
    """What the samplers take for TransferQueue."""
    return new_queue()
