"""The life of a group in the worker: verl's own worker code around ours, a scripted engine, a queue in memory."""

from __future__ import annotations

import asyncio
import gc

import pytest
from scripted_worker import (
    RIGHT,
    WRONG,
    N,
    children,
    position,
    prompt,
)

from spark_verl.rollout.tags import group_of
from spark_verl.vocabulary import JUDGE_OBJECTIVES, Outcome


@pytest.mark.parametrize(
    ("replies", "rollouts", "outcome", "objectives"),
    [
        ([RIGHT, WRONG, RIGHT, WRONG], 4, Outcome.MIXED, ["pairwise", "reflection"]),
        ([RIGHT] * 4, 4, Outcome.RIGHT, ["pointwise"]),
        ([RIGHT, OSError("engine"), WRONG, RIGHT], 3, Outcome.MIXED, ["pairwise", "reflection"]),
        ([OSError("a"), OSError("b"), WRONG, WRONG], 2, Outcome.WRONG, ["pointwise", "reflection"]),
        ([OSError("a"), OSError("b"), OSError("c"), OSError("d")], 0, Outcome.NONE, []),
        ([[3, 3, 9], WRONG, RIGHT, WRONG], 3, Outcome.MIXED, ["pairwise", "reflection"]),
    ],
    ids=["mixed", "all right", "one fails", "two fail", "all fail", "one writes an image placeholder"],
)
def test_a_group_is_judged_when_its_last_sample_has_ended(run, tokenizer, replies, rollouts, outcome, objectives):
    pad = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    replies = [[pad if each == 9 else each for each in r] if isinstance(r, list) else r for r in replies]
    worker, queue, _ = run({"larger": replies}, [prompt()])
    assert group_of(queue.tags["train"]["u"]).outcome is outcome
    assert sorted(row.objective for row in children(queue).values()) == objectives
    assert {row.parent for row in children(queue).values()} <= {"u"}
    rows = [key for key in queue.tags["train"] if key.startswith("u_")]
    assert len(rows) == rollouts
    ended = "failure" if rollouts < N else "finished"
    assert queue.tags["train"]["u"]["status"] == ended
    for uid in children(queue):
        assert queue.tags["train"][uid]["status"] == "finished"
        assert len([key for key in queue.tags["train"] if key.startswith(f"{uid}_")]) == N
        registered, parent_ended = position(queue, uid, status="pending"), position(queue, "u", status=ended)
        assert registered < parent_ended, "the sampler must never see a step with nothing pending in between"
    assert worker._groups == {} and len(worker.media) == 0, "nothing is kept once all have ended"


def test_judge_prompts_have_their_own_ground_truth_and_none_of_our_fields(run):
    _, queue, engine = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt()])
    for uid, row in children(queue).items():
        stored = queue.fields[f"{uid}_0_0"]
        assert stored["reward_model"]["ground_truth"] == ("A" if row.objective == "pairwise" else "4")
        assert stored["data_source"] == f"spark/{row.objective}"
        assert stored["extra_info"]["task_data_source"] == "spark_digits" and stored["extra_info"]["role"] == "judge"
    assert not {name for row in queue.fields.values() for name in row if name.startswith("spark")}


def test_two_groups_may_be_interleaved(run):
    first, second = prompt("a", "Which digit is larger?"), prompt("b", "What is the sum of the two digits?")
    script = {"larger": [RIGHT, WRONG, RIGHT, WRONG], "sum": [WRONG] * 4}
    _, queue, _ = run(script, [first, second])
    assert group_of(queue.tags["train"]["a"]).outcome is Outcome.MIXED
    assert group_of(queue.tags["train"]["b"]).outcome is Outcome.WRONG
    assert {row.parent: row.objective for row in children(queue).values() if row.objective != "reflection"} == {
        "a": "pairwise",
        "b": "pointwise",
    }


def test_judge_prompts_do_not_depend_on_who_ends_first(run):
    async def late() -> str:
        for _ in range(50):
            await asyncio.sleep(0)
        return RIGHT

    texts = []
    for replies in ([RIGHT, WRONG, RIGHT, WRONG], [late, WRONG, RIGHT, WRONG]):
        _, _, engine = run({"larger": replies}, [prompt()])
        texts.append(sorted({text for text in engine.asked if "larger" in text}))
    assert texts[0] == texts[1]


def test_validation_rows_are_never_judged(run):
    _, queue, _ = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt()], validate=True)
    assert children(queue) == {} == children(queue, "val")
    assert group_of(queue.tags["val"]["u"]) is None and queue.tags["val"]["u"]["status"] == "finished"


def test_a_cancelled_group_leaves_nothing_open(run):
    async def never() -> str:
        await asyncio.sleep(3600)
        return RIGHT

    worker, queue, _ = run({"larger": [RIGHT, never, never, never]}, [prompt()], cancel_after=40)
    assert worker._groups == {} and len(worker.media) == 0
    assert not any(key.startswith("u_") for key in queue.tags["train"]), "rows of a group that has not ended"


def test_a_transform_that_fails_is_counted_and_stops_nothing(run, monkeypatch):
    monkeypatch.setattr("spark_verl.judge.JudgeBuilder.build", lambda *_: 1 / 0)
    _, queue, _ = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt()])
    assert group_of(queue.tags["train"]["u"]).skipped == {"error": 1}
    assert queue.tags["train"]["u"]["status"] == "finished" and children(queue) == {}


def test_images_are_processed_once_for_a_group_and_its_judge_prompts(run, monkeypatch):
    worker, queue, engine = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt()])
    assert len(children(queue)) == 2 and len(engine.asked) == 3 * N
    # Once each: fetched, processed, made into the actor's tensors (by other options of the processor); and the tokens
    # of each prompt.
    assert worker.media.computed <= 4 + 1 + len(children(queue))
    gc.collect()
    assert len(worker.media) == 0


def test_every_judge_objective_has_been_seen(run):
    seen = set()
    for replies in ([RIGHT, WRONG] * 2, [RIGHT] * 4):
        _, queue, _ = run({"larger": replies}, [prompt()])
        seen |= {row.objective for row in children(queue).values()}
    assert seen == set(JUDGE_OBJECTIVES)
