"""Every script calls the interpreter that SPARK_PYTHON names, and no other."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "run_scripts"

# Notes what it is asked to run. It answers the version as setup_env.sh asks for it.
NOTING = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$2" in *version_info*) echo 3.11 ;; esac
"""
OTHER = """#!/bin/sh
echo "$0 $@" >> "$OTHERS"
exit 9
"""

CASES = {
    "ablate.sh": ([], {}),
    "ask.sh": (["question"], {}),
    "ask.sh cpu": (["question"], {"DEVICE": "cpu", "MODEL": "m"}),
    "audit.sh": (["model", "data.parquet"], {"DEVICE": "cpu"}),
    "audit.sh gpu": (["model", "data.parquet"], {}),
    "evaluate.sh": (["model"], {"DEVICE": "cpu"}),
    "evaluate.sh gpu": (["model"], {}),
    "gpu_check.sh": (["--size", "tiny"], {}),
    "grpo_vl_7b.sh": ([], {}),
    "merge_checkpoint.sh": (["checkpoint"], {"DEVICE": "cpu"}),
    "quickstart.sh": ([], {"DRY_RUN": "1"}),
    "quickstart.sh gpu": ([], {"DRY_RUN": "1", "DEVICE": "gpu"}),
    "run_tests.sh": (["tests/config"], {}),
    "run_tests.sh all": ([], {}),
    "serve.sh": (["model"], {"DEVICE": "cpu"}),
    "serve.sh gpu": (["model"], {}),
    "setup_gpu.sh": ([], {"NO_GPU": "1"}),
    "slurm.sh": (["spark_7b"], {"DRY_RUN": "1"}),
    "spark_7b.sh": ([], {}),
    "spark_vl_32b.sh": ([], {}),
    "spark_vl_3b_lora.sh": ([], {}),
    "spark_vl_7b.sh": ([], {}),
    "spark_vl_7b.sh cpu": ([], {"DEVICE": "cpu"}),
    "start_ray.sh": (["head"], {}),
    "train.sh": (["spark_7b"], {}),
}


@pytest.mark.parametrize("case", CASES)
def test_spark_python_is_the_interpreter(case: str, tmp_path: Path) -> None:
    arguments, variables = CASES[case]
    for name, text in (("named", NOTING), ("bin/python", OTHER), ("bin/python3", OTHER)):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    actor = tmp_path / "checkpoint" / "actor"
    actor.mkdir(parents=True)
    (actor / "model_world_size_1_rank_0.pt").touch()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("SPARK", "VIRTUAL_ENV"))},
        **{"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SPARK_PYTHON": f"{tmp_path}/named"},
        **{"CALLS": f"{tmp_path}/calls", "OTHERS": f"{tmp_path}/others", "OUTPUT_DIR": f"{tmp_path}/output"},
        **variables,
    }
    arguments = [str(tmp_path / "checkpoint") if a == "checkpoint" else a for a in arguments]
    subprocess.run(
        [shutil.which("bash"), str(SCRIPTS / case.split()[0]), *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=1500,
    )
    assert not (tmp_path / "others").exists(), (tmp_path / "others").read_text()
    assert (tmp_path / "calls").read_text().strip()


def merge(tmp_path: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """merge_checkpoint.sh with an interpreter that notes what it is asked for."""
    (tmp_path / "named").write_text(NOTING)
    (tmp_path / "named").chmod(0o755)
    done = subprocess.run(
        [shutil.which("bash"), str(SCRIPTS / "merge_checkpoint.sh"), *arguments],
        cwd=tmp_path,
        env=os.environ | {"SPARK_PYTHON": f"{tmp_path}/named", "CALLS": f"{tmp_path}/calls"},
        capture_output=True,
        text=True,
    )
    return done, (tmp_path / "calls").read_text() if (tmp_path / "calls").exists() else ""


@pytest.mark.parametrize("place", ["run", "run/checkpoints"])
@pytest.mark.parametrize("given", ["run", "run/", "{place}", "{place}/global_step_5", "{place}/global_step_5/actor"])
def test_a_run_and_its_checkpoints_can_be_merged(place: str, given: str, tmp_path: Path) -> None:
    for step in (5, 7):
        actor = tmp_path / place / f"global_step_{step}" / "actor"
        actor.mkdir(parents=True)
        (actor / "model_world_size_1_rank_0.pt").touch()
    (tmp_path / place / "latest_checkpointed_iteration.txt").write_text("7")
    done, calls = merge(tmp_path, given.format(place=place))
    assert done.returncode == 0, done.stderr
    checkpoint = f"{place}/global_step_{5 if 'step_5' in given else 7}"
    assert f"--local_dir {checkpoint}/actor --target_dir {checkpoint}/merged" in calls


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", "nowhere does not exist: give the folder of a run or of a checkpoint"),
        ("empty", "empty is no checkpoint: it has no folder actor"),
        ("bare", "bare/actor has no model shards"),
    ],
)
def test_what_cannot_be_merged_is_one_line(given: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare" / "actor").mkdir(parents=True)
    done, calls = merge(tmp_path, given)
    assert done.returncode == 2 and not calls
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_no_script_is_forgotten() -> None:
    named = {case.split()[0] for case in CASES} | {"setup_env.sh", "gpu_host.sh"}
    assert named == {path.name for path in SCRIPTS.glob("*.sh")}
