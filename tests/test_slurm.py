"""slurm.sh with stand-ins for SLURM's commands and for the training: signals, exit codes, the queue, several nodes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from spark_verl.trainer.ending import PREEMPTED

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "run_scripts" / "slurm.sh"

# Notes its call; as the training it waits for a signal, notes each, and ends as it is told to.
PYTHON = """#!/bin/sh
echo "python $*" >> "$CALLS"
case "$*" in *version_info*) echo 3.11 ;; esac
case "$*" in *spark_verl.main*) ;; *) exit 0 ;; esac
trap 'echo USR1 >> "$CALLS"' USR1
trap 'echo TERM >> "$CALLS"' TERM
touch "$CALLS.started"
while [ ! -e "$CALLS.end" ]; do sleep 0.05; done
exit $(cat "$CALLS.end")
"""
COMMANDS = {
    "scontrol": """#!/bin/sh
case "$1" in show) echo first; echo second ;; *) echo "scontrol $*" >> "$CALLS" ;; esac
""",
    "srun": """#!/bin/sh
echo "srun $* with RAY_OPTIONS=$RAY_OPTIONS" >> "$CALLS"
""",
}


@pytest.fixture
def job(tmp_path):
    """Start the script as a job on so many nodes; its calls."""
    for name, text in {**COMMANDS, "python": PYTHON}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    started = []

    def start(nodes: int, *arguments: str, **variables: str) -> subprocess.Popen:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "RAY"))},
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "SPARK_PYTHON": f"{tmp_path}/python",
            "CALLS": f"{tmp_path}/calls",
            "DEVICE": "cpu",
            "SLURM_SUBMIT_DIR": str(ROOT),
            **variables,
        }
        if "DRY_RUN" not in variables:
            environment |= {"SLURM_JOB_NODELIST": "n", "SLURM_JOB_NUM_NODES": str(nodes), "SLURM_JOB_ID": "17"}
        # SLURM runs a copy.
        copy = shutil.copy(SCRIPT, tmp_path / "slurm_script")
        started.append(
            subprocess.Popen(
                ["bash", str(copy), "spark_7b", *arguments], env=environment, stdout=subprocess.PIPE, text=True
            )
        )
        return started[-1]

    start.calls = lambda: (tmp_path / "calls").read_text()
    start.end = lambda code: (tmp_path / "calls.end").write_text(str(code))

    def until(condition) -> None:
        while not condition():
            assert started[-1].poll() is None, "the job has ended"
            time.sleep(0.05)

    start.until_training = lambda: until((tmp_path / "calls.started").exists)
    start.until_noted = lambda word: until(lambda: word in start.calls())
    yield start
    # The stand-in for a training goes on until it is told to end.
    start.end(0)
    for process in started:
        process.kill()


@pytest.mark.parametrize("sent", [signal.SIGUSR1, signal.SIGTERM])
def test_a_preempted_run_goes_back_into_the_queue(job, sent):
    script = job(1)
    job.until_training()
    script.send_signal(sent)
    job.until_noted("USR1")
    script.send_signal(signal.SIGTERM)
    job.end(PREEMPTED)
    assert script.wait(60) == PREEMPTED
    assert job.calls().count("USR1") == 1 and "TERM" not in job.calls(), "a second signal would stop it at once"
    assert "scontrol requeue 17" in job.calls()


@pytest.mark.parametrize("code", [0, 1, 127, 137])
def test_a_run_that_ends_by_itself_does_not(job, code):
    script = job(1)
    job.until_training()
    job.end(code)
    assert script.wait(60) == code
    assert "requeue" not in job.calls()


def test_several_nodes(job):
    job.end(0)
    script = job(2, "trainer.save_freq=5")
    assert script.wait(60) == 0
    calls = job.calls()
    assert "-m ray.scripts.scripts start --head --port 6379" in calls
    assert f"srun --nodes 1 --ntasks 1 --relative 1 bash {ROOT}/run_scripts/start_ray.sh worker first" in calls
    assert "with RAY_OPTIONS= --block" in calls
    assert "first:6379 2" in calls, "waits for both nodes"
    training = next(line for line in calls.splitlines() if "spark_verl.main" in line)
    assert "trainer.nnodes=2" in training and training.endswith("trainer.save_freq=5")


@pytest.mark.parametrize("nodes", ["1", "4"])
def test_a_dry_run_needs_no_slurm(job, nodes):
    job.end(0)
    script = job(0, DRY_RUN="1", NODES=nodes)
    said, _ = script.communicate(timeout=60)
    assert script.returncode == 0
    assert ("--relative 1" in said) == (nodes == "4")
    assert f"trainer.nnodes={nodes}" in job.calls()
