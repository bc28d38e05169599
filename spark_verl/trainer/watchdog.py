"""A run never hangs: what died, or what is waited for in vain, ends it with one line that names it.

verl's trainer does not ask whether its agent-loop workers or TransferQueue's storage are still there: when one is gone,
it polls forever. Here a thread beside it does. A process that was there when the training began and has died ends the
run within seconds; so does an engine whose server has outlived it (a weight update would wait for it without an end),
and ``spark.stall_timeout_s`` without any progress.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from types import FrameType, TracebackType
from typing import Any

from ray.exceptions import RayActorError

from spark_verl.compat import ray_state
from spark_verl.options import brief
from spark_verl.rollout.sampler import Seen
from spark_verl.trainer import ending

logger = logging.getLogger(__name__)

HEARD_S = 30.0
"""For Ray's head node to hear of a loss that the trainer came upon: a moment, on a busy machine more than 5 s."""
LOOK_S = 5.0
"""Seconds between two looks."""
GRACE_S = 30.0
"""Seconds that the trainer has to clean up, where what it cleans up may be what is gone."""
MOST_ASKED = 32
"""Servers that are asked at once."""
MOST_SHOWN = 3
"""Prompts, or processes, that are named."""

_REMEDY = "; start the same command again to go on from the last checkpoint"
_SIGNAL = signal.SIGUSR2
_WORKER = re.compile(r"agent_loop_worker_(\d+)_")
"""How verl names its agent-loop workers."""
_TRAINERS = ("/verl/trainer/", "/spark_verl/trainer/")


class Watchdog:
    """Watches while its ``with`` block runs, which must be in the main thread of an actor.

    Args:
        stall_timeout_s: Seconds without progress that are too many; 0 for no limit.
        progress: Gives something that changes whenever the trainer gets on.
        awaited: Says what the trainer waits for.
        servers: Gives the addresses of vLLM's servers.

    Raises:
        RunEnded: From the block, in place of what it does: something died, or nothing happens any more.
    """

    def __init__(
        self,
        stall_timeout_s: float,
        progress: Callable[[], Any],
        awaited: Callable[[], str],
        servers: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._stall_timeout_s, self._progress, self._awaited = stall_timeout_s, progress, awaited
        self._servers = servers
        self._over = threading.Event()
        self._cause: str | None = None
        self._main = threading.get_ident()

    def __enter__(self) -> Watchdog:
        self._before = signal.signal(_SIGNAL, _interrupt)
        self._there = ray_state.actors("ALIVE")
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._over.set()
        signal.signal(_SIGNAL, self._before)
        if self._cause and kind is KeyboardInterrupt:
            raise ending.RunEnded(self._cause) from None
        if isinstance(error, RayActorError):
            # The trainer came upon it first; Ray's head node may hear of it a moment later.
            raise ending.RunEnded((self._wait_for_loss() or f"a process has died: {brief(error)}") + _REMEDY) from None
        if error is not None and not isinstance(error, ending.Preempted) and (cause := dead_engine(self._servers())):
            raise ending.RunEnded(f"{cause}{_REMEDY}") from error

    def _wait_for_loss(self) -> str | None:
        until = time.monotonic() + HEARD_S
        while (cause := self._lost()) is None and time.monotonic() < until:
            time.sleep(0.5)
        return cause

    def _watch(self) -> None:
        last, since = None, time.monotonic()
        while not self._over.wait(LOOK_S):
            now = self._progress()
            if now != last:
                last, since = now, time.monotonic()
            idle = time.monotonic() - since
            cause = self._lost() or dead_engine(self._servers())
            if cause is None and 0 < self._stall_timeout_s < idle:
                cause = f"nothing has happened for {idle:.0f} s (spark.stall_timeout_s): {self._awaited()}"
            if cause:
                return self._end(cause)

    def _lost(self) -> str | None:
        """Which process of the run has died, and why."""
        try:
            gone = [actor for actor in ray_state.actors("DEAD").values() if actor.id in self._there]
        except Exception as error:  # whatever Ray raises when its head node is busy, or gone and about to end us
            logger.warning(f"the run's processes could not be looked after: {brief(error)}")
            return None
        together: dict[str, list[str]] = {}
        for actor in gone:  # a lost node takes all of its processes with it
            together.setdefault(brief(actor.end, limit=300), []).append(str(actor))
        return "; ".join(f"{_listed(names)} died: {end}" for end, names in together.items()) or None

    def _end(self, cause: str) -> None:
        """Interrupt the trainer; end its process where that does not help."""
        cause += _REMEDY
        ending.note(cause)
        self._cause = cause
        signal.pthread_kill(self._main, _SIGNAL)
        time.sleep(GRACE_S)
        os._exit(1)


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_SHOWN
    shown = ", ".join(names[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{shown} {'has' if len(names) == 1 else 'have'}"


def dead_engine(servers: Sequence[str]) -> str | None:
    """Which of vLLM's servers (``host:port``) has lost its engine, by its own word; None if none says so."""
    if not servers:
        return None
    with ThreadPoolExecutor(min(MOST_ASKED, len(servers))) as pool:
        for server, health in zip(servers, pool.map(_health, servers), strict=True):
            if health == HTTPStatus.SERVICE_UNAVAILABLE:
                return f"the engine of vLLM's server at {server} has died: the first lines from vLLMHttpServer say why"
    return None


def _health(server: str) -> int | None:
    """The code that ``/health`` answers with; None for no answer in time: it is busy, or gone, which Ray knows."""
    # These are machines of the run, not what a proxy is for.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{server}/health", timeout=LOOK_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Ray hands on no other exception of a signal handler while it waits.
    raise KeyboardInterrupt


def awaited(trainer: int, seen: Seen, worker_of: Mapping[str, int]) -> str:
    """What a trainer waits for: prompts, with the worker that runs them, or a part of its step.

    Args:
        trainer: Its thread.
        seen: What was under way when it last looked.
        worker_of: ``{uid: number of its agent-loop worker}``; judge prompts run in their parent's.
    """
    if not seen.under_way:
        return f"the trainer waits in {place(trainer)}"
    workers = ray_state.actors("ALIVE").values()
    named = {int(match[1]): str(actor) for actor in workers if (match := _WORKER.match(actor.name))}
    shown = [
        f"{uid} in {named.get(worker_of[uid], 'a worker that is gone')}" if uid in worker_of else f"{uid} (a judge's)"
        for uid in sorted(seen.under_way)[:MOST_SHOWN]
    ]
    return f"{len(seen.under_way)} of {len(seen.under_way) + seen.ended} prompts have not ended: {', '.join(shown)}"


def place(thread: int) -> str:
    """The innermost function of verl's trainer, or of ours, that a thread is in: ``_update_actor (trainer.py:210)``."""
    for frame in reversed(traceback.extract_stack(sys._current_frames()[thread])):
        if any(folder in frame.filename for folder in _TRAINERS):
            return f"{frame.name} ({os.path.basename(frame.filename)}:{frame.lineno})"
    return "code that is none of the trainer's"
