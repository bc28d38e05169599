"""What the gate measures, and when it is closed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from synthetic_judge import draw_group, draw_groups

from spark_verl.config.schema import SelfRewardConfig
from spark_verl.self_reward import AnswerClass, ScoredGroup, SelfReward
from spark_verl.self_reward.controller import Closed
from spark_verl.self_reward.gate import correlation, cross_fitted, measure
from spark_verl.self_reward.posterior import Posterior
from spark_verl.self_reward.rewards import advantages, sample_rewards, sample_truth
from spark_verl.vocabulary import Supervision

ON = SelfRewardConfig(enable=True)
MIN_STD = ON.min_std


def posterior_rewards(group: ScoredGroup, posterior: Posterior) -> list[float]:
    return posterior.of(group)


@pytest.mark.parametrize(
    ("rewards", "truth", "expected"),
    [
        ([0.9, 0.1], [1.0, 0.0], 1.0),
        ([0.1, 0.9], [1.0, 0.0], -1.0),
        ([0.5, 0.5], [1.0, 0.0], 0.0),
        ([0.9, 0.1], [1.0, 1.0], 0.0),
    ],
)
def test_correlation(rewards, truth, expected):
    assert correlation(rewards, truth) == pytest.approx(expected)


@pytest.mark.parametrize("youden", [-0.2, 0.0, 0.2, 0.5])
def test_rho_of_single_verdicts_is_the_formulas(youden):
    """ρ = J √(p(1-p) / (q(1-q))), q = FPR + J p."""
    rng, p = Random(0), 0.3
    fpr = (1 - youden) / 2
    truth = [float(rng.random() < p) for _ in range(60_000)]
    verdicts = [float(rng.random() < fpr + youden * right) for right in truth]
    q = fpr + youden * p
    assert correlation(verdicts, truth) == pytest.approx(youden * math.sqrt(p * (1 - p) / (q * (1 - q))), abs=0.02)


@pytest.mark.parametrize("fixed_errors", [False, True])
def test_rho_holds_for_other_questions(fixed_errors):
    measured = measure(draw_groups(400, seed=3, fixed_errors=fixed_errors), posterior_rewards, MIN_STD)
    fresh = measure(draw_groups(400, seed=4, fixed_errors=fixed_errors), posterior_rewards, MIN_STD)
    assert fresh.rho == pytest.approx(measured.rho, abs=0.06)
    assert measured.low < measured.rho < measured.high


def test_rho_is_the_slope_from_self_made_advantages_to_those_by_truth():
    """Least squares over all samples, whatever share of the groups is all right or all wrong."""
    groups = draw_groups(600, right_share=0.6, youden=0.5)
    rewards = cross_fitted(groups, posterior_rewards)
    made, by_truth = [], []
    for group, of_classes in zip(groups, rewards, strict=True):
        if own := advantages(sample_rewards(group, of_classes), 1.0, MIN_STD):
            true = advantages(sample_truth(group), 1.0, 0.0)
            made += own.values()
            by_truth += [true[session] for session in own]
    slope = np.dot(made, by_truth) / np.dot(made, made)
    assert measure(groups, posterior_rewards, MIN_STD).rho == pytest.approx(slope, abs=1e-3)


def unanimous(count: int) -> list[ScoredGroup]:
    """Groups that teach nothing: all samples agree, and the judge, and all are right."""
    agreed = AnswerClass("7", tuple(range(8)), yes=4, read=4, asked=4, right=True)
    return [ScoredGroup(f"unanimous {i}", Supervision.AUDIT, (agreed,)) for i in range(count)]


def test_groups_that_would_teach_nothing_take_no_weight():
    groups = draw_groups(100, youden=0.6)
    one = measure(groups, posterior_rewards, MIN_STD)
    other = measure(groups + unanimous(100), posterior_rewards, MIN_STD)
    assert (one.taught, other.taught) == pytest.approx((1.0, 0.5), abs=0.1)
    assert other.rho == pytest.approx(one.rho, abs=0.05)
    assert other.low == pytest.approx(one.low, abs=0.1)


@pytest.mark.parametrize(("teaching", "known"), [(0, False), (1, False), (3, False), (8, True)])
def test_few_groups_that_teach_are_no_evidence(teaching, known):
    taught = [group for group in draw_groups(100, youden=1.0, right_share=0.5) if len(group.classes) > 1]
    found = measure(taught[:teaching] + unanimous(30), posterior_rewards, MIN_STD)
    assert (found.low > 0.3) == known


def test_a_group_all_right_that_is_told_apart_counts_as_nothing():
    sure = [AnswerClass("7", (0, 1, 2, 3), yes=4, read=4, asked=4, right=False)]
    doubted = [AnswerClass("8", (4, 5, 6, 7), yes=0, read=4, asked=4, right=False)]
    wrong = [ScoredGroup(f"w{i}", Supervision.AUDIT, (*sure, *doubted)) for i in range(50)]
    groups = draw_groups(100, youden=0.6)
    assert (
        measure(groups + wrong, posterior_rewards, MIN_STD).rho < measure(groups, posterior_rewards, MIN_STD).rho - 0.1
    )


def test_rates():
    found = measure(draw_groups(500, youden=0.6), posterior_rewards, MIN_STD)
    assert (found.tpr, found.fpr) == pytest.approx((0.8, 0.2), abs=0.03)
    assert found.youden == pytest.approx(found.tpr - found.fpr)
    assert found.reward == pytest.approx(found.accuracy, abs=0.05)
    assert (found.groups, found.questions, found.unreadable) == (500, 500, 0.0)


def test_fixed_errors_cap_what_ranking_can_do():
    """J is the same; how often the right answer ranks first is not."""
    at_random = measure(draw_groups(400), posterior_rewards, MIN_STD)
    fixed = measure(draw_groups(400, fixed_errors=True), posterior_rewards, MIN_STD)
    assert fixed.youden == pytest.approx(at_random.youden, abs=0.1)
    assert fixed.first < at_random.first - 0.05


def test_the_same_question_again_is_no_new_evidence():
    """With errors that are fixed per answer, 300 groups of 10 questions are 10 observations."""
    few = measure(draw_groups(300, questions=10, fixed_errors=True), posterior_rewards, MIN_STD)
    many = measure(draw_groups(300, fixed_errors=True), posterior_rewards, MIN_STD)
    assert few.high - few.low > 2 * (many.high - many.low)


def after(groups: list[ScoredGroup], config: SelfRewardConfig = ON, alarm: bool = False) -> tuple[float, Closed | None]:
    """The weight after these audit groups, and why the gate is closed."""
    controller = SelfReward(config)
    controller.alarm = alarm
    found = controller.step({f"u{i}": group for i, group in enumerate(groups)}, 1)
    return found.weight, found.closed


def unreadable(groups: list[ScoredGroup]) -> list[ScoredGroup]:
    """The same verdicts, and half as many again that cannot be read."""
    return [replace(g, classes=tuple(replace(each, asked=6) for each in g.classes)) for g in groups]


@pytest.mark.parametrize(
    ("groups", "config", "alarm", "reason"),
    [
        pytest.param(draw_groups(60, youden=0.6), ON, False, None, id="open"),
        pytest.param(draw_groups(29, youden=0.9), ON, False, Closed.FEW_GROUPS, id="too_few_groups"),
        pytest.param(draw_groups(60, questions=11, youden=0.9), ON, False, Closed.FEW_GROUPS, id="too_few_questions"),
        pytest.param(draw_groups(60, youden=0.6), ON, True, Closed.ALARM, id="alarm"),
        pytest.param(
            draw_groups(60, youden=-0.6, right_share=0.25, misled=0.8), ON, False, Closed.BOUND, id="worse_than_a_coin"
        ),
        pytest.param(unreadable(draw_groups(60, youden=0.9)), ON, False, Closed.UNREADABLE, id="many_are_unreadable"),
        pytest.param(
            draw_groups(60, youden=0.6),
            replace(ON, max_miscalibration=0.0),
            False,
            Closed.CALIBRATION,
            id="miscalibrated",
        ),
        pytest.param(draw_groups(60, youden=-0.9), replace(ON, gate=False), True, None, id="no_gate"),
        pytest.param([], ON, False, Closed.FEW_GROUPS, id="nothing_seen"),
    ],
)
def test_why_it_is_closed(groups, config, alarm, reason):
    weight, closed = after(groups, config, alarm)
    assert closed == reason
    assert (0.0 < weight <= 1.0) if reason is None else weight == 0.0


def test_the_weight_is_what_the_judge_is_worth_at_least_or_by_estimate():
    groups = draw_groups(60, youden=0.5)
    found = measure(groups, posterior_rewards, MIN_STD)
    assert after(groups, replace(ON, weight="bound")) == (pytest.approx(found.low), None)
    assert after(groups, replace(ON, weight="estimate")) == (pytest.approx(found.rho), None)
    hopeless = draw_groups(60, youden=-0.6, right_share=0.25, misled=0.8)
    assert after(hopeless, replace(ON, weight="estimate")) == (0.0, Closed.BOUND), "the bound opens the gate"


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_verdicts_keep_it_closed_where_the_majority_is_misled(seed):
    groups = draw_groups(100, seed=seed, youden=0.8, right_share=0.25, misled=0.8)
    assert after(groups)[0] > 0.5
    assert after(groups, replace(ON, shuffle_verdicts=True))[1] in (Closed.BOUND, Closed.CALIBRATION)


def test_it_goes_on_from_a_checkpoint():
    groups = draw_groups(80)
    whole, broken = SelfReward(ON), SelfReward(ON)
    for part in (groups[:40], groups[40:]):
        found = whole.step({f"u{i}": group for i, group in enumerate(part)}, 1)
        broken.step({f"u{i}": group for i, group in enumerate(part)}, 1)
        resumed = SelfReward(ON)
        resumed.load_state_dict(json.loads(json.dumps(broken.state_dict())))
        broken = resumed
    assert (broken.posterior, broken.measured) == (whole.posterior, whole.measured)
    assert found.metrics["spark/self_reward/weight"] == pytest.approx(min(1.0, whole.measured.low))


def test_what_a_step_reports():
    audit = {f"a{i}": group for i, group in enumerate(draw_groups(60, youden=0.7))}
    unlabelled = {
        f"u{i}": draw_group(Random(i), f"v{i}", youden=0.7, supervision=Supervision.UNLABELLED) for i in range(20)
    }
    found = SelfReward(ON).step({**audit, **unlabelled}, 1)
    metrics = {name.removeprefix("spark/self_reward/"): value for name, value in found.metrics.items()}
    assert set(found.advantages) <= set(unlabelled) and found.advantages
    assert (metrics["groups"], metrics["audit_groups"]) == (20, 60)
    assert metrics["taught_groups"] == len(found.advantages)
    assert 0 < metrics["audit/low"] <= metrics["audit/rho"] <= metrics["audit/high"]
    assert metrics["weight"] == pytest.approx(metrics["audit/low"])
    assert metrics["realised/acc"] == pytest.approx(metrics["realised/reward"], abs=0.15)
    assert sum(metrics[f"closed/{reason}"] for reason in Closed) == 0
    assert all(math.isfinite(value) for value in metrics.values())


def test_the_window_forgets():
    controller = SelfReward(replace(ON, window=50))
    controller.step({f"u{i}": group for i, group in enumerate(draw_groups(100, youden=-0.9))}, 1)
    assert controller.measured.youden < 0
    controller.step({f"u{i}": group for i, group in enumerate(draw_groups(50, youden=0.9))}, 2)
    assert controller.measured.youden > 0.8


def test_an_audit_group_that_was_not_verified_measures_nothing():
    unverified = ScoredGroup("q", Supervision.AUDIT, (AnswerClass("5", (0, 1), 1, 4, 4),))
    controller = SelfReward(ON)
    controller.step({"u": unverified}, 1)
    assert not controller.window
