"""Rows that are not what the schema says: a benchmark reads them or says which row is wrong, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_verl.evaluation.benchmarks import REGISTRY, names
from spark_verl.evaluation.benchmarks.source import Rows
from spark_verl.evaluation.runner import digest

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12) | st.sampled_from([10**400, -(10**30)]),
    st.floats(),
    st.text(max_size=8)
    | st.sampled_from(["<image>", "A", "(B)", "AB", "\\boxed{}", "[null]", "nan", "\ud800", "\0", "x" * 9999]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["A", "bytes", "path", "role", "content", "ground_truth", "subject", ""]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("name", names())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_column(name: str, samples, data: st.DataObject) -> None:
    row = dict(data.draw(st.sampled_from(samples[name])))
    for column in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3, unique=True)):
        row[column] = data.draw(VALUES)
    try:
        benchmark = REGISTRY[name](Rows([row], "here"))
        questions = list(benchmark.questions)
    except (ValueError, OSError) as error:
        assert "here" in str(error) or "--images" in str(error)
        assert len(str(error)) < 600 and "\n" not in str(error)
        return
    for question in questions:
        assert isinstance(question.has_truth, bool) and len(digest(question)) == 16
        asyncio.run(benchmark.score(question, "It is \\boxed{A}"))


@pytest.mark.parametrize(
    ("name", "spoilt"),
    [
        ("mathvista", {"answer": 10**400}),
        ("mathvista", {"precision": -(10**9)}),
        ("mathvista", {"precision": float("inf")}),
    ],
)
def test_a_number_that_no_float_holds_is_named(name: str, spoilt: dict, samples) -> None:
    row = next(row for row in samples[name] if row["answer_type"] == "float") | spoilt
    with pytest.raises(ValueError, match="row 0 of here: OverflowError"):
        list(REGISTRY[name](Rows([row], "here")).questions)


@pytest.mark.parametrize(("truth", "right"), [("2.5", False), ("1" + "0" * 400, True)])
def test_an_answer_that_no_float_holds_is_compared(truth: str, right: bool, samples) -> None:
    row = samples["dynamath"][0] | {"answer_type": "float", "ground_truth": truth}
    benchmark = REGISTRY["dynamath"](Rows([row], "here"))
    (question,) = benchmark.questions
    assert asyncio.run(benchmark.score(question, "\\boxed{1" + "0" * 400 + "}")).correct is right
