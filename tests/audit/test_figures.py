"""Figures against judges that err as they are told to, and against groups that can be counted by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from synthetic_judge import draw_groups

from spark_verl.audit import show
from spark_verl.audit.advice import advise, density
from spark_verl.audit.figures import Audited, audited, figures
from spark_verl.audit.resampling import Bootstrap, interval
from spark_verl.config.schema import SelfRewardConfig
from spark_verl.evaluation.figures import without_nan
from spark_verl.self_reward import AnswerClass, ScoredGroup
from spark_verl.self_reward.gate import measure
from spark_verl.vocabulary import Status, Supervision

COST = {"prompt_tokens": 10.0, "completion_tokens": 5.0, "seconds": 0.5}


def seen(groups: Sequence[ScoredGroup]) -> list[Audited]:
    """Groups as an audit has them; whatever has no class is wrong."""
    found = []
    for group in groups:
        right = [bool(each.right) for each in group.classes for _ in each.sessions]
        right += [False] * (len(group.unanswered) + len(group.left_out))
        found.append(Audited(group, tuple(right), COST, COST))
    return found


def measured(groups: Sequence[ScoredGroup], **config: Any) -> dict[str, Any]:
    return figures(seen(groups), SelfRewardConfig(window=len(groups), **config))


def group(question: str, *classes: tuple[int, int, bool], unanswered: int = 0, read: int = 4) -> ScoredGroup:
    """A group by (votes, yes, right) of its classes."""
    found, first = [], 0
    for number, (votes, yes, right) in enumerate(classes):
        sessions = tuple(range(first, first + votes))
        found.append(AnswerClass(f"{question} {number}", sessions, yes, read, 4, right))
        first += votes
    rest = tuple(range(first, first + unanswered))
    return ScoredGroup(question, Supervision.AUDIT, tuple(found), unanswered=rest)


# ------------------------------------------------------------------------------------------------ synthetic judges


@pytest.mark.parametrize("youden", [-0.2, 0.0, 0.2, 0.5])
@pytest.mark.parametrize("fixed", [False, True])
def test_rates_and_their_intervals(youden, fixed):
    found = measured(draw_groups(400, youden=youden, fixed_errors=fixed))
    for name, truth in {"tpr": (1 + youden) / 2, "fpr": (1 - youden) / 2, "youden": youden}.items():
        assert found[name]["value"] == pytest.approx(truth, abs=0.08)
        assert found[name]["low"] - 0.03 < truth < found[name]["high"] + 0.03
    # Fixed errors are one observation per answer, however often it is asked.
    width = found["youden"]["high"] - found["youden"]["low"]
    assert (width > 0.1) is fixed


@pytest.mark.parametrize("youden", [-0.2, 0.2, 0.5])
def test_what_repeats_is_systematic(youden):
    anew = measured(draw_groups(400, youden=youden))
    fixed = measured(draw_groups(400, youden=youden, fixed_errors=True))
    assert anew["repeating"]["value"] == pytest.approx(0, abs=0.04)
    assert anew["again"]["value"] == pytest.approx(anew["error"]["value"], abs=0.04)
    assert fixed["repeating"]["value"] == fixed["again"]["value"] == pytest.approx(1)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_the_systematic_part_of_mixed_errors(share):
    """A judge whose errors are fixed on a share of the answers: the same share of their variance is."""
    rng = Random(1)
    groups = []
    for anew, fixed in zip(*(draw_groups(900, seed=2, fixed_errors=each) for each in (False, True)), strict=True):
        of = {each.answer: each for each in fixed.classes}
        classes = [of[e.answer] if e.answer in of and rng.random() < share else e for e in anew.classes]
        groups.append(replace(anew, classes=tuple(classes)))
    found = measured(groups)["repeating"]
    assert found["value"] == pytest.approx(share, abs=0.08) and found["low"] < share + 0.03


def test_a_judge_that_always_says_yes_errs_systematically():
    groups = [
        replace(each, classes=tuple(replace(answer, yes=answer.read) for answer in each.classes))
        for each in draw_groups(50)
    ]
    found = measured(groups)
    assert found["youden"]["value"] == 0 and found["repeating"]["value"] == 1
    assert found["rho"]["judge"]["count"] == 0, "it tells nothing apart"


@pytest.mark.parametrize("judge", [{"youden": 0.5}, {"youden": 0.5, "fixed_errors": True}, {"youden": 0.0}])
def test_rho_and_weight_are_the_gates(judge):
    groups = draw_groups(80, seed=5, **judge)
    gate, found = measure(groups, lambda group, posterior: posterior.of(group), 0.1), measured(groups)
    assert found["rho"]["posterior"]["value"] == pytest.approx(gate.rho)
    assert found["rho"]["posterior"]["low"] == pytest.approx(gate.low)
    assert found["rho"]["posterior"]["high"] == pytest.approx(gate.high)
    assert found["gate"]["weight"] == pytest.approx(gate.low) and found["gate"]["closed"] is None
    assert found["calibration"]["posterior"]["brier"]["value"] == pytest.approx(gate.brier)
    assert (found["tpr"]["value"], found["fpr"]["value"]) == pytest.approx((gate.tpr, gate.fpr))


def test_verdicts_help_where_the_majority_is_misled():
    found = measured(draw_groups(300, right_share=0.25, misled=0.7, youden=0.7))
    assert found["picks"]["vote"]["high"] < found["picks"]["posterior"]["low"] <= found["picks"]["best"]["value"]
    assert found["picks"]["posterior_vs_vote"]["low"] > 0
    assert found["rho"]["vote"]["value"] < 0 < found["rho"]["judge"]["low"]


def test_a_posterior_is_calibrated_by_its_fit():
    found = measured(draw_groups(400, youden=0.3))
    ece = {kind: found["calibration"][kind]["ece"]["value"] for kind in ("posterior", "judge")}
    assert ece["posterior"] < 0.05 < 0.15 < ece["judge"]


@pytest.mark.parametrize(
    ("groups", "closed"),
    [
        (draw_groups(20, youden=0.9), "few_audit_groups"),
        (draw_groups(60, questions=8, youden=0.9), "few_audit_groups"),
        ([group(f"q{n}", (4, 0, True), (4, 4, False)) for n in range(40)], "no_correlation"),
        ([group(f"q{n}", (4, 3, True), (4, 0, False), read=3) for n in range(40)], "unreadable_verdicts"),
    ],
    ids=["few_groups", "few_questions", "upside_down", "unreadable"],
)
def test_why_the_gate_would_be_closed(groups, closed):
    found = measured(groups)["gate"]
    assert (found["closed"], found["weight"]) == (closed, 0.0)


# ------------------------------------------------------------------------------------------------ by hand

BY_HAND = [
    group("all right", (4, 4, True)),
    group("all wrong", (2, 1, False), (1, 0, False), unanswered=1),
    group("mixed", (3, 2, False), (1, 4, True)),
    group("nothing parsed", unanswered=4),
    group("tied", (2, 3, True), (2, 3, False)),
]


def test_counts_by_hand():
    found = measured(BY_HAND)
    assert found["right_per_question"] == [2, 1, 1, 0, 1]
    expected = {
        "pass_rate": 7 / 20,
        "all_right": 1 / 5,
        "all_wrong": 2 / 5,
        "no_signal": 3 / 5,
        "unanswered": 5 / 20,
        "tpr": 11 / 12,
        "fpr": 6 / 16,
        "youden": 11 / 12 - 6 / 16,
        "error": 7 / 28,
        "unreadable": 0.0,
        "not_asked": 0.0,
    }
    assert {name: found[name]["value"] for name in expected} == pytest.approx(expected)
    assert found["yes"] == {"right": [0, 0, 0, 1, 2], "wrong": [1, 1, 1, 1, 0]}
    # Of the verdicts on one answer 0, 1, 0, 2, 0, 1, 3 are wrong: pairs of wrong ones 2·1/3 + 3·2/3 of 28.
    pairs, error = (2 / 3 + 6 / 3) / 28, 7 / 28
    assert found["again"]["value"] == pytest.approx(pairs / error)
    assert found["repeating"]["value"] == pytest.approx((pairs - error**2) / (error - error**2))
    picks = {name: each["value"] for name, each in found["picks"].items()}
    assert (picks["vote"], picks["judge"], picks["best"]) == pytest.approx((1.5 / 5, 2.5 / 5, 3 / 5))
    # Over the four with an answer: yes, yes, no, and both shared by two equal ones.
    assert picks["agreement"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert found["cost"]["answering"]["tokens"]["value"] == 15 and found["cost"]["judging_share"]["value"] == 0.5


def test_the_reliability_table_by_hand():
    table = measured(BY_HAND)["calibration"]["judge"]
    rows = [(row["low"], row["answers"], row["reward"], row["right"]) for row in table["bins"]]
    expected = [(0.0, 1, 0.0, 0.0), (0.2, 1, 0.25, 0.0), (0.5, 1, 0.5, 0.0), (0.7, 2, 0.75, 0.5), (0.9, 2, 1.0, 1.0)]
    assert rows == [pytest.approx(row) for row in expected]
    assert table["ece"]["value"] == pytest.approx((0.25 + 0.5 + 2 * 0.25) / 7)
    assert table["brier"]["value"] == pytest.approx((0.25**2 + 0.5**2 + 0.25**2 + 0.75**2) / 7)


@pytest.mark.parametrize(
    "groups",
    [
        pytest.param([group("q", unanswered=4)], id="no_answer_at_all"),
        pytest.param([group("q", (4, 4, True))], id="one_right_question"),
        pytest.param([group(f"q{n}", (4, 0, False)) for n in range(3)], id="nothing_right"),
        pytest.param([group(f"q{n}", (2, 0, True), (2, 0, False), read=0) for n in range(3)], id="nothing_read"),
        pytest.param([group(f"q{n}", (2, 1, True), (2, 0, False), read=1) for n in range(3)], id="one_verdict_each"),
    ],
)
def test_what_is_not_defined_is_left_empty(groups, tmp_path):
    found = measured(groups)
    assert advise(found)
    found = without_nan(found)
    json.dumps(found, allow_nan=False)
    assert density(found) in ("dense", "sparse", "used up", "mixed") and "–" in show.table(found)
    show.picture(found, "title", tmp_path / "audit.png")
    assert (tmp_path / "audit.png").stat().st_size > 10_000


def test_permuting_the_samples_changes_nothing():
    groups = draw_groups(40)
    relabelled = [
        replace(
            each,
            classes=tuple(replace(c, sessions=tuple(7 - s for s in c.sessions)) for c in each.classes),
            left_out=tuple(7 - s for s in each.left_out),
        )
        for each in groups
    ]
    one, other = (json.dumps(without_nan(measured(each)), sort_keys=True) for each in (groups, relabelled))
    assert json.loads(one)["rho"]["posterior"]["value"] == pytest.approx(json.loads(other)["rho"]["posterior"]["value"])
    assert json.loads(one)["picks"] == json.loads(other)["picks"]


# ------------------------------------------------------------------------------------------------ intervals


def test_intervals_are_those_of_a_binomial():
    rng = np.random.default_rng(0)
    values = rng.random(400) < 0.3
    found = interval(Bootstrap([str(n) for n in range(400)]).ratio(values), 400)
    assert found.value == values.mean()
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 400), rel=0.1)


def test_the_same_question_again_is_no_new_evidence():
    few = measured(draw_groups(200, questions=10, fixed_errors=True))["tpr"]
    many = measured(draw_groups(200, fixed_errors=True))["tpr"]
    assert few["high"] - few["low"] > 1.5 * (many["high"] - many["low"])


# ------------------------------------------------------------------------------------------------ from records


def sample(answer: str | None, pool: int | None, correct: bool, status: Status = Status.OK) -> dict[str, Any]:
    return {"answer": answer, "pool": pool, "correct": correct, "status": status.value, **COST}


def record(samples: list[dict], verdicts: dict[int, list[bool | None]]) -> dict[str, Any]:
    """``verdicts`` by the sample that they are about."""
    judgements = [{"about": about, "says_right": each, **COST} for about, said in verdicts.items() for each in said]
    return {"digest": "abc", "samples": samples, "judgements": judgements}


def test_a_record_is_read_back():
    samples = [sample("7", 0, True), sample("8", 1, False), sample(None, None, False, Status.UNPARSABLE)]
    samples += [sample("7.0", 0, True), sample("9", 2, False)]
    found = audited(record(samples, {3: [True, None], 1: [False, True]}), answers=2)
    assert found.right == (True, False, False, True, False) and found.measures
    assert found.group == ScoredGroup(
        "abc",
        Supervision.AUDIT,
        (AnswerClass("7.0", (0, 3), 1, 1, 2, True), AnswerClass("8", (1,), 1, 2, 2, False)),
        unanswered=(2,),
        left_out=(4,),
    )
    assert found.answering["prompt_tokens"] == 50 and found.judging["seconds"] == 2.0


@pytest.mark.parametrize(
    ("samples", "measures"),
    [
        pytest.param([sample("x", 0, False, Status.TIMEOUT)], False, id="nothing_verified"),
        pytest.param([sample("x", 0, False, Status.TIMEOUT), sample("1", 1, True)], False, id="one_answer_unknown"),
        pytest.param([sample("x", 0, False, Status.TIMEOUT), sample("x", 0, True)], True, id="known_by_another_sample"),
        pytest.param([sample(None, None, False, Status.UNPARSABLE)], True, id="no_answer"),
    ],
)
def test_what_was_not_verified_measures_nothing(samples, measures):
    assert audited(record(samples, {}), answers=4).measures is measures
