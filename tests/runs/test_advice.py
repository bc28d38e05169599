"""Advice on stored metrics: two quickstarts as they were, and the first of them with one thing gone wrong.

``stored_metrics.json`` has a value per step and metric, from step 0, of the quickstart with two seeds: one that still
had something to learn at its end, and one whose questions were used up.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from spark_verl.config.describe import options
from spark_verl.config.schema import SparkConfig
from spark_verl.runs.advice import RULES, advise, of_file, table
from spark_verl.runs.metrics import Metrics, read

STORED = json.loads(Path(__file__).with_name("stored_metrics.json").read_text(encoding="utf-8"))
STEPS = 40


def stored(name: str) -> dict[str, list[float | None]]:
    """A run's metrics, as columns that a test may change."""
    return {key: list(values) for key, values in STORED[name].items()}


def log_of(columns: Mapping[str, list[float | None]]) -> Metrics:
    steps = {
        step: {key: values[step] for key, values in columns.items() if values[step] is not None}
        for step in range(STEPS + 1)
    }
    return Metrics(steps=steps)


def always(value: float) -> Callable[[int], float]:
    return lambda step: value


def late(value: float, before: float) -> Callable[[int], float]:
    return lambda step: value if step > 20 else before


POINTWISE, PAIRWISE = "spark/judge/pointwise", "spark/judge/pairwise"
POLICY_VALIDATION = "val-core/spark_digits/acc/mean@1"

