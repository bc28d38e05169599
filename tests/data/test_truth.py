"""What can be a ground truth: one place decides, and says null apart from what means nothing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.data.errors import RowError
from spark_verl.data.truth import check_truth, ground_truth, written_value
from spark_verl.reward import verify

# What the data set has, what becomes of it (or the reason why not)
TRUTHS = [
    ("3", "3"),
    (3, "3"),
    (3.0, "3"),
    (r"\boxed{3}", "3"),
    ("so\n#### 3", "3"),
    (["3"], "3"),
    (["3", "three"], '["3", "three"]'),
    (["3", None], "3"),
    (["3\n4", "three\tfour"], '["3 4", "three four"]'),
    ("3\n4", "3\n4"),
    (np.array(["3", "three"]), '["3", "three"]'),
    ({"answer": "3"}, "3"),
    # Written as text by Python, by numpy, as JSON
    ("['3']", "3"),
    ("['3', 'three']", '["3", "three"]'),
    ("['3' 'three']", '["3", "three"]'),
    ("('3',)", "3"),
    ("array(['3'], dtype=object)", "3"),
    ('["3", null]', "3"),
    ("['3', None]", "3"),
    ("{'answer': '3'}", "3"),
    (str([r"\frac{1}{2}"]), r"\frac{1}{2}"),
    (r"['\frac{1}{2}']", r"\frac{1}{2}"),
    (r'["\frac{1}{2}"]', r"\frac{1}{2}"),
    (r'["\\frac{1}{2}"]', r"\frac{1}{2}"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    # Numbers in brackets are intervals, points and sets
    ("[0, 1]", "[0, 1]"),
    ("(3, 4)", "(3, 4)"),
    ("{1, 2}", "{1, 2}"),
    # No truth is given
    (None, "no_answer"),
    # One that means nothing
    ("", "empty_answer"),
    (" ", "empty_answer"),
    (r"\boxed{}", "empty_answer"),
    (r"\boxed{ }", "empty_answer"),
    ("nan", "empty_answer"),
    ("None", "empty_answer"),
    ("null", "empty_answer"),
    ("NaN", "empty_answer"),
    ("<NA>", "empty_answer"),
    (r"\boxed{None}", "empty_answer"),
    ("#### nan", "empty_answer"),
    (math.nan, "empty_answer"),
    (math.inf, "empty_answer"),
    (np.float64("nan"), "empty_answer"),
    ([], "empty_answer"),
    ("[]", "empty_answer"),
    ([None], "empty_answer"),
    ([""], "empty_answer"),
    ("[None]", "empty_answer"),
    ("[nan]", "empty_answer"),
    ("[null]", "empty_answer"),
    ("['']", "empty_answer"),
    ("['None']", "empty_answer"),
    (["nan", None], "empty_answer"),
    ({}, "empty_answer"),
    ({"value": "3"}, "empty_answer"),
    ({"answer": None}, "empty_answer"),
    ("{'value': 3}", "empty_answer"),
    (b"3", "empty_answer"),
    # One that the verifier cannot use
    ("}{", "unverifiable_answer"),
    (["}{", "{"], "unverifiable_answer"),
]


@pytest.mark.parametrize(("value", "expected"), TRUTHS, ids=lambda value: repr(value)[:40])
def test_truths(value, expected) -> None:
    if expected.endswith("_answer"):
        for judge in (ground_truth, check_truth):
            with pytest.raises(RowError) as caught:
                judge(value)
            assert caught.value.reason == expected and len(str(caught.value)) < 250
        return
    truth = ground_truth(value)
    assert truth == expected
    check_truth(truth)  # what is written passes the check before a run
    answers = json.loads(truth) if truth.startswith('["') else [truth]
    assert all(verify(rf"\boxed{{{answer}}}", truth).correct for answer in answers)


@pytest.mark.parametrize("value", ["['3']", "('3',)", "{'answer': '3'}", "['3' 'three']", "[['3'], ['4']]"])
def test_what_was_written_as_text_is_refused_before_a_run(value) -> None:
    """The verifier would take it for one answer; a program of data_preprocess/ reads it."""
    with pytest.raises(RowError, match="written as text"):
        check_truth(value)


@pytest.mark.parametrize("value", ["3", 3, ["3", None], ["3", "three"], '["3", "three"]', {"answer": "3"}, "[0, 1]",
                                   ["3\n4", "three"]])  # fmt: skip
def test_what_the_verifier_reads_passes(value) -> None:
    check_truth(value)


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=5,
)


@given(NESTED | NESTED.map(str) | NESTED.map(repr) | st.text(alphabet="[](){}'\",: \\3nNoe", max_size=30))
def test_any_value_is_judged(value) -> None:
    try:
        truth = ground_truth(value)
    except RowError:
        return
    check_truth(truth)
    assert ground_truth(truth) == truth


@given(st.lists(st.text(alphabet="ab3'\"\\\\ {}[](),$", max_size=12), min_size=1, max_size=3))
def test_a_list_written_by_python_is_read_back(texts) -> None:
    assert written_value(str(texts)) == texts


def test_deep_nesting_is_no_traceback() -> None:
    value: list = ["3"]
    for _ in range(5000):
        value = [value]
    with pytest.raises(RowError, match="nested too deeply"):
        ground_truth(value)
