"""A group without ground truth in the worker: its answers are judged, nothing of it is stored but what was found."""

from __future__ import annotations

import pytest
from scripted_worker import RIGHT, WRONG, children, position, prompt

from spark_verl.rollout.tags import group_of
from spark_verl.rollout.verdicts import Verdicts
from spark_verl.vocabulary import Outcome, Supervision

UNLABELLED = {"reward_model": {"style": "rule", "ground_truth": None}, "spark_supervision": "unlabelled"}
AUDIT = {"spark_supervision": "audit"}
ON = ["spark.self_reward.enable=true"]


def scored(queue):
    return group_of(queue.tags["train"]["u"]).scored


def test_an_unlabelled_group_is_judged(run):
    extra = {"index": 3, "split": "train", "hidden_truth": "4"}
    replies = [RIGHT, WRONG, RIGHT, "no box"]
    _, queue, engine = run({"larger": replies}, [prompt(**UNLABELLED, spark_row=17, extra_info=extra)], overrides=ON)
    group = scored(queue)
    assert (group.question, group.supervision) == ("17", Supervision.UNLABELLED)
    assert {each.answer: (each.votes, each.yes, each.read, each.asked) for each in group.classes} == {
        "4": (2, 4, 4, 4),
        "5": (1, 4, 4, 4),
    }
    assert {each.answer: each.right for each in group.classes} == {"4": True, "5": False}
    assert len(group.unanswered) == 1
    # Four samples and four verdicts on each of two answers; no judge prompt, no row but the samples'.
    assert len(engine.asked) == 12 and not children(queue)
    assert {key.split("_")[0] for key in queue.tags["train"]} == {"u"}
    assert sum("_" in key for key in queue.tags["train"]) == 4
    assert group_of(queue.tags["train"]["u"]).outcome is Outcome.NONE


def test_what_is_found_is_there_before_the_group_ends(run):
    _, queue, _ = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt(**UNLABELLED)], overrides=ON)
    keys = [i for i, (written, tags) in enumerate(queue.log) if "u" in written and "spark_group" in tags[0]]
    assert keys and keys[0] < position(queue, "u", status="finished")


def test_an_audit_group_is_judged_by_what_the_verifier_found(run):
    _, queue, _ = run({"larger": [RIGHT, WRONG, WRONG, OSError("engine")]}, [prompt(**AUDIT)], overrides=ON)
    group = scored(queue)
    assert {each.answer: each.right for each in group.classes} == {"4": True, "5": False}
    assert group.known and group.size == 3
    assert not children(queue)


def test_verdicts_that_cannot_be_read_are_counted(run):
    verdicts = ["perhaps", "\\boxed{Yes}", "\\boxed{No}", OSError("engine")]
    _, queue, _ = run({"larger": [*[RIGHT] * 4, *verdicts]}, [prompt(**UNLABELLED)], overrides=ON)
    (each,) = scored(queue).classes
    assert (each.yes, each.read, each.asked) == (1, 2, 4)


def test_a_vote_asks_nobody(run):
    settings = [*ON, "spark.self_reward.reward=majority", "spark.self_reward.gate=false"]
    _, queue, engine = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt(**UNLABELLED)], overrides=settings)
    assert len(engine.asked) == 4
    assert all(each.asked == 0 for each in scored(queue).classes)


def test_a_group_that_cannot_be_judged_is_counted(run, monkeypatch):
    async def fails(*_):
        raise OSError("engine")

    monkeypatch.setattr(Verdicts, "score", fails)
    _, queue, _ = run({"larger": [RIGHT] * 4}, [prompt(**UNLABELLED)], overrides=ON)
    record = group_of(queue.tags["train"]["u"])
    assert record.scored is None and record.skipped == {"scoring_error": 1}
    assert position(queue, "u", status="finished")


@pytest.mark.parametrize("kind", [{}, AUDIT, UNLABELLED])
def test_while_it_is_off_every_group_is_labelled(run, kind):
    _, queue, _ = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt(**{**kind, "spark_supervision": "labelled"})])
    assert scored(queue) is None
