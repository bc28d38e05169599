"""When a step is complete, which row is which, and what the transform's records add up to."""

from __future__ import annotations

from collections import Counter

import pytest
from memory_queue import MemoryQueue

from spark_verl.judge import JudgeAsk, Plan, ReflectionAsk
from spark_verl.rollout.requests import JudgeRequest
from spark_verl.rollout.sampler import SparkReplayBuffer, step_outcome, transform_metrics
from spark_verl.rollout.tags import GroupRecord, group_of, put_group, put_row, row_of
from spark_verl.vocabulary import POLICY, LabelForm, Objective, Outcome, RowTag, Source

JUDGE = RowTag(Objective.POINTWISE, Source.ANSWER, LabelForm.YES_NO, "right", "a", True)


@pytest.fixture
def buffer(queue) -> SparkReplayBuffer:
    return SparkReplayBuffer(
        trainer_mode="sync",
        trainer_config={},
        max_off_policy_threshold=1,
        max_off_policy_strategy="drop",
        sampler_kwargs={},
        refill_fn=None,
        poll_interval=0.001,
    )


def put(queue: MemoryQueue, uid: str, status: str, rows: int = 2, tag: dict | None = None, partition: str = "train"):
    prompt = {"is_prompt": True, "global_steps": 1, "status": status, **(tag or {})}
    row = {"status": "success", "prompt_len": 3, "response_len": 2, "seq_len": 5, "global_steps": 1}
    keys = [f"{uid}_{i}_0" for i in range(rows)]
    queue.kv_batch_put([uid, *keys], partition, tags=[prompt, *[dict(row) for _ in keys]])


def sample_while(buffer, queue, changes: list, prompts: int):
    """Sample; the changes are made one after the other while it waits. Returns the batch and how many were made."""
    waits = iter(changes)
    made = 0

    def wait(partition_id: str, last: float) -> float:
        nonlocal made
        change = next(waits, None)
        assert change is not None, "the sampler goes on waiting although the step is complete"
        made += 1
        change()
        return last

    buffer._wait_for_next_poll = wait
    rows, metrics = buffer.sample(1, "train", prompts)
    return rows, metrics, made


def test_a_step_ends_when_nothing_is_pending_or_running(buffer, queue):
    put(queue, "a", "running")
    put(queue, "b", "finished")
    changes = [
        # The parent's judge prompt is registered before the parent ends, as the worker does it.
        lambda: put(queue, "j", "pending", rows=0, tag=put_row({}, JUDGE)),
        lambda: put(queue, "a", "finished"),
        lambda: put(queue, "j", "running", rows=0),
        lambda: put(queue, "j", "finished", rows=3),
    ]
    rows, _, made = sample_while(buffer, queue, changes, prompts=2)
    assert made == 4
    assert rows.keys == ["a_0_0", "a_1_0", "b_0_0", "b_1_0", "j_0_0", "j_1_0", "j_2_0"], "in the order of keys"
    assert [row_of(tag) for tag in rows.tags] == [POLICY] * 4 + [JUDGE] * 3
    assert all(row_of(queue.tags["train"][key]) for key in rows.keys), "verl reads the tags back with every put"


def test_judge_prompts_of_the_step_before_are_rows_of_this_one(buffer, queue):
    put(queue, "j", "pending", rows=0, tag=put_row({}, JUDGE))
    put(queue, "k", "finished", tag=put_row({}, JUDGE))
    put(queue, "a", "finished")
    changes = [lambda: put(queue, "j", "running", rows=0), lambda: put(queue, "j", "finished")]
    rows, _, made = sample_while(buffer, queue, changes, prompts=1)
    assert made == 2, "as many prompts as questions have ended, but not all"
    assert [(key[0], row_of(tag)) for key, tag in zip(rows.keys, rows.tags, strict=True)] == [
        *[("a", POLICY)] * 2,
        *[("j", JUDGE)] * 2,
        *[("k", JUDGE)] * 2,
    ]


def test_a_failed_group_gives_its_other_rows(buffer, queue):
    put(queue, "a", "failure", rows=1)
    put(queue, "b", "finished")
    rows, metrics, _ = sample_while(buffer, queue, [], prompts=2)
    assert rows.keys == ["a_0_0", "b_0_0", "b_1_0"] and metrics["spark/failed_groups"] == 1


