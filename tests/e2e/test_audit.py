"""The audit with real vLLM on CPU and the digits model, by its script; a second start asks nothing."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import forked
import pytest

from spark_verl.evaluation.results import read_results
from spark_verl.vocabulary import SelfRewardKind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SCRIPT = Path(__file__).resolve().parents[2] / "run_scripts" / "audit.sh"
QUESTIONS, SAMPLES, VERDICTS, ANSWERS = 32, 4, 3, 2


def start(model_folder: str, data_folder: Path, output: Path) -> subprocess.CompletedProcess:
    command = ["bash", str(SCRIPT), model_folder, f"{data_folder}/train.parquet", "--no_progress"]
    command += ["--questions", str(QUESTIONS), "--samples", str(SAMPLES), "--verdicts", str(VERDICTS)]
    command += ["--answers", str(ANSWERS), "--templates", "pkg://spark_verl.digits/templates", "--max_tokens", "64"]
    environment = {**os.environ, **forked.environment(), "DEVICE": "cpu", "HF_HUB_OFFLINE": "1"}
    environment["OUTPUT_DIR"] = str(output)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_digits_model_is_audited(model_folder, data_folder, tmp_path):
    output = tmp_path / "audit"
    first = start(model_folder, data_folder, output)
    assert first.returncode == 0, first.stderr[-4000:]
    assert "| the gate would start at" in first.stdout and "reward: " in first.stdout

    _, records = read_results(output / "results.jsonl")
    assert len(records) == QUESTIONS and not any(record["error"] for record in records)
    for record in records:
        assert len(record["samples"]) == SAMPLES
        judged = {judgement["about"] for judgement in record["judgements"]}
        assert len(judged) <= ANSWERS and len(record["judgements"]) == VERDICTS * len(judged)
        # Samples of one prompt differ, or there would be nothing to vote about.
    assert any(len({sample["text"] for sample in record["samples"]}) > 1 for record in records)

    found = json.loads((output / "audit.json").read_text())
    figures = found["figures"]
    assert figures["questions"] == QUESTIONS
    assert 0 <= figures["pass_rate"]["low"] <= figures["pass_rate"]["value"] <= figures["pass_rate"]["high"] <= 1
    assert set(figures["rho"]) == {kind.value for kind in SelfRewardKind}
    assert 0 <= figures["gate"]["weight"] <= 1
    for cost in ("answering", "judging"):
        assert figures["cost"][cost]["tokens"]["value"] > 0 and figures["cost"][cost]["seconds"]["value"] > 0
    assert found["advice"] and found["versions"]["transformers"]
    assert (output / "audit.png").stat().st_size > 20_000

    before, log = (output / "results.jsonl").read_bytes(), (output / "server.log").stat().st_mtime
    time.sleep(0.01)
    second = start(model_folder, data_folder, output)
    assert second.returncode == 0 and f"0 questions, {QUESTIONS} from an earlier start" in second.stderr
    assert second.stdout == first.stdout
    assert (output / "results.jsonl").read_bytes() == before
    assert (output / "server.log").stat().st_mtime == log  # no server was started
