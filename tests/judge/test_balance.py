"""Label balance and budgets over many steps, whatever the policy's accuracy, and the controller's determinism."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from spark_verl.config import BalanceConfig, PairwiseConfig, PointwiseConfig, ReflectionConfig, SparkConfig
from spark_verl.judge import BalanceController, Correctness, JudgeBuilder, Rollout, RolloutGroup, StepOutcome
from spark_verl.vocabulary import Objective

STEPS = 120
WINDOW = 20
QUICKSTART = SparkConfig(
    judge_prompts_per_group=1.5,
    pairwise=PairwiseConfig(share_in_mixed=0.5),
    reflection=ReflectionConfig(right_share=0.2),
)


def group_of_accuracy(accuracy: float, step: int, index: int, n: int = 8) -> RolloutGroup:
    """A group of a policy whose questions vary in difficulty; mean accuracy is ``accuracy``."""
    rng = random.Random(f"{accuracy}/{step}/{index}")
    p = rng.betavariate(10 * accuracy, 10 * (1 - accuracy))
    rollouts = []
    for _ in range(n):
        right = rng.random() < p
        answer = "7" if right else str(rng.randrange(10, 30))
        correctness = Correctness.RIGHT if right else Correctness.WRONG
        rollouts.append(Rollout(f"I see digits. \\boxed{{{answer}}}", answer, correctness))
    return RolloutGroup("uid", [{"role": "user", "content": "3 + 4?"}], "7", index, step, tuple(rollouts), 10)


def simulate(tokenizer, config: SparkConfig, accuracy: float, n_groups: int, steps: int = STEPS) -> list[StepOutcome]:
    """Steps through the real controller and the real builder; only the rollouts are drawn from a distribution."""
    controller, builder = BalanceController(config), JudgeBuilder(config, tokenizer=tokenizer)
    outcomes = []
    for step in range(1, steps + 1):
        outcome = StepOutcome()
        for index, plan in enumerate(controller.plan(n_groups, step)):
            group = group_of_accuracy(accuracy, step, index)
            outcome.add_group(group.outcome, plan)
            for prompt in builder.build(group, plan).prompts:
                outcome.add_prompt(prompt.objective, prompt.about, prompt.ground_truth in ("Yes", "A"))
        controller.update(outcome)
        outcomes.append(outcome)
    return outcomes


def window_shares(outcomes: list[StepOutcome], objective: str) -> list[float]:
    shares = []
    for start in range(len(outcomes) - WINDOW + 1):
        counts = [getattr(outcome, objective) for outcome in outcomes[start : start + WINDOW]]
        positive, negative = (sum(column) for column in zip(*counts, strict=True))
        shares.append(positive / (positive + negative))
    return shares


def per_step(outcomes: list[StepOutcome], kind: str) -> float:
    return sum(outcome.built[kind] for outcome in outcomes) / len(outcomes)


@pytest.mark.parametrize("accuracy", [0.9, 0.5, 0.1])
def test_labels_are_balanced_over_any_twenty_steps(tokenizer, accuracy):
    outcomes = simulate(tokenizer, SparkConfig(), accuracy, n_groups=64)
    yes, first = window_shares(outcomes, "pointwise"), window_shares(outcomes, "pairwise")
    assert 0.45 <= min(yes) <= max(yes) <= 0.55
    assert 0.48 <= min(first) <= max(first) <= 0.52
    # Balance is not bought by building nothing.
    assert per_step(outcomes, "judge") > 30


@pytest.mark.parametrize(("accuracy", "skewed_to"), [(0.9, 1.0), (0.1, 0.0)])
def test_without_steering_the_same_policy_skews_the_labels(tokenizer, accuracy, skewed_to):
    config = SparkConfig(balance=BalanceConfig(labels=False))
    yes = window_shares(simulate(tokenizer, config, accuracy, n_groups=64, steps=30), "pointwise")
    assert min(abs(share - skewed_to) for share in yes) < 0.25


@pytest.mark.parametrize(
    ("accuracy", "budgets", "expected"),
    [
        (0.9, True, {"judge": 32, "reflection_wrong": 30}),
        (0.5, True, {"judge": 32, "reflection_wrong": 32}),
        (0.9, False, {"judge": 15, "reflection_wrong": 15}),
    ],
)
def test_budgets_are_met_although_some_groups_cannot_give(tokenizer, accuracy, budgets, expected):
    config = SparkConfig(balance=BalanceConfig(budgets=budgets))
    outcomes = simulate(tokenizer, config, accuracy, n_groups=64, steps=40)
    for kind, count in expected.items():
        assert per_step(outcomes, kind) == pytest.approx(count, rel=0.2), kind


@pytest.mark.parametrize(
    "switched_off",
    [
        {"judge_prompts_per_group": 0.0},
        {"reflection_prompts_per_group": 0.0},
        {"judge_prompts_per_group": 0.0, "reflection_prompts_per_group": 0.0},
        {"pairwise": PairwiseConfig(share_in_mixed=0.0)},
        {"pairwise": PairwiseConfig(share_in_mixed=1.0), "pointwise": PointwiseConfig(share_in_unanimous=0.0)},
        {"reflection": ReflectionConfig(right_share=0.0)},
        {"reflection": ReflectionConfig(right_share=1.0)},
    ],
    ids=str,
)
def test_what_is_switched_off_is_never_asked_for(tokenizer, switched_off):
    config = SparkConfig(**switched_off)
    outcomes = simulate(tokenizer, config, 0.5, n_groups=8, steps=3)
    asked = sum((outcome.asked for outcome in outcomes), Counter())
    assert (asked["judge"] > 0) == (config.judge_prompts_per_group > 0)
    assert (asked["reflection_wrong"] > 0) == (
        config.reflection_prompts_per_group > 0 and config.reflection.right_share < 1
    )
    assert (asked["reflection_right"] > 0) == (
        config.reflection_prompts_per_group > 0 and config.reflection.right_share > 0
    )
    assert any(sum(outcome.pairwise) for outcome in outcomes) == (
        config.judge_prompts_per_group > 0 and config.pairwise.share_in_mixed > 0
    )


def test_small_batches_are_balanced_as_well_as_their_numbers_allow(tokenizer):
    outcomes = simulate(tokenizer, QUICKSTART, 0.8, n_groups=8)
    for objective in ("pointwise", "pairwise"):
        shares = window_shares(outcomes, objective)
        assert 0.45 <= min(shares) <= max(shares) <= 0.55, objective
    right = per_step(outcomes, "reflection_right") / (
        per_step(outcomes, "reflection_right") + per_step(outcomes, "reflection_wrong")
    )
    assert right == pytest.approx(0.2, abs=0.04)


def test_a_policy_that_is_always_right_gives_no_lopsided_judge_data(tokenizer):
    outcomes = simulate(tokenizer, SparkConfig(), 0.9999, n_groups=64, steps=30)
    assert sum(sum(outcome.pointwise) for outcome in outcomes[2:]) < 30, "32 a step, all labelled Yes, without steering"


def test_after_a_long_skew_the_labels_do_not_swing_to_the_other_side(tokenizer):
    config = SparkConfig()
    controller, builder = BalanceController(config), JudgeBuilder(config, tokenizer=tokenizer)
    outcomes = []
    for step in range(1, 81):
        outcome = StepOutcome()
        for index, plan in enumerate(controller.plan(64, step)):
            group = group_of_accuracy(0.001 if step <= 40 else 0.6, step, index)
            outcome.add_group(group.outcome, plan)
            for prompt in builder.build(group, plan).prompts:
                outcome.add_prompt(prompt.objective, prompt.about, prompt.ground_truth in ("Yes", "A"))
        controller.update(outcome)
        outcomes.append(outcome)
    shares = window_shares(outcomes[40:], "pointwise")
    assert 0.35 <= min(shares) <= max(shares) <= 0.65
    assert 0.45 <= min(shares[5:]) <= max(shares[5:]) <= 0.55


def test_a_restored_controller_plans_the_same_steps(tokenizer):
    controller = BalanceController(QUICKSTART)
    outcome = StepOutcome()
    for plan, kind in zip(controller.plan(8, 1), ["mixed"] * 5 + ["right"] * 3, strict=True):
        outcome.add_group(kind, plan)
    for positive in (True, True, True, False):
        outcome.add_prompt(Objective.POINTWISE, "right", positive)
    outcome.add_prompt(Objective.REFLECTION, "wrong", False)
    controller.update(outcome)
    restored = BalanceController(QUICKSTART)
    assert restored.plan(8, 2) != controller.plan(8, 2), "the state matters"
    controller.update(StepOutcome())
    restored.load_state_dict(json.loads(json.dumps(controller.state_dict())))
    assert [restored.plan(8, step) for step in (3, 4)] == [controller.plan(8, step) for step in (3, 4)]


def test_plans_follow_from_seed_and_step():
    first = [BalanceController(SparkConfig(seed=seed)).plan(64, step) for seed in (0, 1) for step in (1, 2)]
    again = [BalanceController(SparkConfig(seed=seed)).plan(64, step) for seed in (0, 1) for step in (1, 2)]
    assert first == again
    assert all(first[i] != first[j] for i in range(4) for j in range(i))
    assert [plan.slot for plan in first[0]] == list(range(64))


@pytest.mark.parametrize(
    ("config", "judge", "reflection"),
    [
        (SparkConfig(), 32, 32),
        (SparkConfig(judge_prompts_per_group=0.0), 0, 32),
        (SparkConfig(reflection_prompts_per_group=0.0), 32, 0),
        (SparkConfig(judge_prompts_per_group=1.25, reflection_prompts_per_group=0.1), 80, 6),
        (SparkConfig(reflection=ReflectionConfig(right_share=1.0)), 32, 32),
        (SparkConfig(pointwise=PointwiseConfig(share_in_unanimous=0.0)), 32, 32),
    ],
)
def test_a_first_step_asks_for_the_configured_numbers(config, judge, reflection):
    plans = BalanceController(config).plan(64, step=1)
    assert sum(len(plan.judge) for plan in plans) == judge
    assert sum(len(plan.reflection) for plan in plans) == pytest.approx(reflection, abs=1)
    asks = [ask for plan in plans for ask in plan.judge]
    assert sum(ask.pairwise for ask in asks) == pytest.approx(0.7 * judge, abs=1)
    assert sum(ask.right_first for ask in asks) == pytest.approx(0.35 * judge, abs=1)


def test_groups_that_are_submitted_later_in_a_step_have_slots_of_their_own():
    """Where data have no row index, the slot alone tells them apart."""
    whole, parts = BalanceController(SparkConfig()), BalanceController(SparkConfig())
    assert [plan.slot for plan in whole.plan(6, step=1)] == list(range(6))
    slots = [plan.slot for first, count in ((0, 4), (4, 1), (5, 1)) for plan in parts.plan(count, 1, of=4, first=first)]
    assert slots == list(range(6))
