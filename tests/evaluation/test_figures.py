"""Intervals, costs and comparisons at equal tokens, by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_verl.evaluation.figures import equal_tokens, frame, report, table
from spark_verl.statistics import bootstrap


def test_bootstrap_of_a_coin():
    interval = bootstrap([0.0, 1.0] * 200)
    # Standard error sqrt(0.25 / 400) = 0.025, and 1.96 of them to each side.
    assert interval.value == 0.5 and interval.count == 400
    assert interval.low == pytest.approx(0.451, abs=0.006) and interval.high == pytest.approx(0.549, abs=0.006)
    assert interval == bootstrap([0.0, 1.0] * 200)


def test_a_paired_difference_is_narrower_than_two_intervals():
    a = [float(i % 2) for i in range(200)]
    b = [1.0 if i < 10 else value for i, value in enumerate(a)]
    difference = bootstrap([y - x for x, y in zip(a, b, strict=True)])
    assert difference.value == pytest.approx(5 / 200) and difference.excludes_zero
    assert difference.high - difference.low < 0.06 < bootstrap(a).high - bootstrap(a).low


def test_clusters_are_drawn_together():
    values = [1.0] * 50 + [0.0] * 50
    assert bootstrap(values, [i // 25 for i in range(100)]).low < bootstrap(values).low - 0.2


def test_bootstrap_of_nothing():
    interval = bootstrap([])
    assert math.isnan(interval.value) and interval.count == 0 and not interval.excludes_zero


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 4)), min_size=1, max_size=40))
def test_bootstrap_is_ordered(pairs):
    interval = bootstrap([value for value, _ in pairs], [cluster for _, cluster in pairs], resamples=200)
    assert 0 <= interval.low <= interval.high <= 1


def sample(answer: str, pool: int | None, correct: bool, tokens: int = 10, status: str = "ok") -> dict:
    return {
        "answer": answer,
        "pool": pool,
        "correct": correct,
        "status": status,
        "finish_reason": "stop",
        "prompt_tokens": tokens // 2,
        "completion_tokens": tokens - tokens // 2,
    }


def record(key: str, strategy: str, samples: list[dict], tokens: int, final: int = 0, **more) -> dict:
    return {
        "benchmark": "b",
        "id": key,
        "strategy": strategy,
        "error": None,
        "group": None,
        "final": final,
        "samples": samples,
        "judgements": [],
        "prompt_tokens": tokens // 2,
        "completion_tokens": tokens - tokens // 2,
        "requests": len(samples),
        "seconds": 1.0,
    } | more


def vote(key: str, pattern: str) -> dict:
    """A majority record: ``R`` right, ``W`` wrong, ``-`` no answer; 10 tokens each."""
    samples = [
        sample(
            letter, {"R": 0, "W": 1, "-": None}[letter], letter == "R", status="unparsable" if letter == "-" else "ok"
        )
        for letter in pattern
    ]
    return record(key, "majority", samples, 10 * len(pattern))


@pytest.mark.parametrize(
    ("spent", "samples", "enough", "correct"),
    [
        (10, 1, True, {"1": 1.0, "2": 0.0}),
        (19, 2, True, {"1": 1.0, "2": 0.0}),
        (30, 3, True, {"1": 0.0, "2": 1.0}),
        (40, 4, True, {"1": 0.0, "2": 1.0}),
        (90, 4, False, {"1": 0.0, "2": 1.0}),
    ],
)
def test_majority_at_equal_tokens(spent, samples, enough, correct):
    answered = frame(record(key, "x", [sample("R", 0, True)], spent) for key in "12")
    found = equal_tokens(answered, frame([vote("1", "RWWW"), vote("2", "WRRR")]))
    assert found == {"samples": samples, "tokens": 10.0 * samples, "enough": enough, "correct": correct}


def test_nothing_to_compare():
    assert equal_tokens(frame([record("1", "x", [sample("R", 0, True)], 10)]), frame([])) is None


def test_report_by_hand(sums):
    right, wrong, late = sample("2", 0, True), sample("3", 1, False), sample("5", 2, False, status="timeout")
    judgement = {"about": 0, "says_right": False, "p_right": 0.1}
    silent = {"about": 0, "says_right": None, "p_right": None}
    ids = [question.id for question in sums(4).questions]
    records = [
        *(record(key, "single", [first], 10) for key, first in zip(ids, (right, wrong, wrong, late), strict=True)),
        record(ids[0], "reflect", [right, wrong], 30, 1, judgements=[judgement]),
        record(ids[1], "reflect", [wrong, right], 30, 1, judgements=[judgement]),
        record(ids[2], "reflect", [wrong], 20, 0, judgements=[silent]),
        record(ids[3], "reflect", [], 0, None, error="APITimeoutError: late"),
        record("sums/99", "single", [wrong], 10),
    ]
    found = report(records, {"b": sums(4)})["b"]
    assert found["single"]["accuracy"]["value"] == pytest.approx(1 / 3)
    assert found["single"]["timeout"] == 1 / 4 and found["single"]["questions"] == 4
    assert found["single"]["benchmark"]["headline"] == "accuracy" and found["single"]["benchmark"]["undecided"] == 1
    reflect = found["reflect"]
    assert (reflect["questions"], reflect["errors"], reflect["tokens"]) == (3, 1, pytest.approx(80 / 3))
    assert reflect["vs_single"]["value"] == 0 and reflect["vs_single"]["count"] == 3
    assert {key: reflect["judge"][key] for key in ("changed", "fixed", "broken", "any_right", "unparsable")} == {
        "changed": pytest.approx(2 / 3),
        "fixed": pytest.approx(1 / 3),
        "broken": pytest.approx(1 / 3),
        "any_right": pytest.approx(2 / 3),
        "unparsable": pytest.approx(1 / 3),
    }
    text = table(found)
    assert text.count("\n") == 3 and "| reflect  | 33.3 [" in text and "+0.0 [" in text
