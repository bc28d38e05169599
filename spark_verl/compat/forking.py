"""Start the server from which the processes of a run on CPUs are forked (:mod:`spark_verl.compat.fork_server`)."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from spark_verl.compat import fork_server

MODULES = (
    "torch",
    "tensordict",
    "datasets",
    "peft",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "vllm.v1.worker.cpu_worker",
    "vllm.entrypoints.openai.api_server",
)
"""What most of a run's processes import, and what takes long. Nothing that imports Ray, whose library reads the
environment of its process (which job it belongs to, whether a token is asked for) once, when it is loaded."""


def start(modules: tuple[str, ...] = MODULES, settings: dict[str, str] | None = None) -> dict[str, str]:
    """Start the server. It ends with this process, and leaves nothing behind.

    Where the environment names one that answers, that one is used, and ends with whoever started it: several runs, one
    after the other or beside each other, import once. Variables that libraries read when they are imported are then
    the server's (torch's number of threads is the program's own).

    Args:
        modules: What is imported, in this order.
        settings: Variables that libraries read when they are imported, where this process has others or none.

    Returns:
        The variables that the executable needs; :data:`~spark_verl.compat.fork_server.LAUNCHER` is its path.
    """
    if found := named():
        return found
    folder = Path(tempfile.mkdtemp(prefix="spark_verl_"))
    # The server does the same, where this process is killed.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    launcher, address = folder / "python", folder / "socket"
    # An executable has one path and no options of its own where multiprocessing starts it.
    launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" -ISE "{fork_server.__file__}" "$@"\n', encoding="utf-8")
    launcher.chmod(0o700)
    variables = {fork_server.ADDRESS: str(address), fork_server.LAUNCHER: str(launcher)}
    # Its other end stays open as long as this process lives.
    lifeline, _ = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        # Requests wait until all is imported.
        listener.listen(64)
        files = [listener.fileno(), lifeline]
        # What modules have to say when they are imported is said by the driver, which imports them, too.
        quiet = subprocess.DEVNULL
        subprocess.Popen(
            [sys.executable, fork_server.__file__, fork_server.SERVE, *map(str, files), *modules],
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            pass_fds=files,
            start_new_session=True,
            cwd="/",
            # The first is one that no program has otherwise: see Server._become.
            env=variables | os.environ | (settings or {}) | variables,
        )
    os.close(lifeline)
    return variables


def named() -> dict[str, str]:
    """The variables of the server that the environment names; none where none answers."""
    names = (fork_server.ADDRESS, fork_server.LAUNCHER)
    with contextlib.suppress(OSError, KeyError), socket.socket(socket.AF_UNIX) as server:
        server.connect(os.environ[fork_server.ADDRESS])
        return {name: os.environ[name] for name in names}
    return {}


def python() -> str:
    """What starts a Python program: the executable of the server that the environment names, or an interpreter."""
    return named().get(fork_server.LAUNCHER, sys.executable)


def wait(address: str) -> None:
    """Return when the server at this address has imported everything, or has ended without.

    Ray gives its own processes 30 seconds to start, which on a few cores they would share with the imports.
    """
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        # A request without a word is refused, once requests are looked at.
        server.shutdown(socket.SHUT_WR)
        server.recv(1)
