"""What the report says about balance and self-confirmation, from logs in which the truth is known."""

from __future__ import annotations

import json

import pytest

from spark_verl.report.cost import rows_and_tokens, stages
from spark_verl.report.frame import Run
from spark_verl.report.judging import POINTWISE, held_out_excess, self_confirmation, skew, yes_drift
from spark_verl.report.rewards import group_rewards
from spark_verl.trainer.alarm import SelfConfirmationAlarm


@pytest.fixture
def run_of(tmp_path, logs):
    """A run whose steps log what a function of the step adds."""

    def make(steps, more, validated=()):
        records = [(step, logs.step_metrics(step) | more(step)) for step in range(1, steps + 1)]
        records = [(0, logs.validation(validated[0])), *records] if validated else records
        if validated:
            records[-1][1].update(logs.validation(validated[1]))
        logs.write_records(tmp_path / "metrics.jsonl", records)
        return Run(tmp_path)

    return make


def judge(**values):
    return {f"spark/judge/pointwise/{name}": value for name, value in values.items()}


def test_a_step_with_few_prompts_weighs_little(run_of):
    run = run_of(2, lambda step: judge(label_yes_rate=float(step == 1), groups=30 if step == 1 else 10))
    assert skew(run, POINTWISE).labels == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("steps", "share", "inside"),
    [(19, 0.5, None), (20, 0.5, 1.0), (40, 0.6, 0.0), (40, None, 1.0)],
    ids=["shorter than a window", "one window", "always outside", "alternating 0 and 1"],
)
def test_windows_in_the_target(run_of, steps, share, inside):
    run = run_of(steps, lambda step: judge(label_yes_rate=float(step % 2) if share is None else share))
    assert skew(run, POINTWISE).inside == inside


@pytest.mark.parametrize(
    ("said", "validated", "rising", "suspicious"),
    [
        (lambda step: 0.5, (0.5, 0.5), False, False),
        (lambda step: 0.4 + 0.02 * step, (0.5, 0.5), True, True),
        (lambda step: 0.4 + 0.02 * step, (0.5, 0.4), True, True),
        (lambda step: 0.4 + 0.02 * step, (0.5, 0.9), True, False),
        (lambda step: 0.2 + 0.01 * step, (0.5, 0.5), True, True),
        (lambda step: 0.5 + 0.4 * (step % 2) + 0.004 * step, (0.5, 0.5), False, False),
        (lambda step: 0.9 - 0.02 * step, (0.5, 0.5), False, False),
    ],
    ids=["constant", "rises, policy does not", "rises, policy falls", "both rise", "rises to just", "noise", "falls"],
)
def test_self_confirmation_needs_both(run_of, said, validated, rising, suspicious):
    run = run_of(20, lambda step: judge(yes_rate=said(step), label_yes_rate=0.5), validated)
    drift = yes_drift(run)
    assert (drift.rising, drift.suspicious) == (rising, suspicious)
    ((_, text),) = self_confirmation([run]).findings
    assert ("pattern of self-confirmation" in text) == suspicious
    assert "on held-out questions changed" in text


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.02, -0.02])
@pytest.mark.parametrize("accuracy", [-0.01, 0.0, 0.01])
def test_page_and_alarm_agree_on_the_same_two_windows(run_of, slope, accuracy):
    """Six steps, of which the page compares the first and the last two: as an alarm that saw these four alone."""

    def values(step):
        return judge(yes_rate=0.5 + slope * step, label_yes_rate=0.5) | {"spark/policy/acc": 0.5 + accuracy * step}

    drift, alarm = yes_drift(run_of(6, values)), SelfConfirmationAlarm(2)
    found = [alarm.update(step, values(step)) for step in (1, 2, 5, 6)][-1]
    assert found["self_confirmation"] == drift.suspicious
    assert found["yes_drift"] == pytest.approx(drift.rise) and found["accuracy_drift"] == pytest.approx(drift.progress)


def test_without_validation_accuracy_in_training_counts(run_of):
    run = run_of(9, lambda step: judge(yes_rate=0.5) | {"spark/policy/acc": step / 10})
    assert yes_drift(run).progress == pytest.approx(0.6)
    assert "in training changed by +60.0" in self_confirmation([run]).findings[0][1]


@pytest.mark.parametrize(("steps", "told"), [(5, False), (6, True)])
def test_as_the_alarm_it_needs_two_steps_a_window(run_of, steps, told):
    assert (yes_drift(run_of(steps, lambda step: {})) is not None) == told


def test_the_trainers_own_alarm_is_told(run_of):
    run = run_of(9, lambda step: {"spark/alarm/self_confirmation": float(step in (7, 8))})
    assert "alarm rang at step 7, 8." in self_confirmation([run]).findings[0][1]


def test_held_out_verdicts_are_counted_in_the_dumps(make_run):
    folder = make_run()
    run = Run(folder)
    # Labels and verdicts of the small run are all Yes.
    assert held_out_excess(run).tolist() == [0.0, 0.0]
    rows = [
        {"objective": "pointwise", "score": 1, "gts": gts, "answer": said} for gts, said in (("No", "Yes"), ("B", "B"))
    ]
    rows += [{"objective": "pointwise", "score": 0, "gts": "Yes", "answer": ""}]
    (folder / "validation" / "0.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert held_out_excess(Run(folder))[0] == 0.5, "a verdict that could not be parsed is none"


def test_no_stage_is_counted_twice_or_lost(run_of):
    run = run_of(3, lambda step: {"timing_s/gen/part": 1.5, "timing_s/testing": 50.0, "timing_s/step": 4.0})
    shown = stages(run)
    assert "gen/part" not in shown and "testing" not in shown
    assert shown.sum(axis=1).tolist() == pytest.approx([4.0] * 3)


def test_many_stages_end_up_in_other(run_of):
    run = run_of(1, lambda step: {f"timing_s/s{i}": 0.05 for i in range(9)})
    shown = stages(run)
    assert len(shown.columns) == 7 and shown.columns[-1] == "other"
    assert shown.sum(axis=1).tolist() == pytest.approx([4.0])


def test_prompt_tokens_are_what_was_not_generated(run_of):
    table = rows_and_tokens([run_of(2, lambda step: {})]).table
    generated = 4 * 16 * (21 + 22)
    assert table.rows[-1][1:] == ("prompts of all rows", "–", "–", f"{4000 - generated:,}", "–")


def test_rewards_outside_zero_and_one_have_their_place(make_run):
    folder = make_run(steps=2)
    rows = [{"objective": "policy", "score": score, "uid": f"g{i}_0"} for i, score in enumerate((-1.0, 0.0, 3.5))]
    for step in (1, 2):
        (folder / "rollouts" / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    table = group_rewards([Run(folder)]).table
    assert table.rows[0][1:] == ("Policy", "0.83", "67\u00a0%", "0.83", "67\u00a0%")
