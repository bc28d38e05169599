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


def test_no_script_is_forgotten() -> None:
    named = {case.split()[0] for case in CASES} | {"setup_env.sh", "gpu_host.sh"}
    assert named == {path.name for path in SCRIPTS.glob("*.sh")}
