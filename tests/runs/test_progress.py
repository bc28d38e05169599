"""What the progress bar says of the time that is left, on made-up runs whose end is known."""

from __future__ import annotations

import pytest

from spark_verl.runs.progress import STARTUP_CPU_S, STEP_CPU_S, VALIDATION_CPU_S, remaining_seconds


def timeline(speed: float, step_s: float, startup_s: float, validation_s: float, steps: int):
    """Yield every five seconds: seconds and CPU seconds so far, metrics, seconds since the last ones, seconds left."""
    end = startup_s + 2 * validation_s + steps * step_s
    first = startup_s + validation_s
    now = 10.0
    while now < end:
        metrics = {}
        if now >= first:
            metrics[0] = {"val-core/x/acc/mean@1": 0.5}
        for step in range(1, int((now - first) / step_s) + 1 if now >= first else 0):
            if step < steps:
                metrics[step] = {"timing_s/step": step_s}
        last = first + max(metrics, default=0) * step_s
        yield now, now * speed, metrics, now - last if metrics else 0.0, end - now
        now += 5.0


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("work", [0.75, 1.0, 1.3], ids=["less work", "as measured", "more work"])
def test_remaining_time_is_right_within_a_factor_of_two(speed, work):
    steps = 40
    seconds = [work * cpu / speed for cpu in (STEP_CPU_S, STARTUP_CPU_S, VALIDATION_CPU_S)]
    for now, cpu, metrics, since, left in timeline(speed, *seconds, steps):
        said = remaining_seconds(steps, now, cpu, metrics, since)
        if left > 60:  # in the last minute nobody asks
            assert left / 2 <= said <= left * 2, (now, metrics.keys())


def test_steps_are_extrapolated_from_themselves_not_from_the_start_up():
    """Ten steps of 3 s after a start-up of 100 s: the other thirty take 90 s and a validation."""
    metrics = {0: {}} | {step: {"timing_s/step": 3.0} for step in range(1, 11)}
    said = remaining_seconds(40, 130.0, 130.0, metrics)
    assert said == pytest.approx(90 + VALIDATION_CPU_S)


def test_nothing_is_known_before_anything_was_used():
    assert remaining_seconds(40, 0.0, 0.0, {}) is None


def test_at_the_end_nothing_is_left():
    metrics = {step: {"timing_s/step": 3.0} for step in range(1, 41)}
    assert remaining_seconds(40, 300.0, 400.0, metrics) == 0.0
