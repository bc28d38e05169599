"""Asynchronous training in a real run: what is broken off goes on, and a checkpoint has what was under way.

The engine's decoding is paced, as a GPU's is: something is always under way when a step has what it needs.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from metric_docs import undocumented

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

STEPS, KEPT = 6, 3
QUESTIONS, SAMPLES = 4, 4


@pytest.fixture(scope="module")
def paced(monkeypatch_module) -> list[str]:
    """Overrides."""
    measure = Path(__file__).resolve().parents[2] / "measure"
    monkeypatch_module.setenv("PYTHONPATH", str(measure), prepend=":")
    monkeypatch_module.setenv("SPARK_BENCH_DECODE_MS", "50")
    return ["+actor_rollout_ref.rollout.engine_kwargs.vllm.scheduler_cls=paced_engine.PacedScheduler"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, small, runner, paced):
    """Six steps, killed after the checkpoint of the third."""
    folder = tmp_path_factory.mktemp("async")
    overrides = [
        *small,
        *paced,
        "trainer.v1.trainer_mode=spark_colocate_async",
        f"trainer.total_training_steps={STEPS}",
        f"trainer.save_freq={KEPT}",
        "trainer.resume_mode=auto",
        "data.shuffle=false",
        "spark.judge_prompts_per_group=1.0",
        "spark.reflection_prompts_per_group=1.0",
        "spark.pointwise.share_in_unanimous=1.0",
    ]
    first = runner.start(folder, "spark_verl.main", overrides, alone=True)
    marker = folder / "checkpoints" / "latest_checkpointed_iteration.txt"
    runner.wait_for(lambda: marker.is_file() and marker.read_text() == str(KEPT), first, folder)
    runner.kill_all(first)
    return runner.finish(runner.start(folder, "spark_verl.main", overrides), folder)


def rows(run, role: str, steps=range(1, STEPS + 1)) -> list[dict]:
    return [row for step in steps for row in run.rollouts(step) if row["role"] == role]


def prompt(row: dict) -> str:
    return row["uid"].split("_")[0]


def test_every_step_has_its_questions(run):
    lines = (run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert Counter(json.loads(line)["step"] for line in lines) == dict.fromkeys(range(1, STEPS + 1), 1)
    for metrics in run.metrics.values():
        assert undocumented(metrics) == [], "docs/metrics.md has an entry for each"
        assert metrics["spark/policy/groups"] == QUESTIONS
        assert metrics["spark/policy/count"] == QUESTIONS * SAMPLES
        assert metrics["spark/leaked_keys"] == 0
        assert metrics["spark/judge/evicted"] == 0


def test_no_question_is_trained_on_twice_or_lost(run):
    """Also over the kill: what was ready or under way at the checkpoint comes later."""
    groups = {prompt(row): row["index"] for row in rows(run, "policy")}
    indices = Counter(groups.values())
    assert set(indices.values()) == {1}
    # A step's questions are submitted a step ahead: that many may be under way at the end.
    assert len(indices) == QUESTIONS * STEPS and max(map(int, indices)) < QUESTIONS * (STEPS + 1)


def test_the_second_step_takes_what_the_first_has_left(run):
    assert run.metrics[1]["spark/staleness/policy/max"] == 0 and run.metrics[1]["spark/staleness/under_way"] > 0
    assert run.metrics[2]["spark/staleness/policy/mean"] == 1


def test_judge_prompts_are_under_way_like_questions(run):
    judges = rows(run, "judge")
    assert {row["objective"] for row in judges} == {"pointwise", "pairwise", "reflection"}
    assert set(Counter(prompt(row) for row in judges).values()) == {SAMPLES}
    trained = {prompt(row): step for step in run.metrics for row in run.rollouts(step)}
    assert any(trained[prompt(row)] > trained.get(row["parent"], STEPS) for row in judges), (
        "some come after their group"
    )


def test_what_was_broken_off_goes_on(run):
    continued = [
        metrics.get(f"spark/staleness/{role}/continued", 0.0)
        for metrics in run.metrics.values()
        for role in ("policy", "judge")
    ]
    assert max(continued) > 0
    assert all(row["output"] for row in rows(run, "policy")), "and is whole"


def test_judge_prompts_under_way_at_the_checkpoint_come_after_the_resume(run):
    state = json.loads((run.folder / "checkpoints" / f"global_step_{KEPT}" / "spark.json").read_text(encoding="utf-8"))
    waiting = {request["uid"]: request["text"] for request in state["deferred"]["requests"]}
    asked = {prompt(row): row["input"] for row in rows(run, "judge", range(KEPT + 1, STEPS + 1))}
    assert waiting, "something was under way"
    assert waiting.keys() & asked.keys()
    assert all(waiting[uid].strip() in asked[uid] for uid in waiting.keys() & asked.keys())


def test_the_balance_counts_what_was_trained_on(run):
    state = json.loads((run.folder / "checkpoints" / f"global_step_{STEPS}" / "spark.json").read_text(encoding="utf-8"))
    assert state["balance"]["seen"]["built/judge"] > 0
