"""The check says pass only when everything that was asked for was measured and is as it has to be."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from gpu_check import __main__ as program
from gpu_check import gpu, results, sizes
from gpu_check.arms import SPARK, Arm, sequences
from gpu_check.stages import Stages, end

PLANNED = sequences(sizes.FULL)


def step(seconds: float = 10.0, tokens: float = 200_000, **other: float) -> dict[str, float]:
    """A step's metrics as verl's logger has them."""
    return {
        **{f"timing_s/{stage}": seconds / 10 for stage in results.STAGES},
        "timing_s/step": seconds,
        "perf/total_num_tokens": tokens,
        "training/rollout_actor_probs_pearson_corr": 0.9995,
        "actor/grad_norm": 1.5,
        **other,
    }


def spark_step(seconds: float = 10.0, judged: float = PLANNED / 2, **other: float) -> dict[str, float]:
    counts = {"spark/policy/count": PLANNED / 2, "spark/judge/pairwise/count": judged, "spark/leaked_keys": 0.0}
    return step(seconds, **{**counts, **other})


def findings(size: sizes.Size = sizes.FULL, **changed: object) -> results.Findings:
    """A check with nothing wrong, and what is changed of it."""
    steps = {
        # The first step compiles: it is in no figure.
        "spark": {1: spark_step(99.0), 2: spark_step(), 3: spark_step()},
        "verl": {1: step(98.0), 2: step(10.2), 3: step(10.2)},
        "ipc": {1: spark_step(), 2: spark_step()},
    }
    attention = {"torch, language model": {"out": 0.004, "dq": 0.006, "dk": 0.005, "dv": 0.004}}
    found = results.Findings(size, {}, {"versions": {"torch": "2.11.0"}, "attention": attention}, steps)
    for name, value in changed.items():
        setattr(found, name, value)
    return found


def test_all_is_well() -> None:
    found = findings()
    assert results.passed(found)
    text = results.report(found, "a GPU")
    assert "FAIL" not in text and "**passed**" in text
    assert "| step, s | 10 | 10.2 | 10 |" in text
    assert "| tokens/s | 2e+04 | 1.961e+04 | 2e+04 |" in text


ATTENTION = {"attention": {"torch, vision tower": {"out": 0.004, "dq": 0.05}}}
ACCURATE = {f"{name}_after": 0.95 for name in results.ON_CPU}
WRONG = {
    "a slower step": ({"spark": {2: spark_step(10.3)}, "verl": {2: step(10.2)}}, "at equal sequences"),
    "fewer sequences in the same time": (
        {"spark": {2: spark_step(judged=PLANNED / 4)}, "verl": {2: step()}},
        "equal sequences",
    ),
    "fewer tokens per second": (
        {"spark": {2: spark_step(10.0, **{"perf/total_num_tokens": 180_000})}, "verl": {2: step()}},
        "tokens/s",
    ),
    "sampler and actor disagree": (
        {"ipc": {2: spark_step(**{"training/rollout_actor_probs_pearson_corr": 0.98})}},
        "ipc: sampler-actor correlation",
    ),
    "verl's sampler and actor disagree": (
        {"verl": {2: step(**{"training/rollout_actor_probs_pearson_corr": 0.5})}},
        "verl: sampler-actor correlation",
    ),
    "no correlation in the log": ({"spark": {2: {"timing_s/step": 9.0, "perf/total_num_tokens": 9.0}}}, "not measured"),
    "leaked keys in one step of three": (
        {"spark": {1: spark_step(), 2: spark_step(**{"spark/leaked_keys": 1.0}), 3: spark_step()}},
        "spark: leaked keys",
    ),
    "one step of three apart": (
        {"verl": {1: step(**{"training/rollout_actor_probs_pearson_corr": 0.9}), 2: step(), 3: step()}},
        "verl: sampler-actor correlation",
    ),
    "leaked keys": ({"spark": {2: spark_step(**{"spark/leaked_keys": 2.0})}}, "spark: leaked keys"),
    "a gradient that is NaN": (
        {
            "spark": {
                1: spark_step(),
                2: {k: v for k, v in spark_step().items() if "grad_norm" not in k},
                3: spark_step(),
            }
        },
        "spark: gradient's norm",
    ),
    "no gradient": ({"spark": {2: spark_step(**{"actor/grad_norm": 0.0})}}, "spark: gradient's norm"),
}


@pytest.mark.parametrize(("steps", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_fails_with_its_reason(steps: dict, reason: str) -> None:
    found = findings(steps=steps)
    assert not results.passed(found)
    failing = [line for line in results.report(found, "a GPU").splitlines() if line.startswith("| FAIL")]
    assert any(reason in line for line in failing), failing


@pytest.mark.parametrize(
    "changed",
    [
        {"installation": ATTENTION},
        {"failed": {"verl": "left out: it takes about 90 s, and 12 s are left"}},
        {"quickstart": {**ACCURATE, "pairwise_acc_after": 0.6}},
        {"quickstart": {"policy_acc_after": 0.95}},
        {"steps": {}, "installation": {}},
    ],
    ids=["attention", "left out", "accuracy", "accuracy not measured", "nothing was measured"],
)
def test_a_part_that_fails_or_is_missing_fails_the_whole(changed: dict) -> None:
    assert not results.passed(findings(**changed))
    assert "**FAILED**" in results.report(findings(**changed), "a GPU")


def test_the_quickstart_passes_with_the_cpus_accuracies() -> None:
    assert results.passed(findings(quickstart=ACCURATE))


def test_a_tiny_models_speed_is_no_goal() -> None:
    slow = {"spark": {2: spark_step(99.0)}, "verl": {2: step(1.0)}}
    assert results.passed(findings(sizes.TINY, steps=slow))
    assert not results.passed(findings(sizes.FULL, steps=slow))


def test_hidden_share_of_the_judges_sampling() -> None:
    gen = {"spark": 6.0, "barrier": 8.0, "policy": 4.0}
    steps = {arm: {2: spark_step(**{"timing_s/gen": seconds})} for arm, seconds in gen.items()}
    found = findings(steps=steps)
    assert results.hidden_share(found.figures()) == pytest.approx(0.5)
    assert "hidden behind the questions': 50%" in results.report(found, "a GPU")
    assert results.hidden_share({arm: found.figures()[arm] for arm in ("spark", "barrier")}) is None


# ------------------------------------------------------------------------------------------------------------- stages


def stages(folder: Path, limit: float | None = None) -> Stages:
    return Stages(folder, sizes.TINY, "gpu", limit)


def test_a_stage_that_fails_is_noted_with_its_log(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run = stages(tmp_path)
    assert not run.run("bad", [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"])
    assert run.failed == {"bad": f"exit code 3, see {tmp_path}/bad.log"}
    assert "the reason" in capsys.readouterr().out
    assert run.run(
        "good", [sys.executable, "-c", "import os; print(os.environ['SPARK_BENCH_MEDIAN'], os.environ['A'])"], A="b"
    )
    assert (run.output("good"), list(run.failed)) == ("8 b\n", ["bad"])


def test_a_stage_without_time_is_left_out(tmp_path: Path) -> None:
    run = stages(tmp_path, limit=0.0)
    assert not run.run("late", [sys.executable, "-c", "print('started')"], expected_s=60)
    assert "left out: it takes about 60 s, and 0 s are left" in run.failed["late"]
    assert not run.log("late").exists()


ENDLESS = "import time; time.sleep(3600)"


def test_a_stage_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    run = stages(tmp_path, limit=1.0)
    assert not run.run("endless", [sys.executable, "-c", ENDLESS])
    assert "did not end in time" in run.failed["endless"]


def test_a_stage_ends_with_all_that_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpu_check.stages.GRACE_S", 0.5)
    start_another = f"print(subprocess.Popen([sys.executable, '-c', {ENDLESS!r}]).pid, flush=True)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess, sys; {start_another}; {ENDLESS}"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    pid = int(process.stdout.readline())
    process.stdout.close()
    end(process)
    # It is no child of ours: init, or whoever reaps here, may take a moment.
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)


def run_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, steps: int = 2
) -> tuple[Stages, results.Findings]:
    """An arm whose "training" is a script."""
    run = stages(tmp_path)
    found = results.Findings(sizes.TINY, run.failed)
    monkeypatch.setattr(Arm, "command", ("-c", script))
    program.train(run, tmp_path, "spark", Arm(SPARK, (), steps), found)
    return run, found


WRITE = """
import json, os
with open(os.environ["VERL_FILE_LOGGER_PATH"], "w") as file:
    for step in (1, 2):
        file.write(json.dumps({"step": step, "data": {"timing_s/step": 1.0, "perf/total_num_tokens": 5}}) + "\\n")
