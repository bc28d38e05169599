"""What ``step_cost.py`` compares really is comparable: same lengths, same numbers of sequences, honest ratios."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import schedules
import step_cost
from hydra import compose, initialize_config_dir

from spark_verl.config import load_spark_config

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_lengths_are_long_tailed_cut_off_and_the_same_for_the_same_key() -> None:
    lengths = np.array([schedules.response_length(f"row {i}", longest=256) for i in range(4000)])
    again = [schedules.response_length(f"row {i}", longest=256) for i in range(10)]
    assert lengths[:10].tolist() == again
    assert np.median(lengths) == pytest.approx(schedules.MEDIAN, rel=0.1)
    assert lengths.min() >= 1 and lengths.max() == 256
    # Log-normal: the 90th percentile is exp(1.28 sigma) times the median.
    assert np.percentile(lengths, 90) == pytest.approx(schedules.MEDIAN * np.exp(1.2816 * schedules.SIGMA), rel=0.12)


def test_half_of_all_answers_are_right() -> None:
    scores = [schedules.compute_score("digits", f"text {i}", "7") for i in range(2000)]
    assert np.mean([score["acc"] for score in scores]) == pytest.approx(0.5, abs=0.04)
    # An answer that is right once and wrong once would make no judge prompt.
    assert len({score["answer"] for score in scores}) == 2000
    assert all(score["acc"] == int(score["answer"]) % 2 for score in scores)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_barrier_opens_with_the_last_group_whichever_worker_has_it(workers: int) -> None:
    """Groups arrive one after the other, each in the worker that verl's round robin gives it to."""
    groups = 8

    async def steps() -> None:
        gate = schedules.Gate(groups)
        for step in (1, 2):
            waiting: dict[int, list[asyncio.Task]] = {worker: [] for worker in range(workers)}
            for group in range(groups):
                assert not any(task.done() for tasks in waiting.values() for task in tasks), (step, group)
                waiting[group % workers].append(asyncio.create_task(gate.wait(step)))
                for _ in range(3):
                    await asyncio.sleep(0)
            await asyncio.gather(*(task for tasks in waiting.values() for task in tasks))

    asyncio.run(asyncio.wait_for(steps(), timeout=600))


def test_the_barriers_worker_waits_before_it_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """SPARK's own way to judge prompts begins when the gate has opened, and no sooner."""
    seen: list[str] = []

    async def launch(self: object, group: SimpleNamespace) -> None:
        seen.append(group.prompt["uid"])

    monkeypatch.setattr(schedules.SparkWorker, "_launch_judge_prompts", launch)
    gate = schedules.Gate(2)
    workers = [schedules.BarrierWorker.__new__(schedules.BarrierWorker) for _ in range(2)]
    for worker in workers:
        worker._gate = SimpleNamespace(wait=SimpleNamespace(remote=gate.wait))

    async def step() -> None:
        groups = [SimpleNamespace(prompt={"uid": uid, "global_steps": 1}) for uid in ("first", "last")]
        first = asyncio.create_task(workers[0]._launch_judge_prompts(groups[0]))
        await asyncio.sleep(0.01)
        assert not seen
        await workers[1]._launch_judge_prompts(groups[1])
        await first

    asyncio.run(asyncio.wait_for(step(), timeout=600))
    assert sorted(seen) == ["first", "last"]


@pytest.mark.parametrize(("prompts", "ranks"), step_cost.SCALES)
def test_every_arm_has_as_many_sequences(data_folder: Path, tmp_path: Path, prompts: int, ranks: int) -> None:
    files = step_cost.interleave(Path(data_folder), tmp_path, prompts)
    sequences = {}
    for name, (_, overrides) in step_cost.arms(files, tmp_path / "loops.yaml", 256, prompts, ranks).items():
        # Files that do not exist here are not read when a recipe is composed.
        with initialize_config_dir(str(RECIPES), version_base=None):
            config = compose("quickstart", overrides)
        spark = load_spark_config(config)
        per_question = spark.judge_prompts_per_group + spark.reflection_prompts_per_group if spark.enable else 0
        sequences[name] = config.data.train_batch_size * (1 + per_question) * config.actor_rollout_ref.rollout.n
        assert config.trainer.n_gpus_per_node == ranks
    total = prompts * 3 * 8
    two_phases = {name: sequences.pop(name) for name in list(sequences) if name.startswith("two-phase")}
    assert set(sequences.values()) == {total} and sum(two_phases.values()) == total


