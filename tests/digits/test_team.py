"""Processes that share the warm start: they add up, they make the same model, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from team_work import add_up, look_for_gpus, lose_one

from spark_verl.digits.build_model import build
from spark_verl.digits.schedule import Schedule
from spark_verl.digits.team import CAPACITY, run_team

WARM_START = "spark_verl.digits.warm_start"
"""Named by all: the fork server imports what it is told first."""


def test_all_get_the_sum_however_long_it_is(tmp_path: Path) -> None:
    run_team(3, add_up, str(tmp_path), CAPACITY + 3, preload=WARM_START)
    assert [(tmp_path / str(rank)).read_text() for rank in range(3)] == ["[True, True]"] * 3


def test_processes_see_no_gpu(tmp_path: Path) -> None:
    """A forked process whose parent has looked for GPUs cannot ask CUDA anything, and torch's optimizers do ask."""
    # The fork server of this process may be older than the variable: another process has one of its own.
    code = "import os; from team_work import look_for_gpus; from spark_verl.digits.team import run_team;"
    code += f"run_team(2, look_for_gpus, {str(tmp_path)!r}, preload='torch'); print(os.environ['CUDA_VISIBLE_DEVICES'])"
    folder = Path(look_for_gpus.__code__.co_filename).parent
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0"}
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert found.stdout == "0\n", found.stderr
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["''"] * 2


@pytest.mark.parametrize(("way", "code"), [("failed", 1), ("killed", -9)])
def test_losing_one_process_is_an_error(way: str, code: int) -> None:
    with pytest.raises(ChildProcessError, match=f"one of 2 processes ended with exit code {code}"):
        run_team(2, lose_one, way, preload=WARM_START)


def test_any_number_of_processes_makes_the_same_model(tmp_path: Path) -> None:
    """Up to rounding, which is a hundredth of a step here at most."""
    schedule = replace(Schedule(), perception_steps=3, skill_steps=4, habit_steps=3, batch=5)
    alone, *others = (
        load_file(build(tmp_path / str(n), 0, schedule, False, processes=n) / "model.safetensors") for n in (None, 2, 3)
    )
    for other in others:
        for name, weight in alone.items():
            torch.testing.assert_close(other[name], weight, atol=2e-5, rtol=0, msg=name)


@pytest.fixture
def building(tmp_path: Path):
    """The program while its two processes teach, and all that it started."""
    environment = {**os.environ, "SPARK_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "spark_verl.digits.build_model", "--processes", "2", "--output_dir"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, str(tmp_path / "model")],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # Whoever is started by a script in the background ignores Ctrl-C, and so does all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    program = psutil.Process(process.pid)
    try:
        deadline = time.monotonic() + 300
        while "warm start" not in (tmp_path / "log").read_text():
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.2)
        yield process, program.children(recursive=True), tmp_path / "log"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def members(started: list[psutil.Process]) -> list[psutil.Process]:
    """The processes of the team: forked from the fork server."""
    inside = {process.pid for process in started}
    return [process for process in started if process.ppid() in inside]


@pytest.mark.parametrize("way", ["Ctrl-C", "terminate", "kill"])
def test_when_the_program_is_stopped_nothing_is_left(building, way: str) -> None:
    process, started, log = building
    assert len(members(started)) == 2
    if way == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGTERM if way == "terminate" else signal.SIGKILL)
    assert process.wait(300) != 0
    _, alive = psutil.wait_procs(started, timeout=300)
    assert alive == []
    assert list(log.parent.glob("cache/warm_start/*/config.json")) == []


def test_when_a_process_is_killed_the_program_says_so(building) -> None:
    process, started, log = building
    members(started)[1].kill()
    assert process.wait(300) == 1
    assert "the warm start failed: one of 2 processes ended with exit code -9" in log.read_text()
    assert "leaked" not in log.read_text()
    _, alive = psutil.wait_procs(started, timeout=300)
    assert alive == []