def test_a_step_without_a_single_rollout_is_an_error(buffer, queue):
    put(queue, "a", "failure", rows=0)
    with pytest.raises(RuntimeError, match="all 1 prompts failed"):
        sample_while(buffer, queue, [], prompts=1)


def test_validation_rows_are_policy_rows(buffer, queue):
    put(queue, "a", "finished", partition="val")
    rows, metrics = buffer.sample(1, "val", 1)
    assert [row_of(tag) for tag in rows.tags] == [POLICY, POLICY] and metrics == {}
    assert buffer.prompt_tags == {}, "those of the last training step"


def test_records_add_up():
    tags = {
        "a": put_group({}, GroupRecord(Outcome.MIXED, {"too_long": 1}, {"shortened": 2}, 0.5)),
        "b": put_group({}, GroupRecord(Outcome.RIGHT, {"too_long": 2, "all_right": 1}, {}, 0.25)),
        "j": put_row({}, JUDGE),
        "c": {"status": "failure"},
    }
    assert transform_metrics(tags, failed_groups=1) == {
        "spark/failed_groups": 1,
        "spark/judge/skipped/too_long": 3,
        "spark/judge/skipped/all_right": 1,
        "spark/judge/adapted/shortened": 2,
        "spark/judge/transform_seconds": 0.75,
    }


def test_a_group_that_was_never_judged_gave_nothing():
    ask = JudgeAsk(True, True, True, True, True)
    plans = {"a": Plan((ask,), ()), "c": Plan((ask,), (ReflectionAsk(False),))}
    tags = {
        "a": put_group({}, GroupRecord(Outcome.MIXED)),
        "c": {"status": "failure"},
        # verl replays stored rollouts under the uids that they had.
        "replayed": {"status": "finished"},
        "j": put_row({}, JUDGE),
        "r": put_row({}, RowTag(Objective.REFLECTION, Source.COT, LabelForm.FREE, "wrong", "a")),
    }
    outcome = step_outcome(tags, plans)
    assert outcome.groups == Counter({Outcome.MIXED: 1, Outcome.NONE: 1})
    assert outcome.asked == Counter(judge=2, reflection_wrong=1)
    assert outcome.built == Counter(judge=1, reflection_wrong=1) and outcome.pointwise == (1, 0)


def test_labels_count_in_the_step_of_the_rollouts_that_they_are_about():
    """Whenever the prompts are sampled, so that the same outcomes lead to the same plans."""
    ask = JudgeAsk(True, True, True, True, True)
    plans = {"a": Plan((ask,), (ReflectionAsk(False),)), "b": Plan((ask,))}
    old = RowTag(Objective.POINTWISE, Source.ANSWER, LabelForm.YES_NO, "wrong", "of the step before", False)
    groups = {"a": put_group({}, GroupRecord(Outcome.MIXED)), "b": put_group({}, GroupRecord(Outcome.RIGHT))}
    given = {"j": JUDGE, "r": RowTag(Objective.REFLECTION, Source.COT, LabelForm.FREE, "wrong", "a")}
    at_once = step_outcome(groups | {uid: put_row({}, tag) for uid, tag in given.items()}, plans)
    deferred = tuple(JudgeRequest(uid, tag, "Is it right?", None, 4, 0) for uid, tag in given.items())
    groups["a"] = put_group({}, GroupRecord(Outcome.MIXED, deferred=deferred))
    assert step_outcome(groups | {"o": put_row({}, old)}, plans) == at_once
    assert at_once.built == Counter(judge=1, reflection_wrong=1) and at_once.pointwise == (1, 0)


REQUEST = JudgeRequest("j", JUDGE, "Is it right?", "Yes", 4, 3)


@pytest.mark.parametrize(
    "record",
    [GroupRecord(), GroupRecord(Outcome.WRONG, {"x": 1}, {"y": 2}, 1.5), GroupRecord(deferred=(REQUEST, REQUEST))],
)
def test_a_record_survives_being_stored(record):
    assert group_of(put_group({"status": "finished"}, record)) == record
    assert group_of({"status": "running"}) is None and row_of({}) == POLICY