def test_mixed_steps_hold_two_judge_prompts_per_question(data_folder: Path, tmp_path: Path) -> None:
    mixed = pq.read_table(step_cost.interleave(Path(data_folder), tmp_path, 8)["mixed"]).to_pylist()
    for start in range(0, 48, 24):
        roles = [row["extra_info"]["role"] for row in mixed[start : start + 24]]
        assert roles == ["policy"] * 8 + ["judge"] * 16


def test_ratio_has_its_value_inside_its_interval() -> None:
    rng = np.random.default_rng(0)
    value, low, high = step_cost.ratio(rng.normal(2.0, 0.1, 40), rng.normal(1.0, 0.05, 40))
    assert low < value < high and value == pytest.approx(2.0, rel=0.05)


def steps_of(step: float, gen: float, count: int = 12) -> list[dict[str, float]]:
    return [{"timing_s/step": step + i, "timing_s/gen": gen, "perf/total_num_tokens": 100.0} for i in range(count)]


def test_report_compares_the_arms_that_were_run(capsys: pytest.CaptureFixture) -> None:
    found = {"spark": steps_of(10, 6), "barrier": steps_of(12, 8), "two-phase: policy": steps_of(5, 4)}
    figures = step_cost.report(found, at_best=0.25)
    assert set(figures["ratios"]) == {"spark / barrier", "spark / barrier, sampling"}
    assert figures["ratios"]["spark / barrier"][0] == pytest.approx(15.5 / 17.5)
    assert figures["hidden"] == pytest.approx((0.5, 0.5, 0.5))
    assert "by lengths alone" in capsys.readouterr().out

    found |= {"next": steps_of(8, 4)}
    ratios = step_cost.report(found, at_best=0.25)["ratios"]
    compared = {"spark / barrier", "next / barrier", "next / spark"}
    assert set(ratios) == compared | {f"{names}, sampling" for names in compared}
    assert ratios["next / spark"][0] == pytest.approx(13.5 / 15.5)

    found |= {"two-phase: judge": steps_of(6, 4), "grpo": steps_of(9, 6), "verl": steps_of(13, 9)}
    ratios = step_cost.report(found, at_best=0.25)["ratios"]
    assert ratios["spark / two-phase"][0] == pytest.approx(15.5 / 22)
    assert ratios["spark / grpo"][0] == ratios["spark / grpo, per token"][0] == pytest.approx(15.5 / 14.5)
    assert step_cost.report({"grpo": steps_of(9, 6)}, at_best=0.25)["ratios"] == {}


def test_what_could_be_hidden_at_best(monkeypatch: pytest.MonkeyPatch) -> None:
    # With equal lengths all judge prompts start when the last answer ends: nothing is hidden.
    monkeypatch.setattr(schedules, "SIGMA", 0.0)
    assert step_cost.hidden_at_best(8, 256, steps=5) == 0
    # One group has a tail to hide nothing behind, either; more groups have more of it.
    monkeypatch.setattr(schedules, "SIGMA", 0.8)
    assert step_cost.hidden_at_best(1, 256, steps=20) == 0
    assert 0.1 < step_cost.hidden_at_best(4, 256, steps=100) < step_cost.hidden_at_best(32, 256, steps=100) < 1


def test_paced_engine_starts_no_step_before_the_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    import paced_engine
    from vllm.config import SchedulerConfig
    from vllm.v1.core.sched.async_scheduler import AsyncScheduler

    with initialize_config_dir(str(RECIPES), version_base=None):
        engine = compose("quickstart", step_cost.PACED).actor_rollout_ref.rollout.engine_kwargs.vllm
    options = {"max_model_len": 448, "is_encoder_decoder": False}
    config = SchedulerConfig(scheduler_cls=engine.scheduler_cls, async_scheduling=engine.async_scheduling, **options)
    assert config.get_scheduler_cls() is paced_engine.PacedScheduler

    starts: list[float] = []
    monkeypatch.setattr(AsyncScheduler, "__init__", lambda self: None)
    monkeypatch.setattr(AsyncScheduler, "schedule", lambda self: starts.append(time.monotonic()))
    monkeypatch.setattr(paced_engine, "FLOOR", 0.02)
    scheduler = paced_engine.PacedScheduler()
    for _ in range(4):
        scheduler.schedule()
    assert min(np.diff(starts)) >= 0.0195
