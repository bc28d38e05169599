"""The log in every state in which a run can leave it."""

from __future__ import annotations

import pytest

from spark_verl.runs.metrics import Metrics, read, read_metrics

STEP = '{"step": %d, "data": {"timing_s/step": 1.0, "a": %s}}\n'


@pytest.fixture
def log(tmp_path):
    def write(text: str) -> Metrics:
        path = tmp_path / "metrics.jsonl"
        path.write_bytes(text.encode())
        return read(path)

    return write


def values(metrics: Metrics) -> list[float]:
    return [data["a"] for data in metrics.steps.values() if "a" in data]


@pytest.mark.parametrize(
    ("torn", "why"),
    [
        ('{"step": 3, "data": {"a": 1', "killed while it wrote"),
        ('{"step": 3, "data": {"a": {}}', "torn, yet ends with a brace"),
        ('{"step": 3}', "no data"),
        ("\x00\x00\x00", "a file system that had no time to write"),
    ],
)
def test_a_line_that_cannot_be_read_is_counted_and_left_out(log, torn, why):
    metrics = log(STEP % (1, "0.5") + STEP % (2, "0.6") + torn)
    assert list(metrics.steps) == [1, 2], why
    assert metrics.unreadable_lines == 1


def test_a_torn_line_in_the_middle_loses_no_other(log):
    metrics = log(STEP % (1, "0.5") + '{"step": 2, "da' + "\n" + STEP % (3, "0.7"))
    assert list(metrics.steps) == [1, 3]


@pytest.mark.parametrize("value", ["NaN", "null", "Infinity", "-Infinity", "1e999"])
def test_what_is_not_finite_is_counted_and_left_out(log, value):
    metrics = log(STEP % (1, value) + STEP % (2, "0.5"))
    assert metrics.not_finite == {"a": 1}
    assert values(metrics) == [0.5]


@pytest.mark.parametrize("value", ['"text"', "[1]", "{}"])
def test_what_is_no_number_is_left_out_silently(log, value):
    metrics = log(STEP % (1, value))
    assert metrics.steps == {1: {"timing_s/step": 1.0}}
    assert not metrics.not_finite


def test_lines_of_one_step_are_merged(log):
    metrics = log('{"step": 1, "data": {"a": 1}}\n{"step": 1, "data": {"b": 2}}\n')
    assert metrics.steps == {1: {"a": 1.0, "b": 2.0}}
    assert not metrics.resumed_after


def test_a_resumed_run_keeps_what_its_final_model_has_seen(log):
    first = "".join(STEP % (step, "0.1") for step in range(1, 8))
    metrics = log(first + "".join(STEP % (step, "0.9") for step in range(5, 7)))
    assert metrics.resumed_after == [4]
    assert list(metrics.steps) == [1, 2, 3, 4, 5, 6], "step 7 was abandoned"
    assert values(metrics) == [0.1] * 4 + [0.9] * 2


def test_a_resumed_run_that_validates_first_keeps_the_step_it_resumed_from(log):
    text = "".join(STEP % (step, "0.1") for step in range(1, 8))
    metrics = log(text + '{"step": 4, "data": {"val-core/x/acc/mean@1": 0.5}}\n' + STEP % (5, "0.9"))
    assert metrics.resumed_after == [4]
    assert metrics.steps[4] == {"timing_s/step": 1.0, "a": 0.1, "val-core/x/acc/mean@1": 0.5}
    assert list(metrics.steps) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("lines", "steps", "resumed"),
    [
        ([(1, 1), (2, 2), (3, 3)], {1: 1, 2: 2, 3: 3}, []),
        ([(1, 1), (2, 2), (3, 3), (2, 20)], {1: 1, 2: 20}, [1]),
        ([(1, 1), (2, 2), (3, 3), (2, 20), (3, 30), (1, 100), (2, 200)], {1: 100, 2: 200}, [1, 0]),
        ([(1, 1), (2, 2), (3, 3), (4, 4), (4, 40)], {1: 1, 2: 2, 3: 3, 4: 40}, []),
    ],
    ids=["never", "once", "twice, from the start at last", "merged"],
)
def test_abandoned_steps_are_nobodys(log, tmp_path, lines, steps, resumed):
    metrics = log("".join(STEP % line for line in lines))
    assert {step: data["a"] for step, data in metrics.steps.items()} == steps
    assert metrics.resumed_after == resumed
    assert read_metrics(tmp_path / "metrics.jsonl") == metrics.steps


def test_no_log_is_said_plainly(tmp_path):
    with pytest.raises(FileNotFoundError, match="did the run start"):
        read_metrics(tmp_path / "metrics.jsonl")
