"""A Python whose programs begin with everything imported, forked from one server for all tests.

A run's own processes are forked in any case; with this, so is the command that begins it, and all runs share what was
imported. That is a third of the CPU time of a run of a few small steps. What is killed, or looked at as a family of
processes, is left to an interpreter and a server of its own, as users have them.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path

from spark_verl.compat import bootstrap, fork_server, forking

_SHARED = "SPARK_TEST_FORKED"


def share() -> None:
    """Start the server of all test processes that this process will start."""
    os.environ[_SHARED] = json.dumps(environment())


@functools.cache
def environment() -> dict[str, str]:
    """The variables that :func:`python` needs; with them, scripts call it."""
    if _SHARED in os.environ:
        return json.loads(os.environ[_SHARED])
    variables = forking.start(settings=bootstrap.cpu_environment())
    return {**variables, "SPARK_PYTHON": variables[fork_server.LAUNCHER]}


def python() -> str:
    """The path of an executable that takes the arguments of an interpreter."""
    return environment()[fork_server.LAUNCHER]


def two_ranks(program: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run a program as two ranks on the CPU, with verl's platform for it."""
    own = {"VERL_PLATFORM": "cpu", "VERL_ENGINE_DEVICE": "cuda", "OMP_NUM_THREADS": "1", "PYTHON_EXEC": python()}
    return subprocess.run(
        [python(), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program), *arguments],
        env={**os.environ, **environment(), **own},
        capture_output=True,
        text=True,
        timeout=1500,
    )
