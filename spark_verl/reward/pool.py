"""Algebra in processes that are killed at the time limit and replaced, callable from threads and from asyncio.

A thread cannot be stopped and SIGALRM does not reach sympy inside a long C call, so the limit is a kill. Every process
has a thread here that hands it one comparison at a time. These threads are daemons and nothing joins them: an
interpreter that ends has nobody to wait for.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
from concurrent.futures import Future
from queue import SimpleQueue

from spark_verl.reward.options import RewardOptions
from spark_verl.reward.processes import ForkServer, Worker
from spark_verl.vocabulary import Status

logger = logging.getLogger(__name__)

_CACHE_SIZE = 20_000
_CALLS_PER_PROCESS = 2_000  # sympy's caches grow without end; a fresh process costs milliseconds


class SymbolicPool:
    """A pool for :func:`spark_verl.reward.algebra.equal`. Its processes start with the first comparison.

    What was decided is remembered by (answer, truth): the samples of a group repeat each other. A time-out or the death
    of a process may be the machine's fault and is not remembered.

    Args:
        options: Limits and number of processes.
        server: Where the processes come from.
    """

    def __init__(self, options: RewardOptions, server: ForkServer) -> None:
        self.options = options
        self._server = server
        self._lock = threading.Lock()
        self._started = False
        self._tasks: SimpleQueue[tuple[Future[str], str, str]] = SimpleQueue()
        self._workers: dict[int, Worker] = {}
        self._decided: dict[tuple[str, str], str] = {}

    def equal(self, answer: str, truth: str) -> str:
        """Compare; blocks the calling thread.

        Returns:
            "equal", "different", "unparsable", "timeout" or "error". Never raises.
        """
        return self._decided.get((answer, truth)) or self._submit(answer, truth).result()

    async def aequal(self, answer: str, truth: str) -> str:
        """:meth:`equal` without blocking the event loop."""
        return self._decided.get((answer, truth)) or await asyncio.wrap_future(self._submit(answer, truth))

    def start(self) -> None:
        """Start the processes in the background; they need 3 to 4 s to import the algebra the first time."""
        with self._lock:
            if not self._started:
                self._started = True
                for slot in range(self.options.num_workers):
                    threading.Thread(target=self._run, args=(slot,), name="spark-algebra", daemon=True).start()

    def warm_up(self) -> None:
        """Start the processes and wait until they compare."""
        self._submit("1", "1").result()

    def pids(self) -> list[int]:
        """Process ids of the workers, for tests and diagnosis."""
        return [worker.pid for worker in list(self._workers.values())]

    def _submit(self, answer: str, truth: str) -> Future[str]:
        self.start()
        future: Future[str] = Future()
        self._tasks.put((future, answer, truth))
        return future

    def _run(self, slot: int) -> None:
        """The life of a thread: one comparison after the other, by one worker after the other."""
        while True:
            self._ready(slot)  # a killed worker is replaced while nobody waits for it
            future, answer, truth = self._tasks.get()
            if future.set_running_or_notify_cancel():
                future.set_result(self._compare(slot, answer, truth))

    def _ready(self, slot: int) -> Worker | None:
        """This thread's worker, a new one where there is none that can be called; None if none can be started."""
        worker = self._workers.get(slot)
        if worker is None or not worker.alive or worker.calls >= _CALLS_PER_PROCESS:
            if worker := self._workers.pop(slot, None):
                worker.close()
            for last_try in (False, True):  # that the server was killed may show only when it is asked
                try:
                    self._workers[slot] = Worker(self._server, self.options.memory_mb)
                    break
                except (EOFError, OSError) as error:
                    if last_try:
                        _warn_once(f"no process could be started: {type(error).__name__}: {error}")
        return self._workers.get(slot)

    def _compare(self, slot: int, answer: str, truth: str) -> str:
        worker = self._ready(slot)  # an idle one may have been killed from outside
        if worker is None:
            return Status.ERROR
        try:
            outcome = worker.call(answer, truth, timeout_s=self.options.timeout_s)
        except TimeoutError:
            self._workers.pop(slot)
            return Status.TIMEOUT
        except Exception as error:  # a process may end in any way: limits, signals
            _warn_once(f"{type(error).__name__}: {error}")
            return Status.ERROR
        if len(self._decided) >= _CACHE_SIZE:
            self._decided.clear()
        self._decided[answer, truth] = outcome
        return outcome


@functools.lru_cache(maxsize=100)
def _warn_once(message: str) -> None:
    if not threading.main_thread().is_alive():
        return  # an interpreter that ends kills the server, and with it the workers, which is nobody's fault
    logger.warning(f"symbolic comparison failed, the row is not verified ({message}); logged once per kind")


_server = ForkServer("spark_verl.reward.algebra:equal")
_pools: dict[tuple[float, int, int], SymbolicPool] = {}


def get_pool(options: RewardOptions | None = None) -> SymbolicPool:
    """The process-wide pool for these options; it starts nothing by itself."""
    options = options or RewardOptions()
    key = (options.timeout_s, options.num_workers, options.memory_mb)
    return _pools.setdefault(key, SymbolicPool(options, _server))


def _forget() -> None:
    """A process that was forked from this one has none of its threads, and locks in any state."""
    global _server
    _server = ForkServer(_server.task)
    _pools.clear()


os.register_at_fork(after_in_child=_forget)
