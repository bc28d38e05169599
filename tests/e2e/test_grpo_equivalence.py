"""SPARK switched off is plain verl GRPO, and padding rows weigh nothing.

Sampling at temperature 1 in an asynchronous engine cannot be repeated, so rows are made once, by plain
``verl.trainer.main_ppo``, and stored by verl's own rollout-skip feature; the other runs train on those very rows.
That both sides *make* the same rows is checked on greedy validation.
"""

from __future__ import annotations

import json
import os

import pytest

from spark_verl.compat import bootstrap

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

STEPS = (1, 2)
SAME = (
    "actor/loss",
    "actor/pg_loss",
    "actor/kl_loss",
    "actor/grad_norm",
    "actor/entropy",
    "critic/score/mean",
    "critic/advantages/mean",
    "critic/advantages/max",
    "critic/advantages/min",
    "response_length/mean",
    "prompt_length/mean",
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, small) -> list[str]:
    dump = tmp_path_factory.mktemp("stored_rows")
    return [
        *small,
        "trainer.total_training_steps=2",
        "trainer.val_before_train=true",
        "actor_rollout_ref.rollout.val_kwargs.do_sample=false",
        "actor_rollout_ref.rollout.val_kwargs.temperature=0",
        # Rows are long here, so that some answers differ within a group and there are gradients.
        "skip.rollout_tq.enable=true",
        f"skip.rollout_tq.dump_dir={dump}",
        "skip.rollout_tq.steps=[1,2]",
        "data.shuffle=false",
        # The recipes for GPUs compute old log-probabilities; the quickstart takes the sampler's.
        "algorithm.rollout_correction.bypass_mode=false",
    ]


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory, shared, runner, with_scripts):
    """verl's own main, trainer, sampler, agent-loop worker and reward worker."""
    folder = tmp_path_factory.mktemp("plain")
    overrides = [
        "trainer.v1.trainer_mode=sync",
        "actor_rollout_ref.rollout.agent.agent_loop_manager_class=null",
        "reward.num_workers=1",
        "ray_kwargs.ray_init.num_cpus=16",
        "+ray_kwargs.ray_init.num_gpus=1",
        "+ray_kwargs.ray_init.include_dashboard=false",
        # Packed rows, as the others have them here, need flash-attn in verl alone.
        "actor_rollout_ref.model.use_remove_padding=false",
        "actor_rollout_ref.model.override_config.attn_implementation=sdpa",
    ]
    platform = bootstrap.cpu_environment() | {bootstrap.PLATFORM_VARIABLE: bootstrap.PLATFORM_NAME}
    before = dict(os.environ)
    os.environ.update(platform)
    try:
        process = runner.start(folder, "verl_alone", [*shared, *overrides])
    finally:
        os.environ.clear()
        os.environ.update(before)
    return runner.finish(process, folder)


@pytest.fixture(scope="module")
def off_run(tmp_path_factory, shared, plain_run, runner):
    folder = tmp_path_factory.mktemp("off")
    return runner.finish(runner.start(folder, "spark_verl.main", [*shared, "spark.enable=false"]), folder)


@pytest.fixture(scope="module")
def padded_run(tmp_path_factory, shared, plain_run, runner):
    """SPARK on but asked for no judge prompts, with micro-batches that 16 rows do not fill."""
    folder = tmp_path_factory.mktemp("padded")
    overrides = [
        "trainer.val_before_train=false",
        "spark.judge_prompts_per_group=0",
        "spark.reflection_prompts_per_group=0",
        "actor_rollout_ref.actor.use_dynamic_bsz=false",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=10",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=false",
        "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=10",
        "actor_rollout_ref.ref.log_prob_use_dynamic_bsz=false",
        "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=10",
    ]
    return runner.finish(runner.start(folder, "spark_verl.main", [*shared, *overrides]), folder)


def test_greedy_rows_are_the_same(plain_run, off_run):
    def rows(run):
        lines = (run.folder / "validation" / "0.jsonl").read_text(encoding="utf-8").splitlines()
        return sorted((r["input"], r["output"], r["gts"], r["score"]) for r in map(json.loads, lines))

    assert rows(off_run) == rows(plain_run)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("other", ["off_run", "padded_run"])
def test_same_advantages_loss_and_gradient(request, plain_run, other, step):
    plain, mine = plain_run.metrics[step], request.getfixturevalue(other).metrics[step]
    assert plain["actor/grad_norm"] > 0, "rows without any gradient would prove nothing"
    differing = {
        key: (plain[key], mine[key]) for key in SAME if mine[key] != pytest.approx(plain[key], rel=2e-4, abs=1e-6)
    }
    assert not differing


def test_the_padded_run_was_padded(padded_run, off_run):
    assert [padded_run.metrics[step]["spark/padding_rows"] for step in STEPS] == [4, 4]
    assert [off_run.metrics[step]["spark/padding_rows"] for step in STEPS] == [0, 0]