"""


def test_an_arm_gives_its_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, found = run_arm(tmp_path, monkeypatch, WRITE)
    assert not run.failed and sorted(found.steps["spark"]) == [1, 2]


SHORT = {
    "fewer steps than it should": (WRITE, 4, "2 of 4 steps", [1, 2]),
    "none at all": ("pass", 2, "0 of 2 steps", []),
    "an end before its end": (WRITE + "raise SystemExit(3)", 4, "exit code 3", [1, 2]),
}


@pytest.mark.parametrize(("script", "steps", "reason", "measured"), SHORT.values(), ids=SHORT)
def test_an_arm_without_all_its_steps_has_failed_and_shows_those_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, steps: int, reason: str, measured: list[int]
) -> None:
    # What an earlier check has left must not be taken for this one's.
    (tmp_path / "spark.jsonl").write_text(json.dumps({"step": 1, "data": {"timing_s/step": 1.0}}) + "\n")
    run, found = run_arm(tmp_path, monkeypatch, script, steps)
    assert reason in run.failed["spark"] and list(found.steps.get("spark", {})) == measured


def test_a_long_stage_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("gpu_check.stages.PAUSE_S", 0.05)
    wait = "\nwhile not os.path.exists(os.environ['VERL_FILE_LOGGER_PATH'] + '.seen'): pass"
    run, found = stages(tmp_path), results.Findings(sizes.TINY, {})
    monkeypatch.setattr(Arm, "command", ("-c", WRITE + wait))
    say = Stages.say

    def said(self: Stages, text: str) -> None:
        say(self, text)
        if "2 of 2 steps" in text:
            (tmp_path / "spark.jsonl.seen").touch()

    monkeypatch.setattr(Stages, "say", said)
    program.train(run, tmp_path, "spark", Arm(SPARK, (), 2), found)
    assert "spark: 2 of 2 steps" in capsys.readouterr().out and not run.failed


def test_nothing_is_compared_with_an_arm_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, found = run_arm(tmp_path, monkeypatch, "raise SystemExit(3)")
    program.train(run, tmp_path, "verl", Arm(SPARK, (), 2), found)
    assert run.failed["verl"] == "left out: spark failed" and not run.log("verl").exists()


def test_what_an_unfinished_arm_measured_is_shown_and_not_compared() -> None:
    found = findings(failed={"verl": "did not end in time"})
    names = [goal.name for goal in results.goals(found)]
    assert "verl" in names and "verl: sampler-actor correlation, lowest" in names
    assert not any("by verl's" in name or "those of verl's" in name for name in names)
    assert "| step, s | 10 | 10.2 | 10 |" in results.report(found, "a GPU") and not results.passed(found)


# ---------------------------------------------------------------------------------------------------------------- GPU

NVIDIA_SMI = """#!/bin/sh
case "$*" in
  *memory.used*) for mib in 100 61234 3000; do echo $mib; done; exec sleep 3600 ;;
  *) echo "NVIDIA H100 80GB HBM3, 81559 MiB, 580.95.05" ;;
esac
"""


def test_memory_is_watched_while_something_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text(NVIDIA_SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    file = tmp_path / "memory.csv"
    with gpu.watched_memory(file):
        while len(file.read_text().split()) < 3:
            time.sleep(0.05)
    assert gpu.peak_mib(file) == 61234
    assert gpu.machine() == "NVIDIA H100 80GB HBM3, 81559 MiB, 580.95.05"
    found = findings()
    found.peak_mib = gpu.peak_mib(file)
    assert "59.8 GiB" in results.report(found, gpu.machine())


def test_without_a_gpu_nothing_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with gpu.watched_memory(tmp_path / "memory.csv"):
        pass
    assert gpu.peak_mib(tmp_path / "memory.csv") is None and gpu.peak_mib(tmp_path / "nothing") is None
    assert gpu.machine() == "no GPU"
