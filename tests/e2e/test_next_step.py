"""Judge prompts that are sampled a step late, in a real run that is taken away between building and sampling them."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from spark_verl.report.frame import Run as ReportRun
from spark_verl.report.gallery import collect
from spark_verl.rollout.requests import JudgeRequest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def saved(run: Any, step: int) -> list[JudgeRequest]:
    """The judge prompts that a checkpoint holds."""
    state = json.loads((run.folder / "checkpoints" / f"global_step_{step}" / "spark.json").read_text(encoding="utf-8"))
    return [JudgeRequest.from_dict(request) for request in state["deferred"]["requests"]]


def judge_groups(run: Any, step: int) -> dict[str, list[dict]]:
    """The judge rows of a step by their prompt."""
    groups = defaultdict(list)
    for row in run.rollouts(step):
        if row["role"] == "judge":
            groups[row["uid"].split("_")[0]].append(row)
    return groups


def test_the_first_step_has_questions_alone(resumed):
    assert not judge_groups(resumed, 1)
    metrics = resumed.metrics[1]
    assert metrics["spark/judge_row_share"] == 0 and "spark/judge/age" not in metrics
    assert metrics["spark/judge/deferred"] > 0 and metrics["spark/judge/dropped"] == 0


def test_a_resumed_run_trains_on_the_very_same_prompts(resumed):
    requests = {request.uid: request for request in saved(resumed, resumed.kept)}
    groups = judge_groups(resumed, resumed.kept + 1)
    assert requests and set(groups) == set(requests)
    for uid, rows in groups.items():
        request = requests[uid]
        assert len(rows) == request.n == (3 if request.tag.objective == "reflection" else 4)
        for row in rows:
            assert request.text.strip() in row["input"]
            assert row["objective"] == request.tag.objective and row["parent"] == request.tag.parent
            assert request.label in (row["gts"], None)


def test_they_show_rollouts_of_the_step_before(resumed):
    parents = {row["uid"].split("_")[0]: row for row in resumed.rollouts(3) if row["role"] == "policy"}
    groups = judge_groups(resumed, 4)
    assert groups and len(groups) == resumed.metrics[3]["spark/judge/deferred"], "a validation lies between"
    for rows in groups.values():
        parent = parents[rows[0]["parent"]]
        assert all(row["shown_step"] == 3 and row["index"] == parent["index"] for row in rows)
        question = parent["input"].rpartition("assistant")[0].strip()
        assert question in rows[0]["input"]
        if rows[0]["objective"] == "reflection":
            assert rows[0]["gts"] == parent["gts"]
    assert [resumed.metrics[step]["spark/judge/age"] for step in (3, 4)] == [1, 1]


def test_those_of_the_last_step_are_counted_and_kept(unbroken):
    last = unbroken.metrics[4]
    assert last["spark/judge/dropped"] == last["spark/judge/deferred"] == len(saved(unbroken, 4)) > 0
    assert unbroken.metrics[3]["spark/judge/dropped"] == 0


def test_nothing_is_left_behind(resumed):
    assert {resumed.metrics[step]["spark/leaked_keys"] for step in resumed.metrics} == {0}


def test_the_report_puts_them_beside_what_they_show(resumed):
    families = {family.step: family for family in collect(ReportRun(resumed.folder, name="run")).families}
    assert families[3].children, "of step 3, though trained on in step 4"
    assert families[3].question.prompt in families[3].children[0].prompt
