"""The ablation's arms spend the same number of sequences, its tables say what was measured, and it resumes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import offline
import paired
import pytest
import results
from arms import ALL_PROMPTS, ARMS, JUDGE_PROMPTS, POLICY_PROMPTS
from hydra import compose, initialize_config_dir

from spark_verl.config import load_spark_config
from spark_verl.config.schema import SelfRewardConfig
from spark_verl.vocabulary import SelfRewardKind

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "measure" / "ablation"


@pytest.mark.parametrize("name", [name for name, arm in ARMS.items() if arm.overrides is not None])
def test_every_arm_samples_as_many_sequences_per_step(name: str) -> None:
    arm = ARMS[name]
    with initialize_config_dir(str(ROOT / "recipes"), version_base=None):
        config = compose("quickstart", list(arm.overrides))
    spark = load_spark_config(config)
    questions = config.data.train_batch_size
    per_question = spark.judge_prompts_per_group + spark.reflection_prompts_per_group if spark.enable else 0
    own = spark.self_reward
    labelled = questions * (1 - own.unlabelled_share) * (1 - own.audit_share if own.needs_audit else 1)
    labelled = labelled if own.enable else questions
    verdicts = (questions - labelled) * (own.verdicts * own.max_answers / 8 if _asks(own) else 0)
    prompts = questions + labelled * per_question + verdicts
    # Where verdicts are asked and no judge is trained, as near as whole questions come.
    near = prompts / questions / 2 if verdicts and not per_question else 0.01 * ALL_PROMPTS
    assert prompts == pytest.approx(ALL_PROMPTS, abs=near)
    samples = {config.actor_rollout_ref.rollout.n, spark.pointwise.n, spark.pairwise.n, spark.reflection.n} - {None}
    assert samples == {8}
    # One optimizer step each, whatever the rows are.
    assert config.actor_rollout_ref.actor.ppo_mini_batch_size == questions
    if not spark.enable:
        assert (questions == ALL_PROMPTS) and (arm.offline or "grpo" in name)


def _asks(own: SelfRewardConfig) -> bool:
    return own.gate or SelfRewardKind(own.reward).needs_verdicts


def test_one_arm_trains_on_as_many_tokens_instead() -> None:
    assert {name: arm.steps(40) for name, arm in ARMS.items() if arm.steps(40) != 40} == {"grpo_tokens": 70}


def test_offline_steps_hold_the_other_arms_questions() -> None:
    questions = [{"question": number} for number in range(40)]
    judge = [{"judge": number} for number in range(2 * JUDGE_PROMPTS + 3)]
    mixed = offline.mix(questions, judge, steps=2)
    assert len(mixed) == 2 * ALL_PROMPTS
    assert mixed[:POLICY_PROMPTS] == questions[:POLICY_PROMPTS]
    assert mixed[POLICY_PROMPTS:ALL_PROMPTS] == judge[:JUDGE_PROMPTS]
    assert mixed[ALL_PROMPTS : ALL_PROMPTS + POLICY_PROMPTS] == questions[POLICY_PROMPTS : 2 * POLICY_PROMPTS]
    with pytest.raises(ValueError, match="35 judge prompts were built, 48 are needed"):
        offline.mix(questions, judge, steps=3)


def result(arm: str, seed: int, accuracy: float, fixed: float, broken: float) -> dict:
    """What ``run.py`` leaves, as far as the tables read it."""
    strategies = {
        strategy: {"accuracy": {"value": accuracy + gain}, "tokens": tokens}
        for strategy, gain, tokens in (("single", 0.0, 50), ("reflect", 0.1, 120))
    }
    strategies["reflect"]["judge"] = {"fixed": fixed, "broken": broken}
    judge = {"accuracy": 0.9, "position": {"bias": -0.01}}
    return {
        "arm": arm,
        "seed": seed,
        "cost": {
            "steps": 30,
            "sequences": 5760,
            "tokens": 1e6,
            "seconds": 100.0,
            "curve": {"10": {"val-core/spark_digits/acc/mean@1": accuracy}},
        },
        "evaluation": {"benchmarks": {"test": strategies}, "judge": {"judge_test: spark/pairwise": judge}},
    }


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Two arms, two seeds; the metrics of one run say that half of its groups taught nothing."""
    for arm, seed, accuracy in (("grpo", 1, 0.6), ("grpo", 2, 0.7), ("spark", 1, 0.8), ("spark", 2, 0.84)):
        folder = tmp_path / "sparse" / f"seed_{seed}" / arm
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result(arm, seed, accuracy, 0.1, 0.02)))
        rows = {"spark/policy/count": 64, "spark/policy/zero_variance_rate": 0.5}
        lines = [{"step": step, "data": {**rows, "spark/policy/acc": accuracy * step / 2}} for step in (1, 2)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_tables(finished: Path, tmp_path: Path) -> None:
    output = tmp_path / "tables"
    command = [sys.executable, str(SCRIPTS / "collect.py"), str(finished), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    figures = json.loads((output / "digits_sparse.json").read_text())["figures"]
    single = figures["grpo"]["policy, single pass"]
    assert single["mean"] == pytest.approx(0.65) and single["seeds"] == {"1": 0.6, "2": 0.7}
    # t(0.975, 1) = 12.706 times the standard error 0.05
    assert single["half_width"] == pytest.approx(12.706 * 0.05, rel=1e-3)
    assert single["reference_minus_this"] == pytest.approx(0.17)
    assert figures["grpo"]["policy, mean over training"]["seeds"]["1"] == pytest.approx(0.45)
    assert figures["spark"]["reflect: wrong fixed"]["seeds"]["1"] == pytest.approx(0.1 / 0.2)
    assert figures["spark"]["reflect: right broken"]["seeds"]["1"] == pytest.approx(0.02 / 0.8)
    assert "pointwise" not in figures["spark"], "a figure that no evaluation holds is left out"
    page = (output / "digits_sparse.md").read_text()
    assert "| policy, single pass | 65.0 ± 63.5 | 82.0 ± 25.4 |" in page
    assert "| grpo | 30 | 5,760 | 50% | 1,000,000 | 100 |" in page
    # Steps 1 and 2 of 0.3 and 0.6 (GRPO, seed 1): their mean is below one half at both.
    assert "| seed | 1 | 2 |" in page and "| grpo | > 2 | 1 |" in page and "| spark | 1 | 1 |" in page
    assert all((output / f"digits_sparse{part}.png").stat().st_size > 5000 for part in ("", "_curves"))


def test_what_is_finished_is_not_run_again(finished: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "run.py"), "--arms", "spark", "grpo", "--seeds", "1", "2"]
    command += ["--output", str(finished), "--results", str(finished / "tables"), "--steps"]
    done = subprocess.run([*command, "30"], capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done before") == 4 and not list(finished.rglob("model"))
    assert (finished / "tables" / "digits_sparse.md").exists(), "tables come with every run"
    other = subprocess.run([*command, "40"], capture_output=True, text=True, timeout=1500)
    assert other.returncode == 1 and "trained for 30 steps, not 40" in other.stderr


def test_judge_rows_of_the_offline_arm_are_not_the_policys(tmp_path: Path) -> None:
    (tmp_path / "rollouts").mkdir()
    for step, right in ((2, 1.0), (10, 0.0)):
        rows = [{"data_source": "spark_digits", "acc": right}] * 2 + [{"data_source": "spark/pairwise", "acc": 0.5}] * 3
        (tmp_path / "rollouts" / f"{step}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(results.policy_curve(tmp_path).items()) == [(2, 1.0), (10, 0.0)]
    assert results.policy_curve(tmp_path / "nothing") == {}


def test_nothing_finished(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "collect.py"), str(tmp_path), "--output", str(tmp_path / "tables")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 1 and "no finished run" in done.stderr


def answered(folder: Path, shares: list[int]) -> None:
    """An arm that answered question i right ``shares[i]`` times of four, by majority, and always when asked once."""
    (folder / "evaluation_test").mkdir(parents=True)
    (folder / "result.json").write_text("{}")
    lines = [{"format": 1, "options": {"common": {}, "strategies": {}}}]
    for strategy in ("single", "majority"):
        for i, right in enumerate(shares):
            samples = [{"correct": strategy == "single" or j < right} for j in range(4)]
            lines.append({"benchmark": "test", "id": f"q{i}", "strategy": strategy, "samples": samples})
    (folder / "evaluation_test" / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_seeds_arms_are_compared_question_by_question(tmp_path: Path) -> None:
    answered(tmp_path / "labelled_spark", [0, 1, 2, 3] * 10)
    answered(tmp_path / "gated", [1, 2, 3, 4] * 10)
    answered(tmp_path / "majority", [0, 4, 0, 2] * 10)
    rows = paired.compare(tmp_path, "labelled_spark")[2:]
    assert rows[0] == "| `gated` | 62.5 | +25.0 [+25.0, +25.0] |", "the same on every question: no doubt about it"
    assert "| `labelled_spark` | 37.5 | – |" in rows
    mean, low, high = map(float, re.findall(r"[+-]\d+\.\d", next(row for row in rows if "`majority`" in row)))
    assert mean == 0.0 and low < 0 < high
    with pytest.raises(SystemExit, match="gated_more has not been finished"):
        paired.compare(tmp_path, "gated_more")
    answered(tmp_path / "shuffled", [])
    with pytest.raises(SystemExit, match="shuffled evaluated without majority: .* --strategies"):
        paired.compare(tmp_path, "labelled_spark")
