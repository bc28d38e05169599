"""Fixtures for what is decided once per process: code runs in a fresh interpreter with a chosen environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

PLATFORM_VARIABLES = ("VERL_PLATFORM", "VERL_ENGINE_DEVICE", "VERL_USE_EXTERNAL_PLUGINS", "RAY_ADDRESS")


@pytest.fixture(scope="session")
def run_python() -> Callable[..., Any]:
    """Return ``run(code, **environment)``: runs code that leaves a JSON-serialisable ``result``, and returns that."""

    def run(code: str, **environment: str) -> Any:
        clean = {name: value for name, value in os.environ.items() if name not in PLATFORM_VARIABLES}
        program = "import json, sys\n" + code + "\nprint('\\nRESULT', json.dumps(result))\n"
        done = subprocess.run(
            [sys.executable, "-c", program], env=clean | environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return json.loads(done.stdout.rpartition("RESULT ")[2].splitlines()[0])

    return run