# What is changed in the run that learned, and the advice that this calls for, by a part of its text.
CASES = {
    "the judge guesses": ({f"{POINTWISE}/acc": always(0.51)}, ["judge: guesses: 51% of its pointwise"]),
    "the judge of pairs guesses": ({f"{PAIRWISE}/acc": always(0.49)}, ["judge: guesses: 49% of its pairwise"]),
    "the judge learns late": ({f"{POINTWISE}/acc": late(0.55, 0.48)}, []),
    "the judge guesses, for its verdicts cannot be read": (
        {f"{POINTWISE}/acc": always(0.4), f"{POINTWISE}/parse_rate": always(0.8)},
        ["judge: 20% of the verdicts could not be read"],
    ),
    "labels are mostly Yes": ({f"{POINTWISE}/label_yes_rate": always(0.7)}, ["labels: 70% of the pointwise"]),
    "labels are mostly No": ({f"{POINTWISE}/label_yes_rate": always(0.35)}, ["labels: 35% of the pointwise"]),
    "the first is mostly right": ({f"{PAIRWISE}/label_a_rate": always(0.62)}, ["labels: 62% of the pairwise"]),
    "labels were skewed at the beginning": ({f"{POINTWISE}/label_yes_rate": late(0.5, 0.8)}, []),
    "the judge says Yes": ({f"{POINTWISE}/yes_rate": always(0.8)}, ["verdicts: prefers a word", "+31% off"]),
    "the judge says No": ({f"{POINTWISE}/yes_rate": always(0.2)}, ["verdicts: prefers a word", "-29% off"]),
    "the alarm rang": ({"spark/alarm/self_confirmation": late(1, 0)}, ["verdicts: (20 steps)"]),
    "too hard": (
        {"spark/policy/zero_variance_rate": always(0.9), "spark/policy/acc": always(0.05)},
        ["questions: too hard: in 90%"],
    ),
    "half too easy, half too hard": (
        {"spark/policy/zero_variance_rate": always(0.9), "spark/policy/acc": always(0.5)},
        ["questions: Most questions teach nothing: in 90%"],
    ),
    "responses are cut": ({"spark/policy/cut_rate": always(0.3)}, ["responses: 30% of the responses were cut"]),
    "a few responses are cut": ({"spark/policy/cut_rate": always(0.05)}, []),
    "no answers": ({"spark/policy/parse_rate": always(0.75)}, ["responses: In 25%"]),
    "verifications time out": (
        {"spark/verify/timeout_rate": always(0.02)},
        ["verifier: 2.0% of the verif"],
    ),
    "verifications fail": ({"spark/verify/error_rate": always(0.5)}, ["verifier: 50.0% of the verifications failed"]),
    "groups fail": ({"spark/failed_groups": always(1)}, ["lost: 11.1% of the groups failed"]),
    "one group fails": ({"spark/failed_groups": lambda step: float(step == 7)}, []),
    "judge prompts are too long": ({"spark/judge/skipped/too_long": always(8)}, ["lost: of the judge prompts did not"]),
    "keys leak": ({"spark/leaked_keys": lambda step: float(step == 9)}, ["lost: 1 rows were left behind"]),
    "it got worse": ({POLICY_VALIDATION: lambda step: {0: 0.5, 40: 0.44}.get(step)}, ["update: fell by -6.0%"]),
    "sampler and actor disagree": (
        {"training/rollout_actor_probs_pearson_corr": lambda step: 0.9 if step == 3 else 0.999},
        ["update: went down to 0.900"],
    ),
    "the gate stays closed": ({"spark/self_reward/weight": always(0.0)}, ["self-reward: The gate stayed closed"]),
    "the gate opened": ({"spark/self_reward/weight": late(0.4, 0.0)}, []),
    "labels are used up": (
        {
            "spark/self_reward/weight": always(0.4),
            "spark/policy/zero_variance_rate": always(0.9),
            "spark/policy/acc": always(0.9),
        },
        ["questions: The questions are used up: in 90%", "self-reward: The labels are used up"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_went_wrong_is_said_and_nothing_else(case: str) -> None:
    changes, expected = CASES[case]
    columns = stored("learned")
    for key, value in changes.items():
        columns[key] = [value(step) for step in range(STEPS + 1)]
    found = advise(log_of(columns))
    topics = [part.partition(": ")[0] for part in expected if ": " in part]
    assert [one.topic for one in found] == topics
    for part in expected:
        said = part.partition(": ")[2] or part
        assert any(said in one.text for one in found), found


def test_a_run_that_learned_gets_no_advice() -> None:
    assert advise(log_of(stored("learned"))) == []


def test_a_run_whose_questions_are_used_up_is_told_so() -> None:
    [one] = advise(log_of(stored("used_up")))
    assert one.topic == "questions" and "93% of the groups" in one.text and "Harder questions" in one.remedy


def test_what_is_not_a_number_is_seen() -> None:
    log = log_of(stored("learned"))
    log.not_finite["actor/grad_norm"] = 2
    assert ["update", "2 values"] == [(one := advise(log)[0]).topic, one.text[-9:-1]]


def test_every_rule_is_met_by_some_case() -> None:
    texts = set()
    for changes, _ in CASES.values():
        columns = stored("learned")
        columns |= {key: [value(step) for step in range(STEPS + 1)] for key, value in changes.items()}
        texts |= {one.because for one in advise(log_of(columns))}
    rest = [rule.when for rule in RULES if rule.when not in texts]
    assert [when.partition(",")[0] for when in rest] == ["a metric of actor/ is not a number"], "it has its own test"


@pytest.mark.parametrize("steps", [0, 1, 3, 11])
def test_of_few_steps_nothing_is_said_that_takes_many(steps: int) -> None:
    columns = stored("learned") | {f"{POINTWISE}/acc": [0.5] * 41, "spark/self_reward/weight": [0.0] * 41}
    log = log_of(columns)
    log.steps = {step: values for step, values in log.steps.items() if step <= steps}
    assert advise(log) == []


def test_metrics_without_numbers_give_no_advice() -> None:
    assert advise(Metrics()) == []
    assert advise(Metrics(steps={1: {"timing_s/step": 1.0}})) == []
    assert all(not rule.holds(math.nan) for rule in RULES), "nothing follows from what is not known"


def test_remedies_name_options_that_there_are() -> None:
    known = {".".join(("spark", *one.path)) for one in options(SparkConfig())}
    for rule in RULES:
        named = [word.strip("(),.:;") for word in rule.remedy.split() if word.strip("(").startswith("spark.")]
        assert {name.partition("=")[0] for name in named} <= known, rule.remedy


def test_the_table_is_narrow_and_says_what_to_do() -> None:
    columns = stored("learned") | {f"{POINTWISE}/acc": [0.5] * 41}
    lines = table(advise(log_of(columns))).splitlines()
    assert lines[0].startswith("needs attention") and any(line.strip().startswith("->") for line in lines)
    assert max(map(len, lines)) <= 100
    assert table([]) == ""


def test_the_summary_of_a_run_ends_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    steps = log_of(stored("used_up")).steps
    path.write_text("".join(json.dumps({"step": step, "data": data}) + "\n" for step, data in steps.items()))
    assert of_file(path) == table(advise(read(path)))
    assert of_file(tmp_path / "nothing.jsonl") == ""
    done = subprocess.run(
        [sys.executable, "-m", "spark_verl.runs.summary", str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith(f"\n{of_file(path)}\n")
