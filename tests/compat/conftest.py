"""Fixtures for what is decided once per process: code runs in a fresh process with a chosen environment."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import pytest

PLATFORM_VARIABLES = ("VERL_PLATFORM", "VERL_ENGINE_DEVICE", "VERL_USE_EXTERNAL_PLUGINS", "RAY_ADDRESS")

# What `import verl` spends its time on; none of it knows about platforms. Each case is forked from a process that has
# these and neither verl, vLLM nor spark_verl.
PRELOADED = ["torch", "torch.distributed.fsdp", "tensordict", "transformers", "ray", "transfer_queue"]

PROGRAM = """
import os
import sys
import traceback
os.environ.clear()
os.environ.update(environment)
assert "verl" not in sys.modules
try:
    exec(code, scope := {"__name__": "case"})
    channel.send((scope["result"], None))
except BaseException:
    channel.send((None, traceback.format_exc()))
"""


@pytest.fixture(scope="session")
def run_python() -> Callable[..., Any]:
    """Return ``run(code, **environment)``: runs code that leaves a picklable ``result``, and returns that."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def run(code: str, **environment: str) -> Any:
        clean = {name: value for name, value in os.environ.items() if name not in PLATFORM_VARIABLES}
        receiver, sender = context.Pipe(duplex=False)
        scope = {"code": code, "environment": clean | environment, "channel": sender}
        process = context.Process(target=exec, args=(PROGRAM, scope))
        process.start()
        sender.close()
        try:
            result, error = receiver.recv()
        except EOFError:
            process.join()
            pytest.fail(f"the process died with code {process.exitcode}")
        finally:
            process.join(timeout=30)
            process.kill()
        assert error is None, error
        return result

    return run
