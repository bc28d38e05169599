"""What a step of asynchronous training takes, what it leaves under way, and what is evicted."""

from __future__ import annotations

import pytest
from memory_queue import MemoryQueue

from spark_verl.rollout.async_sampler import SparkReplayBufferAsync
from spark_verl.rollout.sampler import step_outcome
from spark_verl.rollout.tags import put_row, row_of
from spark_verl.vocabulary import POLICY, LabelForm, Objective, RowTag, Source

JUDGE = RowTag(Objective.POINTWISE, Source.ANSWER, LabelForm.YES_NO, "right", "a", True)


@pytest.fixture
def make(queue):
    """A buffer by verl's strategy, and how many questions it asked for in the place of evicted ones."""

    def make(strategy: str = "drop", threshold: int | None = 3) -> tuple[SparkReplayBufferAsync, list[int]]:
        refills: list[int] = []
        buffer = SparkReplayBufferAsync(
            trainer_mode="colocate_async",
            trainer_config={},
            max_off_policy_threshold=threshold,
            max_off_policy_strategy=strategy,
            sampler_kwargs={},
            refill_fn=refills.append,
            poll_interval=0.001,
        )
        return buffer, refills

    return make


def put(queue: MemoryQueue, uid: str, status: str, step: int = 5, judge: bool = False) -> None:
    prompt = {"is_prompt": True, "global_steps": step, "status": status}
    row = {"status": "success", "prompt_len": 3, "response_len": 2, "seq_len": 5, "global_steps": step}
    queue.kv_batch_put([uid, f"{uid}_0_0"], "train", tags=[put_row(prompt, JUDGE) if judge else prompt, row])


def taken(rows) -> list[str]:
    return [key.split("_")[0] for key in rows.keys]


def test_the_oldest_questions_and_every_judge_prompt_that_is_ready(make, queue):
    for uid, step in (("new", 5), ("old", 3), ("older", 2)):
        put(queue, uid, "finished", step)
    put(queue, "under way", "running")
    for uid, status in (("j", "finished"), ("k", "running"), ("l", "finished")):
        put(queue, uid, status, judge=True)
    buffer, refills = make(threshold=None)
    rows, metrics = buffer.sample(5, "train", 2)
    assert taken(rows) == ["j", "l", "old", "older"]
    assert [row_of(tag) for tag in rows.tags] == [JUDGE, JUDGE, POLICY, POLICY]
    assert set(queue.tags["train"]) >= {"new", "under way", "k"}, "for a later step"
    assert buffer.prompt_tags.keys() == {"j", "l", "old", "older"}
    assert refills == [] and metrics["spark/judge/evicted"] == 0


def test_judge_prompts_are_no_questions(make, queue):
    put(queue, "a", "finished")
    for uid in "jkl":
        put(queue, uid, "finished", judge=True)
    buffer, _ = make()
    looks = iter([lambda: put(queue, "b", "finished")])

    def wait(partition_id: str, last: float) -> float:
        next(looks)()
        return last

    buffer._wait_for_next_poll = wait
    rows, _ = buffer.sample(5, "train", 2)
    assert taken(rows) == ["a", "b", "j", "k", "l"] and next(looks, None) is None


def test_what_is_too_old_or_failed_is_evicted_and_questions_alone_are_made_up_for(make, queue):
    put(queue, "stale", "finished", step=2)
    put(queue, "failed", "failure")
    put(queue, "stale j", "finished", step=2, judge=True)
    put(queue, "failed j", "failure", judge=True)
    put(queue, "a", "finished")
    put(queue, "j", "finished", step=3, judge=True)
    buffer, refills = make(threshold=3)
    rows, metrics = buffer.sample(5, "train", 1)
    assert taken(rows) == ["a", "j"]
    assert refills == [2] and metrics["spark/judge/evicted"] == 2
    assert not any(key.startswith(("stale", "failed")) for key in queue.tags["train"])
    put(queue, "b", "finished")
    assert buffer.sample(5, "train", 1)[1]["spark/judge/evicted"] == 0, "counted once"


def test_only_judge_prompts_evicted_ask_for_nothing(make, queue):
    put(queue, "stale j", "finished", step=1, judge=True)
    put(queue, "a", "finished")
    buffer, refills = make(threshold=3)
    assert taken(buffer.sample(5, "train", 1)[0]) == ["a"]
    assert refills == []


@pytest.mark.parametrize("judge", [False, True])
def test_wait_lets_nothing_grow_too_old(make, queue, judge):
    put(queue, "a", "finished")
    put(queue, "slow", "running", step=3, judge=judge)
    buffer, _ = make("wait", threshold=3)
    looks = []

    def wait(partition_id: str, last: float) -> float:
        looks.append(put(queue, "slow", "finished", step=3, judge=judge))
        return last

    buffer._wait_for_next_poll = wait
    rows, _ = buffer.sample(5, "train", 1)
    assert len(looks) == 1 and "slow" in taken(rows)


def test_whoever_watches_sees_what_is_under_way(make, queue):
    put(queue, "slow", "running")
    put(queue, "a", "finished")
    buffer, _ = make()

    def wait(partition_id: str, last: float) -> float:
        assert buffer.seen.under_way == {"slow"} and buffer.seen.ended == 1
        put(queue, "b", "finished")
        return last

    plain = buffer._wait_for_next_poll
    buffer.poll_interval = 0.0
    buffer._wait_for_next_poll = lambda *known: (plain(*known), wait(*known))[1]
    buffer.sample(5, "train", 2)


def test_a_judge_prompt_counts_in_the_step_that_takes_it():
    late = step_outcome({"j": put_row({}, JUDGE)}, {}, late=True)
    assert late.built["judge"] == 1 and late.pointwise == (1, 0)
    assert step_outcome({"j": put_row({}, JUDGE)}, {}).built["judge"] == 0
    assert not step_outcome({"unknown": {"status": "finished"}}, {}, late=True).built
