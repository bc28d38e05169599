"""From classes to rewards and advantages."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_judge import draw_group, draw_groups

from spark_verl.self_reward import AnswerClass, ScoredGroup
from spark_verl.self_reward.posterior import Posterior
from spark_verl.self_reward.rewards import advantages, class_rewards, sample_rewards, shuffle_verdicts
from spark_verl.vocabulary import SelfRewardKind, Supervision

THREE = ScoredGroup(
    "q",
    Supervision.UNLABELLED,
    (AnswerClass("5", (0, 1, 2), 1, 4, 4), AnswerClass("7", (3, 4), 4, 4, 4), AnswerClass("9", (5,), 0, 0, 4)),
    unanswered=(6,),
    left_out=(7,),
)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (SelfRewardKind.MAJORITY, [1.0, 0.0, 0.0]),
        (SelfRewardKind.VOTE, [3 / 8, 2 / 8, 1 / 8]),
        (SelfRewardKind.JUDGE, [1 / 4, 1.0, 0.0]),
        (SelfRewardKind.VOTE_JUDGE, [3 / 8 * 1.5 / 5, 2 / 8 * 4.5 / 5, 1 / 8 * 0.5 / 5]),
        (SelfRewardKind.POSTERIOR, Posterior().of(THREE)),
    ],
)
def test_rewards(kind, expected):
    assert class_rewards(kind, THREE, Posterior()) == pytest.approx(expected)


def test_samples_get_what_their_answer_is_worth():
    assert sample_rewards(THREE, [0.1, 0.8, 0.3]) == {0: 0.1, 1: 0.1, 2: 0.1, 3: 0.8, 4: 0.8, 5: 0.3, 6: 0.0}


@pytest.mark.parametrize(
    ("rewards", "weight", "taught"),
    [
        pytest.param([0.9, 0.1, 0.1], 0.5, True, id="taught"),
        pytest.param([0.9, 0.1, 0.1], 0.0, False, id="closed"),
        pytest.param([0.50, 0.51, 0.52], 1.0, False, id="a_shade_of_doubt"),
        pytest.param([0.9], 1.0, False, id="nobody_to_compare_with"),
        pytest.param([], 1.0, False, id="empty"),
    ],
)
def test_advantages(rewards, weight, taught):
    found = advantages(dict(enumerate(rewards)), weight, min_std=0.1)
    assert bool(found) == taught
    if taught:
        values = np.array(list(found.values()))
        assert values.mean() == pytest.approx(0.0, abs=1e-9)
        assert values.std(ddof=1) == pytest.approx(weight, rel=1e-4)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(SelfRewardKind)), st.randoms())
def test_permuting_samples_changes_nothing(seed, kind, rng):
    group = draw_group(Random(seed), "q", supervision=Supervision.UNLABELLED)
    names = list(range(8))
    rng.shuffle(names)
    renamed = replace(
        group,
        classes=tuple(replace(each, sessions=tuple(names[s] for s in each.sessions)) for each in group.classes),
        left_out=tuple(names[s] for s in group.left_out),
    )
    one = sample_rewards(group, class_rewards(kind, group, Posterior()))
    other = sample_rewards(renamed, class_rewards(kind, renamed, Posterior()))
    assert {names[session]: value for session, value in one.items()} == pytest.approx(other)


def test_shuffling_keeps_the_verdicts():
    groups = draw_groups(20)
    dealt = shuffle_verdicts(groups, Random(1))
    counts = [sorted(each.yes for group in some for each in group.classes) for some in (groups, dealt)]
    assert counts[0] == counts[1]
    assert [group.question for group in dealt] == [group.question for group in groups]
    assert dealt != groups
