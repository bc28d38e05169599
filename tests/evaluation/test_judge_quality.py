"""Measures of a judge, by hand."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.evaluation.judge_quality import (
    Judged,
    calibration,
    from_results,
    own_answers,
    position,
    quality,
    reliability,
    report,
    separation,
    table,
    verdicts,
)
from spark_verl.vocabulary import LabelForm

YES_NO = LabelForm.YES_NO


def items(text: str) -> list[Judged]:
    """``"YN"``: label Yes, verdict No; ``-`` is no verdict."""
    names = {"Y": "Yes", "N": "No", "A": "A", "B": "B", "-": None}
    return [Judged(names[pair[0]], None, names[pair[1]]) for pair in text.split()]


def test_verdicts_by_hand():
    found = verdicts(items("YY YY YN Y- NN NY"), YES_NO)
    assert (found["count"], found["accuracy"], found["unparsable"]) == (6, 3 / 6, 1 / 6)
    assert found["Yes"] == {"precision": 2 / 3, "recall": 2 / 4, "f1": pytest.approx(4 / 7), "support": 4}
    assert found["No"] == {"precision": 1 / 2, "recall": 1 / 2, "f1": 2 / 4, "support": 2}
    assert found["balanced_accuracy"] == 0.5


@pytest.mark.parametrize(
    ("text", "accuracy", "balanced", "precision"),
    [("YY YY YY NY", 0.75, 0.5, 0.75), ("Y- N-", 0.0, 0.0, None), ("YY", 1.0, None, 1.0)],
)
def test_a_judge_with_one_answer(text, accuracy, balanced, precision):
    found = quality(items(text), YES_NO)
    assert (found["accuracy"], found["balanced_accuracy"], found["Yes"]["precision"]) == (accuracy, balanced, precision)


def test_position_by_hand():
    # Says A in 4 of 5 parsable cases, where A is right in 3 of 5.
    found = position(items("AA AA AB BA BA B-"))
    assert found["chose_first"] == 4 / 5 and found["first_is_right"] == 3 / 5
    assert found["bias"] == pytest.approx(1 / 5)
    assert (found["accuracy_first"], found["accuracy_second"]) == (2 / 3, 0)
    assert math.isnan(position([])["bias"])


def judged(*pairs: tuple[float, bool]) -> list[Judged]:
    return [Judged("Yes" if true else "No", p, None) for p, true in pairs]


def test_calibration_by_hand():
    found = calibration(judged((0.9, True), (0.95, False), (0.2, False), (0.25, True)), YES_NO)
    # Bin 0.9-1.0: |0.925 - 0.5|, bin 0.2-0.3: |0.225 - 0.5|, half of the judgements in each.
    assert found["ece"] == pytest.approx((0.425 + 0.275) / 2)
    assert found["brier"] == pytest.approx((0.01 + 0.9025 + 0.04 + 0.5625) / 4)
    assert [(b["low"], b["count"], b["frequency"]) for b in found["bins"]] == [(0.2, 2, 0.5), (0.9, 2, 0.5)]


@pytest.mark.parametrize(("p", "true", "ece"), [(1.0, True, 0), (0.0, False, 0), (1.0, False, 1), (0.5, True, 0.5)])
def test_calibration_at_the_borders(p, true, ece):
    assert calibration(judged((p, true)), YES_NO)["ece"] == ece


def test_calibration_without_probabilities():
    assert calibration(items("YY"), YES_NO) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_calibration_is_bounded(pairs):
    found = calibration(judged(*pairs), YES_NO)
    assert 0 <= found["ece"] <= 1 + 1e-9 and 0 <= found["brier"] <= 1
    assert sum(bin["count"] for bin in found["bins"]) == len(pairs)
    # By Jensen's inequality within the bins.
    assert found["ece"] ** 2 <= found["brier"] + 1e-9


def test_separation_by_hand():
    found = separation(judged((0.9, True), (0.6, True), (0.6, False), (0.1, False)), YES_NO)
    assert (found["p_on_right"], found["p_on_wrong"]) == (pytest.approx(0.75), pytest.approx(0.35))
    # Pairs: 0.9 beats both, 0.6 ties with one and beats the other.
    assert found["auc"] == 3.5 / 4
    assert math.isnan(separation(judged((0.9, True)), YES_NO)["auc"])


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.booleans()), max_size=30))
def test_auc_is_the_share_of_pairs_in_order(pairs):
    right = [p for p, true in pairs if true]
    wrong = [p for p, true in pairs if not true]
    auc = separation(judged(*pairs), YES_NO)["auc"]
    if not right or not wrong:
        assert math.isnan(auc)
    else:
        points = [1.0 if r > w else 0.5 if r == w else 0.0 for r in right for w in wrong]
        assert auc == pytest.approx(sum(points) / len(points))


def record(strategy: str, samples, judgements=(), form=None, kind=None, truth="2", error=None) -> dict:
    return {
        "benchmark": "b",
        "strategy": strategy,
        "error": error,
        "final": 0,
        "label_form": form,
        "kind": kind,
        "ground_truth": truth,
        "samples": samples,
        "judgements": judgements,
    }


def sample(answer, correct=True, status="ok", **more) -> dict:
    return {"answer": answer, "correct": correct, "status": status, **more}


def judgement(about, says_right, p) -> dict:
    return {"about": about, "says_right": says_right, "p_right": p}


RECORDS = [
    record("single", [sample("A", p_positive=0.8)], form="a_b", kind="spark/pairwise", truth="A"),
    record("single", [sample(None, False, "unparsable")], form="a_b", kind="spark/pairwise", truth="B"),
    record("majority", [sample("A", p_positive=0.8)], form="a_b", kind="spark/pairwise", truth="A"),
    record("reflect", [sample("2")], [judgement(0, True, 0.9)]),
    record(
        "best_of_n",
        [sample("2"), sample("3", False), sample("x", False, "timeout")],
        [judgement(0, True, 0.9), judgement(1, None, None), judgement(2, False, 0.1)],
    ),
    record("best_of_n", [], [], error="APITimeoutError"),
]


def test_judgements_from_results():
    assert from_results(RECORDS) == {
        "b: spark/pairwise": ("a_b", [Judged("A", 0.8, "A"), Judged("B", None, None)]),
        # best_of_n has more than reflect; what the verifier could not decide has no label.
        "b: own answers": ("yes_no", [Judged("Yes", 0.9, "Yes"), Judged("No", None, None)]),
    }


def test_label_forms_of_one_objective_are_counted_apart():
    records = [
        record("single", [sample("Yes", p_positive=0.8)], form="yes_no", kind="spark/pointwise", truth="Yes"),
        record("single", [sample("A", p_positive=0.8)], form="a_b", kind="spark/pointwise", truth="B"),
    ]
    figures = report(from_results(records))
    assert {name: found["accuracy"] for name, found in figures.items()} == {
        "b: spark/pointwise": 1.0,
        "b: spark/pointwise (a_b)": 0.0,
    }
    assert not any("position" in found for found in figures.values()), "one candidate has no place"


def test_report_table_and_pictures(tmp_path):
    figures = report(from_results(RECORDS))
    assert figures["b: spark/pairwise"]["position"]["chose_first"] == 1
    assert "position" not in figures["b: own answers"]
    text = table(figures)
    assert text.count("\n") == 3 and re.search(r"\| b: own answers +\| 2 +\| 50.0 +\|", text)
    reliability(figures, tmp_path / "r.png")
    own_answers(from_results(RECORDS)["b: own answers"][1], tmp_path / "o.png")
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("r.png", "o.png"))
    reliability({"x": quality(items("YY"), YES_NO)}, tmp_path / "none.png")
    own_answers(items("YY"), tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
