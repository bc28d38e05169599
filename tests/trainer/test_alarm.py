"""The alarm for self-confirmation: what rings it and what does not, on curves written by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from spark_verl.trainer.alarm import SelfConfirmationAlarm, compare, policy_progress

WINDOW = 10
Curve = Callable[[float], float]


def flat(level: float) -> Curve:
    return lambda t: level


def rising(start: float, end: float) -> Curve:
    return lambda t: start + (end - start) * t


def run(yes: Curve, labels: Curve, accuracy: Curve, held_out: Curve | None = None, steps: int = 40) -> list[dict]:
    """Metrics of every step; rates are noisy as those of 64 rows are."""
    noise, alarm, found = random.Random(7), SelfConfirmationAlarm(WINDOW), []
    for step in range(1, steps + 1):
        t = step / steps
        if held_out is not None and step % 5 == 0:
            alarm.validated(step, {"val-core/math/acc/mean@1": held_out(t), "val-core/spark/pointwise/acc/mean@1": 1.0})
        found.append(
            alarm.update(
                step,
                {
                    "spark/judge/pointwise/yes_rate": yes(t) + noise.gauss(0, 0.06),
                    "spark/judge/pointwise/label_yes_rate": labels(t),
                    "spark/policy/acc": accuracy(t) + noise.gauss(0, 0.06),
                },
            )
        )
    return found


@pytest.mark.parametrize(
    ("yes", "labels", "accuracy", "held_out", "rings", "reason"),
    [
        (rising(0.5, 0.9), flat(0.5), flat(0.4), flat(0.4), True, "more and more Yes, no progress"),
        (rising(0.5, 0.9), flat(0.5), flat(0.4), rising(0.6, 0.4), True, "more and more Yes, worse answers"),
        (rising(0.5, 0.9), flat(0.5), rising(0.8, 0.3), None, True, "without validation the policy's rows tell"),
        (rising(0.5, 0.9), flat(0.5), flat(0.4), rising(0.3, 0.6), False, "the policy gets better"),
        (rising(0.5, 0.9), rising(0.5, 0.9), flat(0.4), flat(0.4), False, "the labels say Yes more often, too"),
        (flat(0.9), flat(0.5), flat(0.4), flat(0.4), False, "says Yes too often, but no more than before"),
        (rising(0.9, 0.5), flat(0.5), flat(0.4), flat(0.4), False, "says Yes less and less"),
        (flat(0.5), flat(0.5), flat(0.4), flat(0.4), False, "nothing but noise"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_rings_it(yes, labels, accuracy, held_out, rings, reason):
    found = run(yes, labels, accuracy, held_out)
    assert any(step.get("self_confirmation") for step in found) == rings, reason


def test_silent_until_there_are_two_windows():
    found = run(rising(0.0, 1.0), flat(0.5), flat(0.4))
    assert [bool(step) for step in found] == [False] * (2 * WINDOW - 1) + [True] * (40 - 2 * WINDOW + 1)


def test_the_judges_own_validation_is_no_progress():
    alarm = SelfConfirmationAlarm(2)
    alarm.validated(1, {"val-core/spark/pointwise/acc/mean@1": 0.1})
    assert alarm.state_dict()["held_out"] == []


def test_steps_without_pointwise_rows_are_skipped():
    alarm = SelfConfirmationAlarm(2)
    assert all(alarm.update(step, {"spark/policy/acc": 0.5}) == {} for step in range(10))


def test_a_restored_alarm_goes_on_as_the_old_one():
    first, whole = SelfConfirmationAlarm(3), SelfConfirmationAlarm(3)
    steps = [
        {
            "spark/judge/pointwise/yes_rate": 0.1 * step,
            "spark/judge/pointwise/label_yes_rate": 0.5,
            "spark/policy/acc": 0.3,
        }
        for step in range(8)
    ]
    for step, metrics in enumerate(steps[:4]):
        first.validated(step, {"val-core/math/acc/mean@1": 0.3})
        whole.validated(step, {"val-core/math/acc/mean@1": 0.3})
        first.update(step, metrics)
        whole.update(step, metrics)
    second = SelfConfirmationAlarm(3)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    after = [(second.update(step, m), whole.update(step, m)) for step, m in enumerate(steps) if step >= 4]
    assert all(mine == theirs for mine, theirs in after)
    assert after[-1][0]["self_confirmation"] == 1.0


@pytest.mark.parametrize(
    ("earlier", "later", "progress", "rising", "suspicious", "reason"),
    [
        ([0.0, 0.0], [0.1, 0.1], 0.0, True, True, "rises, no progress"),
        ([0.0, 0.0], [0.1, 0.1], -0.2, True, True, "rises, the policy gets worse"),
        ([0.0, 0.0], [0.1, 0.1], 0.01, True, False, "rises, the policy gets better"),
        ([0.0, 0.0], [0.04, 0.04], 0.0, False, False, "too small a rise, however certain"),
        ([-0.1, 0.1], [0.0, 0.2], 0.0, False, False, "too uncertain a rise: three times the error is 0.3"),
        ([0.1, 0.1], [0.0, 0.0], 0.0, False, False, "falls"),
        ([-0.2, -0.2], [-0.1, -0.1], 0.0, True, True, "the direction counts, not the level"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_rule(earlier, later, progress, rising, suspicious, reason):
    drift = compare(earlier, later, progress)
    assert (drift.rising, drift.suspicious) == (rising, suspicious), reason


@pytest.mark.parametrize(
    ("held_out", "expected", "reason"),
    [
        (([0.2, 0.3], [0.9, 0.7]), 0.4, "the last validation of either window"),
        (([], [0.9]), 0.25, "nothing was validated before: the policy's rows tell"),
        (([0.9], []), 0.25, "nor after"),
    ],
)
def test_what_counts_as_progress(held_out, expected, reason):
    assert policy_progress(held_out, ([0.0, 0.5], [0.5, 0.5])) == pytest.approx(expected), reason
