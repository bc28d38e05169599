"""The evaluation command with real vLLM on CPU: every strategy, killed half way, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import psutil
import pytest
from starlette.testclient import TestClient

from spark_verl.demo import __main__ as demo
from spark_verl.demo.app import Demo
from spark_verl.evaluation import connection
from spark_verl.evaluation.results import read_results
from spark_verl.evaluation.strategies import STRATEGIES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS, LIMIT_S = 20, 3000


def start(model_folder: str, data_folder: Path, output: Path, python: str, **variables: str) -> subprocess.Popen:
    """The command, in a session of its own."""
    command = [python, "-m", "spark_verl.evaluation", model_folder, "--device", "cpu"]
    command += ["--benchmark", f"{data_folder}/test.parquet", f"{data_folder}/judge_test.parquet"]
    command += ["--limit", str(QUESTIONS), "--strategy", *STRATEGIES, "--samples", "4", "--concurrency", "4"]
    command += ["--templates", "pkg://spark_verl.digits/templates", "--output", str(output), "--no_progress"]
    with (output.parent / "evaluate.log").open("a") as log:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def ask_on_the_page(model_folder: str, data_folder: Path, vllm: list[str]) -> list[dict]:
    """What the demo's server says about one question, beside the evaluation and with its vLLM."""
    url = f"http://127.0.0.1:{vllm[vllm.index('--port') + 1]}/v1"
    command = ["--base-url", url, "--tokenizer", model_folder, "--templates", "pkg://spark_verl.digits/templates"]
    options = demo.parser().parse_args([*command, "--benchmark", f"{data_folder}/test.parquet", "--max_tokens", "64"])
    page = Demo(options, connection.prepare(options), url, demo.examples(options))
    client = TestClient(page.app(), base_url="http://127.0.0.1")
    response = client.post("/ask", json={"question": "?", "example": 0, "always_reflect": True})
    return [json.loads(line) for line in response.text.splitlines()]


def lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_every_strategy_killed_and_resumed(model_folder, data_folder, tmp_path):
    output, log = tmp_path / "evaluation", tmp_path / "evaluate.log"
    results = output / "results.jsonl"

    first = start(model_folder, data_folder, output, sys.executable)
    deadline = time.monotonic() + LIMIT_S
    asked: list[dict] = []
    while lines(results) < 30 or not asked:
        family = psutil.Process(first.pid).children(recursive=True)
        if lines(results) > 1 and not asked:
            vllm = next(command for member in family if "vllm_serve" in " ".join(command := member.cmdline()))
            asked = ask_on_the_page(model_folder, data_folder, vllm)
        assert first.poll() is None, f"ended too early:\n{log.read_text()[-4000:]}"
        assert time.monotonic() < deadline, f"too slow:\n{log.read_text()[-4000:]}"
        time.sleep(0.1)
    family = psutil.Process(first.pid).children(recursive=True)
    titles = [" ".join(member.cmdline()) for member in family]
    assert any("vllm_serve" in title for title in titles)
    # A worker of its own would poll the engine on the cores that compute.
    assert any("EngineCore" in title for title in titles) and not any("VLLM::Worker" in title for title in titles)
    kinds = [event["kind"] for event in asked]
    judged = next(event for event in asked if event["kind"] == "judged")
    assert kinds.count("sample") == 2 and kinds[-1] == "ended" and "text" in kinds, asked[-1]
    assert judged["p_right"] is None or 0 <= judged["p_right"] <= 1
    assert isinstance(next(event for event in asked if event["kind"] == "sample")["right"], bool)
    first.send_signal(signal.SIGKILL)
    first.wait()
    # Nobody could stop the server politely; it has to notice by itself that it is not needed any more.
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive
    before = {json.loads(line)["id"] for line in results.read_text().splitlines()[1:] if line.endswith("}")}
    with results.open("a") as file:
        file.write('{"benchmark": "test", "id": "torn')

    second = start(model_folder, data_folder, output, forked.python(), **forked.environment())
    try:
        code = second.wait(timeout=LIMIT_S)
    finally:
        for member in psutil.Process(second.pid).children(recursive=True) if second.poll() is None else []:
            member.kill()
    assert code == 0, log.read_text()[-4000:]
    assert "from an earlier start" in log.read_text()

    _, records = read_results(results)
    done = {(record["benchmark"], record["strategy"]): set() for record in records}
    for record in records:
        assert record["error"] is None
        assert record["completion_tokens"] > 0 and record["seconds"] > 0
        done[record["benchmark"], record["strategy"]].add(record["id"])
    assert all(len(done["test", strategy]) == QUESTIONS for strategy in STRATEGIES)
    assert len(done["judge_test", "single"]) == QUESTIONS
    # No line twice: what the first start had done was not done again.
    assert len(results.read_text().splitlines()) == 1 + len(records)
    assert before <= {record["id"] for record in records}

    first_samples = {
        (record["strategy"], record["id"]): record["samples"][0]["text"]
        for record in records
        if record["benchmark"] == "test"
    }
    same = [first_samples["single", key] == first_samples["majority", key] for key in done["test", "single"]]
    assert sum(same) >= 0.9 * QUESTIONS  # batches may change a rounding, seeds do not

    report = json.loads((output / "report.json").read_text())
    for strategy in STRATEGIES:
        figures = report["benchmarks"]["test"][strategy]
        assert figures["accuracy"]["count"] == QUESTIONS and figures["tokens"] > 0
    assert report["benchmarks"]["test"]["best_of_n"]["equal_tokens"]["samples"] > 1
    judge = report["judge"]["judge_test: spark/pointwise"]
    assert judge["calibration"]["count"] > 0 and 0 <= judge["calibration"]["brier"] <= 1
    assert (output / "reliability.png").stat().st_size > 5000
