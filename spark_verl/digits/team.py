"""Processes that take every step of the warm start together, one thread each.

Products of this size are too small for two threads: a part of a step is on one of them only, and beside a busy
neighbour each waits for the other at every product. Processes meet twice in a step: to add up gradients, and to
exchange what Muon makes of them. That goes through memory that all of them see: the sockets of torch.distributed's
gloo took more than twice the processor time. Imports no torch, so that it can be started without.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

CAPACITY = 1 << 20
"""Numbers that are exchanged at once."""


class Team:
    """A process's place among those that work together; by default it works alone.

    Args:
        rank: Its number, from 0.
        size: How many there are.
        memory: Of 2 x size x :data:`CAPACITY` float32 numbers, the same for all.
        barrier: Where all wait for each other.
    """

    def __init__(self, rank: int = 0, size: int = 1, memory: Any = None, barrier: Any = None) -> None:
        self.rank, self.size, self.barrier = rank, size, barrier
        self.mine = slice(rank, None, size)  # of any sequence, this process's part
        if size > 1:
            import torch

            self.turn = 0
            self.halves = torch.frombuffer(memory, dtype=torch.float32).view(2, size, CAPACITY)

    def add_up(self, tensor: Tensor) -> None:
        """Put the sum over all processes into each one's float32 tensor; all call this with the same shape."""
        if self.size == 1:
            return
        for piece in tensor.view(-1).split(CAPACITY):
            slots = self.halves[self.turn, :, : len(piece)]
            slots[self.rank] = piece
            self.barrier.wait()
            piece.copy_(slots.sum(0))
            # Who is ahead goes on in the other half, and comes back to this one after the next barrier only.
            self.turn = 1 - self.turn


ALONE = Team()


def run_team(size: int, work: Callable[..., object], *arguments: object, preload: str) -> None:
    """Run ``work(team, *arguments)`` in processes that form a team, and wait for all of them.

    Args:
        size: How many.
        work: A function of a module, which each process imports by name.
        arguments: For ``work``; they are pickled.
        preload: A module to import once, before the processes are forked from the one that has.

    Raises:
        ChildProcessError: One of them failed or was killed; the others are ended at once.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    memory = context.RawArray("f", 2 * size * CAPACITY)
    barrier = context.Barrier(size)
    members = [
        context.Process(target=_member, args=(rank, size, memory, barrier, work, arguments), daemon=True)
        for rank in range(size)
    ]
    try:
        with _no_gpu():
            for member in members:
                member.start()
        while running := [member.sentinel for member in members if member.is_alive()]:
            wait(running)
            if failed := [member for member in members if member.exitcode]:
                code = failed[0].exitcode
                raise ChildProcessError(f"one of {size} processes ended with exit code {code}; see above for why")
    finally:
        for member in members:
            if member.pid is not None:
                member.kill()
                member.join()


@contextmanager
def _no_gpu() -> Generator[None]:
    """Hide GPUs from the processes that are started meanwhile.

    torch's optimizers ask CUDA whether a graph is being captured, whatever their weights are on, and a process that was
    forked from one that has looked for GPUs cannot ask: it ends with "CUDA error: initialization error".
    """
    variable = "CUDA_VISIBLE_DEVICES"
    before = os.environ.get(variable)
    os.environ[variable] = ""
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _end_with_parent() -> None:
    """End this process when the one that waits for it is gone, in whatever way."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _member(
    rank: int, size: int, memory: Any, barrier: Any, work: Callable[..., object], arguments: Sequence[object]
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches every process of a terminal; the one that waits for these ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch

    torch.set_num_threads(1)
    work(Team(rank, size, memory, barrier), *arguments)
