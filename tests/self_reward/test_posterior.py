"""The posterior: what it says of one group, and what it learns."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_judge import draw_groups

from spark_verl.self_reward import AnswerClass, ScoredGroup
from spark_verl.self_reward.posterior import Posterior, fit
from spark_verl.self_reward.rewards import class_rewards
from spark_verl.vocabulary import SelfRewardKind, Supervision


def group_of(*classes: tuple[int, int]) -> ScoredGroup:
    """Classes as (votes, Yes of 4 verdicts)."""
    sessions = iter(range(100))
    made = [
        AnswerClass(f"a{i}", tuple(next(sessions) for _ in range(votes)), yes, 4, 4)
        for i, (votes, yes) in enumerate(classes)
    ]
    return ScoredGroup("q", Supervision.UNLABELLED, tuple(made))


def test_the_formula_by_hand():
    found = Posterior(0.5, 2.0, 1.5).of(group_of((6, 4), (2, 1)))
    scores = [
        0.5 + 2.0 * math.log(4.5 / 0.5) + 1.5 * math.log(6 / 8),
        0.5 + 2.0 * math.log(1.5 / 3.5) + 1.5 * math.log(2 / 8),
    ]
    total = 1 + sum(map(math.exp, scores))
    assert found == pytest.approx([math.exp(score) / total for score in scores])


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(group_of((4, 4), (4, 0)), group_of((4, 3), (4, 0)), id="more_verdicts_for_it"),
        pytest.param(group_of((5, 2), (3, 2)), group_of((4, 2), (4, 2)), id="more_votes"),
        pytest.param(group_of((4, 2), (4, 1)), group_of((4, 2), (4, 3)), id="less_for_the_other"),
    ],
)
def test_what_raises_it(better, worse):
    assert Posterior().of(better)[0] > Posterior().of(worse)[0]


@pytest.mark.parametrize("kind", [SelfRewardKind.POSTERIOR, SelfRewardKind.JUDGE, SelfRewardKind.VOTE_JUDGE])
@given(st.integers(0, 4), st.integers(0, 4))
def test_an_answer_that_defies_judgement_is_worth_no_more_than_a_wrong_one(kind, yes, of_other):
    """Verdicts that nobody can read, or that could not be asked for, are worth what as many No are."""
    other = AnswerClass("b", (4, 5), of_other, 4, 4)
    rewards = [
        class_rewards(kind, ScoredGroup("q", Supervision.UNLABELLED, (each, other)), Posterior())[0]
        for each in (AnswerClass("a", (0, 1), 0, 0, 4), AnswerClass("a", (0, 1), yes, 4, 4))
    ]
    assert rewards[0] <= rewards[1]


def test_nothing_to_say():
    assert Posterior().of(ScoredGroup("q", Supervision.UNLABELLED, (), unanswered=(0, 1))) == []
    assert fit([]) == Posterior()


@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(0, 4)), min_size=1, max_size=4),
    st.tuples(st.floats(-1e3, 1e3), st.floats(0, 1e3), st.floats(0, 1e3)),
)
def test_it_is_a_probability_whatever_the_coefficients(classes, coefficients):
    found = Posterior(*coefficients).of(group_of(*classes))
    assert all(0.0 <= value <= 1.0 for value in found) and sum(found) <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("judge", "holds"),
    [
        pytest.param({"youden": 0.8}, lambda p: p.judge > 0.5, id="a_good_judge_counts"),
        pytest.param({"youden": 0.0}, lambda p: p.judge < 0.35, id="a_coin_does_not"),
        pytest.param({"youden": -0.6}, lambda p: p.judge < 0.05, id="one_worse_than_a_coin_is_not_turned_round"),
        pytest.param(
            {"youden": 0.5, "right_share": 0.25, "misled": 0.9}, lambda p: p.vote < 0.3, id="a_misled_majority"
        ),
    ],
)
def test_what_it_learns(judge, holds):
    assert holds(fit(draw_groups(300, **judge)))


@pytest.mark.parametrize("youden", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("fixed_errors", [False, True])
def test_it_is_calibrated_on_other_questions(youden, fixed_errors):
    learned = fit(draw_groups(400, seed=1, youden=youden, fixed_errors=fixed_errors))
    fresh = draw_groups(400, seed=2, youden=youden, fixed_errors=fixed_errors)
    said = [value for group in fresh for value in learned.of(group)]
    true = [bool(each.right) for group in fresh for each in group.classes]
    assert np.mean(said) == pytest.approx(np.mean(true), abs=0.04)


def test_nothing_near_the_fit_is_more_likely():
    groups = draw_groups(60, youden=0.5)

    def likelihood(beta: Posterior) -> float:
        total = 0.0
        for group in groups:
            said = beta.of(group)
            right = [value for value, each in zip(said, group.classes, strict=True) if each.right]
            total += math.log(sum(right) if right else 1 - sum(said))
        away = np.array([beta.intercept, beta.judge - 1, beta.vote - 1])
        return total - away @ away / 2

    found, rng = fit(groups), Random(0)
    for _ in range(20):
        near = Posterior(*(value + rng.gauss(0, 0.05) for value in (found.intercept, found.judge, found.vote)))
        if min(near.judge, near.vote) >= 0:
            assert likelihood(near) <= likelihood(found) + 1e-6
