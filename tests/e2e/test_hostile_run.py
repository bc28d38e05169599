"""A full step of the real loop in which every policy response is hostile; in the next one its engine dies."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hostile_rollouts import BOMB, SPECIALS, TEXTS
from omegaconf import OmegaConf

from spark_verl.compat import fork_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

GROUPS = (len(TEXTS) + 3) // 4
FORKED = ("VLLM::EngineCore", "vLLMHttpServer", "WorkerDict", "SparkWorker", "TransferQueueController")


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory, small, runner, monkeypatch_module):
    folder = tmp_path_factory.mktemp("hostile")
    shared = Path(__file__).resolve().parents[1] / "shared"
    monkeypatch_module.setenv("PYTHONPATH", f"{shared}:{shared / 'half_precision'}", prepend=":")
    monkeypatch_module.setenv("HALF_PRECISION_DIR", str(folder / "half_precision"))
    (folder / "half_precision").mkdir()
    loops = folder / "agent_loops.yaml"
    loops.write_text("- name: hostile\n  _target_: hostile_agent.HostileAgentLoop\n", encoding="utf-8")
    overrides = [
        f"data.train_batch_size={GROUPS}",
        f"actor_rollout_ref.actor.ppo_mini_batch_size={GROUPS}",
        "data.shuffle=false",
        "data.max_prompt_length=512",
        "data.max_response_length=256",
        "actor_rollout_ref.rollout.max_model_len=768",
        f"actor_rollout_ref.rollout.agent.agent_loop_config_path={loops}",
        "actor_rollout_ref.rollout.agent.default_agent_loop=hostile",
        "trainer.total_training_steps=1000",
        "trainer.total_epochs=1000",
        "spark.judge_prompts_per_group=2.0",
        "spark.reflection_prompts_per_group=2.0",
        "spark.reflection.right_share=0.5",
        "spark.pairwise.max_response_length=8",
        "spark.reward.timeout_s=1",
    ]
    process = runner.start(folder, "spark_verl.main", [*small, *overrides], alone=True)
    runner.wait_for_steps(1, process, folder)
    family = [runner.member(name, process, folder) for name in FORKED]
    (folder / "parents.json").write_text(json.dumps([each.parent().cmdline() for each in family]), encoding="utf-8")
    return runner.lose(process, folder, family[0].kill)


def test_the_step_is_trained_on(hostile_run):
    metrics = hostile_run.metrics[1]
    assert np.isfinite(metrics["actor/grad_norm"])
    assert metrics["actor/grad_norm"] > 0
    assert metrics["spark/leaked_keys"] == 0
    # One sample of the first group has media placeholders and cannot be trained on. The others of the group are.
    # (What the small model replies to such judge prompts is its own affair.)
    assert metrics["spark/failed_groups"] >= 1
    assert "the policy sampled a media placeholder in response to row 0: sample left out" in hostile_run.log
    policy = [row for row in hostile_run.rollouts(1) if row["role"] == "policy"]
    assert len(policy) == metrics["spark/policy/count"] == 4 * GROUPS - 1
    right = 2 * GROUPS - 1
    assert metrics["spark/policy/acc"] == pytest.approx(right / len(policy)), "read behind hostile text"


def test_an_answer_that_cannot_be_compared_in_time_teaches_nothing(hostile_run):
    bombs = [row for row in hostile_run.rollouts(1) if row["role"] == "policy" and row["answer"] == BOMB]
    assert len(bombs) >= GROUPS - 1
    assert {row["status"] for row in bombs} == {"timeout"}
    assert {row["advantage"] for row in bombs} == {0.0}
    rows = hostile_run.rollouts(1)
    metrics = hostile_run.metrics[1]
    assert metrics["spark/verify/timeout_rate"] == pytest.approx(np.mean([row["status"] == "timeout" for row in rows]))
    assert metrics["spark/verify/symbolic_rate"] >= metrics["spark/verify/timeout_rate"] > 0
    assert metrics["spark/verify/seconds/max"] > 1.0
    assert not any(BOMB in row["input"] for row in rows if row["role"] == "judge")


def test_judge_rows_are_about_hostile_candidates_and_clean(hostile_run):
    judge = [row for row in hostile_run.rollouts(1) if row["role"] == "judge"]
    assert {row["objective"] for row in judge} == {"pointwise", "pairwise", "reflection"}
    assert len({row["uid"].split("_")[0] for row in judge}) > 2 * GROUPS
    fragments = [text.strip()[:12] for text in TEXTS if text.isascii() and text.strip() and "<" not in text[:12]]
    assert sum(any(fragment in row["input"] for fragment in fragments) for row in judge) > 4
    for row in judge:
        # The dump decodes without special tokens, so one in the text can only have come from a candidate.
        assert not any(token in row["input"] for token in SPECIALS)


def test_nothing_failed_in_the_transform(hostile_run):
    skipped = {name for name in hostile_run.metrics[1] if name.startswith("spark/judge/skipped/")}
    assert not skipped & {"spark/judge/skipped/error", "spark/judge/skipped/special_token"}


def test_an_objectives_own_response_limit_holds(hostile_run):
    assert hostile_run.metrics[1]["spark/judge/pairwise/response_length/mean"] <= 8
    assert hostile_run.metrics[1]["spark/judge/reflection/response_length/mean"] > 8


def test_nothing_computes_in_half_precision(hostile_run):
    """A CPU with AVX2 only takes five times as long for bfloat16; every process of the run was watched."""
    seen, half = Counter(), []
    for path in (hostile_run.folder / "half_precision").glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        half += [line for line in lines if "operation" in line]
        for line in lines:
            seen[line["process"]] = max(seen[line["process"]], line.get("seen", 0))
    assert half == []
    for process in ("WorkerDict", "EngineCore"):
        assert max((count for name, count in seen.items() if process in name), default=0) > 5000, dict(seen)


def test_every_process_is_forked(hostile_run):
    for parent in json.loads((hostile_run.folder / "parents.json").read_text(encoding="utf-8")):
        assert fork_server.SERVE in parent
    # Whoever starts another run with the recorded config finds no executable of this one in it.
    recorded = OmegaConf.load(hostile_run.folder / "checkpoints" / "config.yaml")
    assert recorded.ray_kwargs.ray_init.runtime_env.py_executable is None


def test_a_dead_engine_ends_the_run_and_is_named_last(hostile_run):
    """Its server lives on, and Ray knows nothing of it."""
    hostile_run.lost.check(r"the engine of vLLM's server at \S+ has died")
