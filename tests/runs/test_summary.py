"""The run summary: what it reads from verl's file logger and how a broken file is met."""

from __future__ import annotations

import json

import pytest

from spark_verl.runs.metrics import read_metrics
from spark_verl.runs.summary import summarize, table

VALIDATION = {
    "val-core/spark_digits/acc/mean@1": 0.5,
    "val-core/spark/pointwise/acc/mean@1": 0.52,
    "val-core/spark/pairwise/acc/mean@1": 0.48,
    "val-core/spark/reflection/acc/mean@1": 0.3,
    "val-aux/spark/pairwise/reward/mean@1": 0.1,
}


def write(path, records):
    path.write_text("".join(json.dumps({"step": step, "data": data}) + "\n" for step, data in records))
    return path


def step(seconds, **more):
    return {"timing_s/step": seconds, "spark/startup_seconds": 70.0, **more}


def test_before_and_after_are_the_first_and_the_last_validation(tmp_path):
    after = {key: value + 0.25 for key, value in VALIDATION.items()}
    records = [
        (0, VALIDATION),
        (1, step(4.0)),
        (2, step(6.0)),
        (3, step(9.0) | {"timing_s/save_checkpoint": 4.0} | after),
    ]
    summary = summarize(read_metrics(write(tmp_path / "metrics.jsonl", records)))
    assert summary["steps"] == 3
    assert summary["step_s_median"] == 5.0, "the checkpoint is no part of a step"
    assert summary["startup_s"] == 70.0
    assert (summary["policy_acc_before"], summary["policy_acc_after"]) == (0.5, 0.75)
    assert (summary["pointwise_acc_before"], summary["pointwise_acc_after"]) == (0.52, 0.77)
    assert (summary["reflection_fix_rate_before"], summary["reflection_fix_rate_after"]) == (0.3, 0.55)
    assert "reflection_keep_rate_before" not in summary
    shown = table(summary)
    assert "50.0 %" in shown
    assert "75.0 %" in shown


@pytest.mark.parametrize("rest", ['{"step": 2, "data": {"timing_s/st', '{"step": 2, "data": {}', "{}"])
def test_a_run_that_was_killed_leaves_half_a_line(tmp_path, rest):
    path = write(tmp_path / "metrics.jsonl", [(0, VALIDATION), (1, step(4.0))])
    path.write_text(path.read_text() + rest)
    summary = summarize(read_metrics(path))
    assert summary["steps"] == 1
    assert "policy_acc_after" not in summary
    assert "-" in table(summary)


def test_a_resumed_run_is_summed_up_without_its_abandoned_steps(tmp_path):
    records = [(0, VALIDATION), *((number, step(4.0)) for number in range(1, 6)), (5, VALIDATION | {"abandoned": 1.0})]
    records += [(3, step(8.0)), (4, step(8.0))]
    summary = summarize(read_metrics(write(tmp_path / "metrics.jsonl", records)))
    assert (summary["steps"], summary["train_s"]) == (4, 24.0)
    assert "policy_acc_after" not in summary, "it was validated after a step that the final model has not seen"
