"""A real run in which half of the questions have no ground truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from metric_docs import undocumented

from spark_verl.config.schema import SelfRewardConfig
from spark_verl.report.frame import Run as ReportRun
from spark_verl.report.page import build
from spark_verl.self_reward import ScoredGroup, SelfReward
from spark_verl.vocabulary import Objective, Supervision

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

STEPS = 4
SETTINGS = [
    "data.train_batch_size=6",
    "actor_rollout_ref.actor.ppo_mini_batch_size=6",
    f"trainer.total_training_steps={STEPS}",
    "trainer.save_freq=2",
    "spark.judge_prompts_per_group=1.0",
    # As in the recipes: what makes judge rows is asked a step later, what the reward is made of is not.
    "spark.judge_step=next",
    "spark.self_reward.enable=true",
    # One batch is enough for the gate to be decided; a hardly taught model need not be calibrated, and what it says
    # need not be readable: it is the way of the rows that is looked at.
    "spark.self_reward.min_audit_groups=3",
    "spark.self_reward.min_audit_questions=2",
    "spark.self_reward.gate=false",
    "spark.self_reward.min_std=0.01",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory, runner, small, data_folder):
    """Four steps, with a checkpoint after the second."""
    folder = tmp_path_factory.mktemp("self_reward")
    unlabelled = f"spark.self_reward.files=[{data_folder}/unlabelled.parquet]"
    return runner.finish(runner.start(folder, "spark_verl.main", [*small, *SETTINGS, unlabelled]), folder)


def groups(run, step: int) -> list[ScoredGroup]:
    """The judged groups of a step."""
    lines = (run.folder / "rollouts" / "self_reward" / f"{step}.jsonl").read_text(encoding="utf-8").splitlines()
    return [ScoredGroup.from_dict(json.loads(line)) for line in lines]


def test_every_step_has_its_kinds(run):
    assert sorted(run.metrics) == [1, 2, 3, 4]
    kinds = [[group.supervision for group in groups(run, step)] for step in run.metrics]
    # Three unlabelled places are given to audit questions until three were seen; a fifth of the rest is audit.
    assert kinds[0].count(Supervision.AUDIT) >= 3 and Supervision.UNLABELLED not in kinds[0]
    assert all(step.count(Supervision.UNLABELLED) == 3 for step in kinds[1:])
    for step, metrics in run.metrics.items():
        assert undocumented(metrics) == [], "docs/metrics.md has an entry for each"
        assert metrics["spark/self_reward/groups"] == kinds[step - 1].count(Supervision.UNLABELLED)
        assert metrics["spark/leaked_keys"] == 0


def test_answers_were_judged(run):
    judged = [each for step in run.metrics for group in groups(run, step) for each in group.classes]
    assert judged
    assert all(each.asked == 4 and 0 <= each.yes <= each.read <= 4 for each in judged)
    # Audit: the verifier's finding. Unlabelled: the hidden truth, for metrics only.
    assert all(each.right is not None for each in judged)
    verdicts = sum(metrics["spark/self_reward/verdicts"] for metrics in run.metrics.values())
    assert verdicts == sum(each.asked for each in judged)


def test_what_is_trained_on(run):
    """No audit row and no scoring row; unlabelled rows with the advantages that were given out."""
    for step in run.metrics:
        rows = run.rollouts(step)
        policy = [row for row in rows if row["objective"] == Objective.POLICY]
        assert {row["supervision"] for row in policy} <= {"labelled", "unlabelled"}
        assert all(row["supervision"] == "labelled" for row in rows if row["objective"] != Objective.POLICY)
        unlabelled = [row for row in policy if row["supervision"] == Supervision.UNLABELLED]
        assert all(row["gts"] is None and row["status"] == "unlabelled" for row in unlabelled)
        path = run.folder / "rollouts" / "self_reward" / f"{step}.jsonl"
        taught = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            group = json.loads(line)
            taught |= {f"{group['uid']}_{session}": value for session, value in group["advantages"].items()}
        metrics = run.metrics[step]
        factor = metrics["spark/self_reward/mass_factor"] * metrics["spark/self_reward/dilution"]
        found = {row["uid"].rsplit("_", 1)[0]: row["advantage"] for row in unlabelled}
        for key, value in taught.items():
            if key in found:
                assert found[key] == pytest.approx(factor * value, abs=1e-4)
        assert len({key.split("_")[0] for key in taught}) == metrics["spark/self_reward/taught_groups"]


def test_judge_prompts_are_about_labelled_groups_of_the_step_before(run):
    labelled: set[str] = set()
    shown: set[str] = set()
    for step in run.metrics:
        rows = run.rollouts(step)
        parents = {row["parent"] for row in rows if row["role"] == "judge"}
        assert parents <= labelled
        shown |= parents
        labelled = {row["uid"].split("_")[0] for row in rows if row["supervision"] == Supervision.LABELLED}
    assert shown


def test_its_state_is_in_the_checkpoint(run):
    """Taking it back is looked at in ``tests/trainer/test_self_rewarding.py``."""
    state = json.loads((run.folder / "checkpoints" / "global_step_2" / "spark.json").read_text())["self_reward"]
    audit = [group for step in (1, 2) for group in groups(run, step) if group.supervision is Supervision.AUDIT]
    assert [ScoredGroup.from_dict(group) for group in state["window"]] == audit
    again = SelfReward(SelfRewardConfig(enable=True))
    again.load_state_dict(state)
    assert again.measured.groups == run.metrics[2]["spark/self_reward/audit/groups"]


def test_the_report_shows_it(run, tmp_path: Path):
    page = build([ReportRun(run.folder, name="run")])
    assert 'id="self-reward"' in page.html and "From answers to rewards" in page.html
    assert {"self-reward-promise.png", "self-reward-gate.png"} <= set(page.pngs)
