"""A vLLM server for as long as one needs it: started, waited for, and stopped with everything that it started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from spark_verl.compat import forking

SERVED_NAME = "spark"

_PR_SET_PDEATHSIG = 1
_LOG_LINES = 15


class ServerError(RuntimeError):
    """The server did not start; the message has the end of its log."""


@dataclass(kw_only=True)
class Server:
    """vLLM's OpenAI server for one model folder, as a context manager.

    Attributes:
        model: Model folder or hub id.
        log: File for the server's output.
        device: "cpu" or "gpu".
        gpus: How many for one model (tensor parallelism).
        timeout_s: Seconds that it may take to start.
        arguments: More options for ``vllm serve``.
        process: While it runs.
        base_url: Where it answers.

    Example:
        >>> with Server("outputs/model", log=Path("server.log"), device="cpu") as server:  # doctest: +SKIP
        ...     ask(server.base_url)
    """

    model: str = field(kw_only=False)
    log: Path
    device: str = "gpu"
    gpus: int = 1
    timeout_s: float = 1800.0
    arguments: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    base_url: str = field(default="", init=False)

    def command(self, port: int) -> list[str]:
        """The command line."""
        where = ["--device", self.device, "--gpus", str(self.gpus), self.model]
        address = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", SERVED_NAME]
        # On a GPU, processes are not forked from what a run on CPUs imports.
        python = forking.python() if self.device == "cpu" else sys.executable
        return [python, "-m", "spark_verl.evaluation.vllm_serve", *where, *address, *self.arguments]

    def __enter__(self) -> Server:
        """Start and wait until it answers.

        Raises:
            ServerError: It died or was not ready in time.
        """
        port = _free_port()
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command(port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        try:
            self._wait(self.process, f"http://127.0.0.1:{port}/health")
        except BaseException:  # also an interrupt while waiting: nothing may be left behind
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self, process: subprocess.Popen[bytes], url: str) -> None:
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            code = process.poll()
            if code is not None:
                raise ServerError(f"the server for {self.model} ended with exit code {code}; {self._log_end()}")
            # Not there yet, or not ready. Never through a proxy that the environment names: it knows nothing of this
            # machine.
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                    return
            time.sleep(0.25)
        raise ServerError(
            f"the server for {self.model} was not ready after {self.timeout_s:.0f} s (--server_timeout); "
            f"{self._log_end()}"
        )

    def _log_end(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return f"end of its log {self.log}:\n" + "\n".join(lines[-_LOG_LINES:])

    def stop(self, patience_s: float = 20.0) -> None:
        """End the server and all its children: politely, then by force. Does nothing when it does not run."""
        process, self.process = self.process, None
        if process is None:
            return
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        _signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=patience_s)
        # Its engine is a child that may outlive it, or be in a group of its own.
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        _signal_group(process.pid, signal.SIGKILL)
        process.wait()
        psutil.wait_procs(family, timeout=patience_s)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # all gone
        os.killpg(group, number)


def _die_with_parent() -> None:
    """Linux: the server gets SIGTERM when the program that started it is killed outright."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
