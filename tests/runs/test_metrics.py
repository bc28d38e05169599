"""The log in every state in which a run can leave it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.report.heldout import accuracies, held_out, source_sizes
from spark_verl.runs.metrics import Metrics, read, rolling

STEP = '{"step": %d, "data": {"timing_s/step": 1.0, "a": %s}}\n'


@pytest.fixture
def log(tmp_path):
    def write(text: str) -> Metrics:
        path = tmp_path / "metrics.jsonl"
        path.write_bytes(text.encode())
        return read(path)

    return write


@pytest.mark.parametrize(
    ("torn", "why"),
    [
        ('{"step": 3, "data": {"a": 1', "killed while it wrote"),
        ('{"step": 3, "data": {"a": {}}', "torn, yet ends with a brace"),
        ('{"step": 3}', "no data"),
        ('{"step": "3", "data": {}}', "the step is no number"),
        ('{"step": true, "data": {}}', "nor is true"),
        ("[1, 2]", "no object"),
        ("\x00\x00\x00", "a file system that had no time to write"),
        ("[" * 100_000, "nested too deeply to be read"),
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
    assert metrics.series("a")[1].tolist() == [0.5]


@pytest.mark.parametrize("value", ['"text"', "[1]", "true", "{}"])
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
    assert metrics.series("a")[1].tolist() == [0.1] * 4 + [0.9] * 2


def test_a_resumed_run_that_validates_first_keeps_the_step_it_resumed_from(log):
    text = "".join(STEP % (step, "0.1") for step in range(1, 8))
    metrics = log(text + '{"step": 4, "data": {"val-core/x/acc/mean@1": 0.5}}\n' + STEP % (5, "0.9"))
    assert metrics.resumed_after == [4]
    assert metrics.steps[4] == {"timing_s/step": 1.0, "a": 0.1, "val-core/x/acc/mean@1": 0.5}
    assert list(metrics.steps) == [1, 2, 3, 4, 5]


def test_an_absent_log_has_no_steps(tmp_path):
    metrics = read(tmp_path / "metrics.jsonl")
    assert metrics.last_step is None
    assert metrics.trained == []


def test_rolling_weighs_and_ends_where_it_should():
    steps, values, weights = np.array([1, 2, 3, 9]), np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 3.0, 0.0, 1.0])
    assert rolling(steps, values, weights, 3, trailing=True).tolist() == pytest.approx([0.0, 0.75, 0.75, 1.0])
    assert rolling(steps, values, weights, 2).tolist() == pytest.approx([0.75, 0.75, 1.0, 1.0])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100)), min_size=1, max_size=30), st.integers(1, 40))
def test_a_rolling_mean_stays_between_the_extremes(points, width):
    values, weights = (np.array(part) for part in zip(*points, strict=True))
    mean = rolling(np.arange(len(values)), values, weights, width)
    assert np.all(mean >= values.min() - 1e-9) and np.all(mean <= values.max() + 1e-9)


def test_the_largest_number_of_samples_counts():
    data = {"val-core/x/acc/mean@1": 0.1, "val-core/x/acc/mean@16": 0.3, "val-core/x/acc/best@16/mean": 0.9}
    assert accuracies(data) == {"x": 0.3}


@pytest.mark.parametrize(
    ("in_files", "dumped", "dumped_sources", "expected", "why"),
    [
        ({}, {}, {}, {}, "nothing is known"),
        ({"spark/reflection": 100, "spark/reflection_keep": 60}, {}, {}, {"r": 100, "k": 60}, "the data files tell"),
        ({}, {"reflection": 160}, {}, {}, "two sources, one count: cannot be told"),
        ({}, {}, {"spark/reflection": 90}, {"r": 90}, "the dump tells"),
        ({"spark/reflection": 100}, {}, {"spark/reflection": 90}, {"r": 90}, "the dump is what was validated"),
        ({"other": 5}, {"pairwise": 4}, {}, {}, "of sources that were not validated"),
    ],
)
def test_prompts_of_a_source(in_files, dumped, dumped_sources, expected, why):
    names = {"r": "spark/reflection", "k": "spark/reflection_keep"}
    metrics = Metrics({0: {f"val-core/{source}/acc/mean@1": 0.5 for source in names.values()}})
    expected = {names[short]: count for short, count in expected.items()}
    assert source_sizes(metrics, in_files, dumped, dumped_sources) == expected, why


def test_a_mean_over_sources_is_as_certain_as_its_smallest_lets_it():
    metrics = Metrics({0: {"val-core/a/acc/mean@1": 0.4, "val-core/b/acc/mean@1": 0.6}})
    (large,), (small,) = (held_out(metrics, {"a": 1000, "b": n})["policy_acc"] for n in (1000, 10))
    assert large.share == small.share == pytest.approx(0.5)
    assert large.prompts == 2000 and small.prompts == 1010
    assert {name: (part.share, part.prompts) for name, part in small.sources.items()} == {
        "a": (0.4, 1000),
        "b": (0.6, 10),
    }
    assert small.high - small.low > 3 * (large.high - large.low)


@pytest.mark.parametrize("share", [-0.2, 1.7])
def test_a_score_that_is_no_share_has_no_interval(share):
    (point,) = held_out(Metrics({0: {"val-core/a/acc/mean@1": share}}), {"a": 10})["policy_acc"]
    assert point.bounds is None
