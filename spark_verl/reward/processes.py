"""Processes that have everything imported when they start, and can be killed.

    this process ──────── control ────────► server: imports the task once ── fork ──► worker
         └── a connection for each worker: arguments ──►, ◄── what the task returned ──┘

``fork`` alone copies a process full of threads (Ray, vLLM) and deadlocks now and then; ``spawn`` imports sympy anew for
every killed worker (3 s) and runs the caller's main module again, so that a script without a ``__main__`` guard would
start itself. The server has one thread and nobody's main module.

Nothing outlives its parent, however that ends: server and idle workers read the end of their sockets, and a worker
that is busy is killed by the kernel with the server.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

_PR_SET_PDEATHSIG = 1


class TaskError(Exception):
    """The task raised an exception in its process; the message names it."""


class ForkServer:
    """Forks workers for one task; starts with the first of them, and again if it was killed.

    Args:
        task: What workers run, as ``"module:function"``.
    """

    def __init__(self, task: str) -> None:
        self.task = task
        self._lock = threading.Lock()
        self._control: socket.socket | None = None

    def fork(self) -> Connection:
        """Ask for a worker and return the connection to it; see :class:`Worker`."""
        mine, theirs = socket.socketpair()
        with theirs, self._lock:
            # It never answers here: what can be read is its end.
            control = self._control
            if control is None or wait([control], timeout=0):
                control = self._control = self._start()
            socket.send_fds(control, [b"1"], [theirs.fileno()])
        return Connection(mine.detach())

    def _start(self) -> socket.socket:
        control, theirs = socket.socketpair()
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"{program}({theirs.fileno()}, {self.task!r})"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the parent, whose end is then noticed
            )
        # While it imports it notices nothing. In a process forked from this one this does nothing: it is no child.
        atexit.register(self._process.kill)
        return control


class Worker:
    """A process that runs the task again and again. Not for several threads at a time.

    Args:
        server: Where it is forked; blocks until that has imported the task.
        memory_mb: Limit of its address space in MiB; 0 for none.

    Raises:
        EOFError, OSError: The server could not start.
    """

    def __init__(self, server: ForkServer, memory_mb: int) -> None:
        self._connection = server.fork()
        self._connection.send(memory_mb)
        self.pid: int = self._connection.recv()
        self.calls = 0

    @property
    def alive(self) -> bool:
        """Whether it can be called. It never speaks unasked: what can be read between calls is its end."""
        return not self._connection.closed and not self._connection.poll()

    def call(self, *arguments: Any, timeout_s: float) -> Any:
        """Run the task and return its value.

        Raises:
            TimeoutError: It took too long, and the process was killed.
            TaskError: The task raised.
            EOFError, OSError: The process has died.
        """
        self.calls += 1
        self._connection.send(arguments)
        if not self._connection.poll(timeout_s):
            os.kill(self.pid, signal.SIGKILL)
            self.close()
            raise TimeoutError
        value, problem = self._connection.recv()
        if problem:
            raise TaskError(problem)
        return value

    def close(self) -> None:
        """Hang up; the process ends when it has nothing to do."""
        self._connection.close()


def serve(control: int, task: str) -> None:
    """The server's program: fork a worker for every socket that arrives, until the parent is gone.

    Args:
        control: File descriptor of the socket.
        task: See :class:`ForkServer`.
    """
    module, _, name = task.partition(":")
    function = getattr(importlib.import_module(module), name)
    gc.freeze()  # a collection in a worker would copy the pages of all that was imported
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for workers
    requests = socket.socket(fileno=control)
    while descriptors := socket.recv_fds(requests, 1, 1)[1]:
        if os.fork() == 0:
            try:
                requests.close()
                _work(Connection(descriptors[0]), function)
            finally:
                os._exit(0)
        os.close(descriptors[0])


def _work(connection: Connection, function: Callable[..., Any]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if memory_mb := connection.recv():
        resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 2**20,) * 2)
    connection.send(os.getpid())
    with contextlib.suppress(EOFError):
        while True:
            arguments = connection.recv()
            try:
                reply = function(*arguments), None
            except Exception as error:  # whatever it is, the caller is told
                reply = None, f"{type(error).__name__}: {error}"
            connection.send(reply)
