"""The GPU check without a GPU: the same program with its tiny model, one real step of each way to train."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import forked
import pytest
from gpu_check import arms, sizes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

ROOT = Path(__file__).resolve().parents[2]


def start(folder: Path, command: list[str], **variables: str) -> subprocess.Popen:
    """Start a command in a session of its own, with its output where the other runs have theirs."""
    with (folder / "train.log").open("w") as log:
        return subprocess.Popen(
            command,
            env={**os.environ, **forked.environment(), "OUTPUT_DIR": str(folder), **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def test_the_tiny_check_passes_on_a_cpu(tmp_path: Path, runner: SimpleNamespace) -> None:
    """SPARK and verl's own GRPO on as many sequences, sampler and actor in agreement, a report that says so."""
    script = ["bash", str(ROOT / "run_scripts" / "gpu_check.sh"), "--device", "cpu", "--size", "tiny"]
    run = runner.finish(start(tmp_path, [*script, "--only", "spark", "verl", "--steps", "1"]), tmp_path)
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert found["failed"] == {} and all(goal["met"] for goal in found["goals"]), run.log
    names = {goal["name"] for goal in found["goals"]}
    assert {f"{arm}: sampler-actor correlation, lowest" for arm in ("spark", "verl")} <= names
    assert "spark: leaked keys, most" in names
    # A model so small says nothing about speed.
    assert not any("tokens/s" in name for name in names)
    figures, planned = found["figures"], arms.sequences(sizes.TINY)
    assert figures["verl"]["sequences"] == planned
    # Groups of four with one outcome give no reflection on a right or a wrong attempt, as the ask may have it.
    assert planned / 2 < figures["spark"]["sequences"] <= planned
    for figure in figures.values():
        assert figure["timing_s/step"] > 0 and figure["tokens/s"] > 0
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "**passed**" in report and report in run.log
