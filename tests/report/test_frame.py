"""A run folder as frames: averages over steps, and the figures of dumps."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.report.frame import Run, first_and_last_third, read_dumps, rolling


def test_rolling_weighs_and_ends_where_it_should():
    steps, values, weights = np.array([1, 2, 3, 9]), np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 3.0, 0.0, 1.0])
    assert rolling(steps, values, weights, 3, trailing=True).tolist() == pytest.approx([0.0, 0.75, 0.75, 1.0])
    assert rolling(steps, values, weights, 2).tolist() == pytest.approx([0.75, 0.75, 1.0, 1.0])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100)), min_size=1, max_size=30), st.integers(1, 40))
def test_a_rolling_mean_stays_between_the_extremes(points, width):
    values, weights = (np.array(part) for part in zip(*points, strict=True))
    mean = rolling(np.arange(len(values)), values, weights, width)
    assert np.all(mean >= values.min() - 1e-9) and np.all(mean <= values.max() + 1e-9)


@pytest.mark.parametrize(("length", "first", "last"), [(1, [0], [0]), (5, [0], [4]), (7, [0, 1], [5, 6])])
def test_thirds_are_never_empty(length, first, last):
    found = first_and_last_third(pd.Series(range(length)))
    assert [third.tolist() for third in found] == [first, last]


@pytest.fixture
def dump(tmp_path):
    """Write a dump and read its figures."""

    def make(rows: list[dict], rest: str = ""):
        (tmp_path / "3.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + rest)
        return read_dumps({3: tmp_path / "3.jsonl"})

    return make


def test_a_dump_of_a_killed_run_loses_its_last_line(dump):
    found = dump([{"objective": "policy", "score": 1, "uid": "a_0", "output": "four"}], '{"objective": "pol')
    assert found[["step", "group", "score", "characters"]].to_numpy().tolist() == [[3, "a", 1.0, 4.0]]


def test_a_dump_of_plain_verl_has_the_policys_rows_each_a_group(dump):
    found = dump([{"score": 0.0, "output": "x"}, {"score": 1.0, "output": "y"}])
    assert found["objective"].tolist() == ["policy", "policy"] and found["group"].nunique() == 2
    assert found["tokens"].isna().all()


@pytest.mark.parametrize(
    ("answer", "label", "excess"),
    [("Yes", "No", 1.0), ("No", "Yes", -1.0), ("Yes", "Yes", 0.0), ("B", "B", 0.0), ("", "Yes", None)],
)
def test_excess_of_yes(dump, answer, label, excess):
    found = dump([{"objective": "pointwise", "score": 0, "gts": label, "answer": answer}])["yes_excess"]
    assert found.dropna().tolist() == ([] if excess is None else [excess])


def test_metrics_that_a_step_lacks_are_left_out_of_their_curve(tmp_path, logs):
    records = [(step, {"spark/policy/acc": 0.5} if step != 2 else {"timing_s/step": 1.0}) for step in (1, 2, 3)]
    logs.write_records(tmp_path / "metrics.jsonl", records)
    run = Run(tmp_path)
    found = run.curve("policy", "acc")
    assert found.index.tolist() == [1, 3] and found["weight"].tolist() == [1.0, 1.0]
    assert run.trained.tolist() == [2]
    assert run.series("no/such/metric").empty and run.of("pairwise", "acc").empty
