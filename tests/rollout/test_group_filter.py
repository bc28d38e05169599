"""Group filtering (DAPO's dynamic sampling): verl's for questions, and judge prompts go with their question."""

from __future__ import annotations

import pytest
import torch
from memory_queue import MemoryQueue
from scripted_worker import RIGHT, WRONG, N, children, prompt
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from spark_verl.rollout.async_sampler import SparkReplayBufferAsync
from spark_verl.rollout.sampler import SparkReplayBuffer
from spark_verl.rollout.tags import put_row
from spark_verl.vocabulary import LabelForm, Objective, RowTag, Source

MIXED, ALIKE = (1.0, 0.0), (1.0, 1.0)
EVICTED, SURPLUS = "training/filter_groups/evicted_samples", "training/filter_groups/discarded_surplus_samples"


def put(queue: MemoryQueue, uid: str, status: str, scores: tuple = (), parent: str | None = None) -> None:
    tag = {"is_prompt": True, "global_steps": 1, "status": status}
    if parent:
        tag = put_row(tag, RowTag(Objective.POINTWISE, Source.ANSWER, LabelForm.YES_NO, "right", parent, True))
    row = {"status": "success", "prompt_len": 3, "response_len": 2, "seq_len": 5, "global_steps": 1}
    queue.kv_batch_put([uid], "train", tags=[tag])
    rows = [f"{uid}_{i}_0" for i in range(len(scores))]
    fields = {"rm_scores": [torch.tensor([0.0, score]) for score in scores]}
    queue.kv_batch_put(rows, "train", fields, [dict(row) for _ in rows])


class Scripted:
    """A step whose questions end one by one while the sampler waits; refilled ones end like the script's next."""

    def __init__(self, queue: MemoryQueue, cls: type[ReplayBuffer], script: list[tuple], wanted: int = 2, **more):
        self.queue, self.script, self.wanted, self.refills = queue, iter(script), wanted, []
        self.running: list[str] = []
        self.buffer = cls(
            trainer_mode="sync",
            trainer_config={},
            max_off_policy_threshold=1,
            max_off_policy_strategy="drop",
            sampler_kwargs={},
            poll_interval=0.001,
            refill_fn=self.refill,
            **{"filter_groups_metric": "reward", "train_batch_size": wanted, "gen_batch_size": 1} | more,
        )
        self.buffer._wait_for_next_poll = self.end_one
        self.asked = 0
        self.submit(wanted)

    def refill(self, count: int) -> None:
        self.refills.append(count)
        self.submit(count)

    def submit(self, count: int) -> None:
        for _ in range(count):
            self.asked += 1
            self.running.append(f"q{self.asked}")
            put(self.queue, self.running[-1], "running")

    def end_one(self, partition_id: str, last: float) -> float:
        ended = next(self.script)
        put(self.queue, self.running.pop(0), "finished", ended)
        return last

    def sample(self) -> tuple[set[str], dict]:
        rows, metrics = self.buffer.sample(1, "train", self.wanted)
        return {key.split("_")[0] for key in rows.keys}, metrics


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([MIXED, MIXED], id="nothing to filter"),
        pytest.param([ALIKE, MIXED, MIXED, ALIKE], id="one gives way to two"),
        pytest.param([ALIKE, ALIKE, ALIKE, ALIKE, MIXED, MIXED], id="again and again"),
        pytest.param([MIXED, ALIKE, (0.0, 0.0), MIXED], id="all wrong teaches nothing either"),
        pytest.param([MIXED, ALIKE, MIXED, MIXED], id="a surplus"),
        pytest.param([(0.5, 0.5), (0.5, 1.0), (0.25, 0.5), MIXED], id="scores in between"),
    ],
)
@pytest.mark.parametrize("inflight", [1, 2])
def test_without_judge_prompts_it_is_verls(new_queue, script, inflight):
    """Same refills, evictions and number of rows; which of a surplus is kept, verl leaves to chance."""
    found = []
    for cls in (ReplayBuffer, SparkReplayBuffer):
        queue = new_queue()
        step = Scripted(queue, cls, script + [MIXED] * 8, max_inflight_gen_batches=inflight)
        taken, metrics = step.sample()
        metrics = {key: value for key, value in metrics.items() if "filter" in key}
        found.append((step.refills, step.asked, len(taken), metrics, taken if SURPLUS not in metrics else None))
        left = {key for key, tag in queue.tags["train"].items() if key.split("_")[0] not in taken}
        assert not left, "nothing stays behind"
    assert found[0] == found[1]


def test_judge_prompts_go_with_their_question(queue):
    step = Scripted(queue, SparkReplayBuffer, [MIXED, ALIKE, MIXED, MIXED])
    waits = []

    def end_one(partition_id: str, last: float) -> float:
        """A judge prompt about each question that ends is registered before that; one judge prompt ends late."""
        waits.append(1)
        if step.running:
            uid = step.running[0]
            put(queue, f"j{uid}", "running", parent=uid)
            Scripted.end_one(step, partition_id, last)
            if uid == "q2":
                queue.kv_clear([f"j{uid}"], "train")  # a question that teaches nothing gives none
            return last
        late = sorted(key for key, tag in queue.tags["train"].items() if tag.get("status") == "running")
        put(queue, late[0], "finished", ALIKE, parent=late[0][1:])
        return last

    step.buffer._wait_for_next_poll = end_one
    taken, metrics = step.sample()
    questions = {uid for uid in taken if uid.startswith("q")}
    assert len(questions) == 2 and questions < {"q1", "q3", "q4"}
    assert taken - questions == {f"j{uid}" for uid in questions}, "all verdicts alike, and kept all the same"
    assert metrics[EVICTED] == 1 and metrics[SURPLUS] == 1 and step.refills == [2]
    assert set(queue.tags["train"]) == {key for key in queue.tags["train"] if key.split("_")[0] in taken}
    assert len(waits) == 4 + 3, "the step ends with the last judge prompt"


def test_judge_prompts_take_no_questions_place(queue):
    """Neither among those that are kept, nor among those that may be under way at once."""
    step = Scripted(queue, SparkReplayBuffer, [ALIKE, ALIKE, MIXED, MIXED, MIXED, MIXED])
    for uid in "abc":
        put(queue, f"j{uid}", "finished", ALIKE, parent="of the step before")
    taken, _ = step.sample()
    assert {uid for uid in taken if uid.startswith("j")} == {"ja", "jb", "jc"}
    assert len(taken) == 2 + 3 and step.refills[0] == 1


def test_a_step_that_finds_nothing_to_learn_from_says_so(queue, caplog):
    """It goes on all the same, as verl's does."""
    step = Scripted(queue, SparkReplayBuffer, [ALIKE] * 45 + [MIXED] * 8)
    step.sample()
    told = [record.message for record in caplog.records if "scored all alike" in record.message]
    assert [message.split()[2] for message in told] == ["20", "40"] and "0 of 2 are kept" in told[0]


def test_what_ends_soon_is_not_preferred(new_queue):
    """Of five that are kept, any two: uids decide, and these are random."""
    kept = set()
    for names in (("e", "d", "c", "b", "a"), ("a", "b", "c", "d", "e")):
        queue = new_queue()
        step = Scripted(queue, SparkReplayBuffer, [])
        queue.tags["train"].clear()
        for uid in names:
            put(queue, uid, "finished", MIXED)
        kept.add(frozenset(step.sample()[0]))
    assert kept == {frozenset("ab")}


def test_in_asynchronous_training_questions_alone_are_filtered(queue):
    refills: list[int] = []
    buffer = SparkReplayBufferAsync(
        trainer_mode="colocate_async",
        trainer_config={},
        max_off_policy_threshold=3,
        max_off_policy_strategy="drop",
        sampler_kwargs={},
        poll_interval=0.001,
        refill_fn=refills.append,
        filter_groups_metric="reward",
    )
    put(queue, "a", "finished", ALIKE)
    put(queue, "b", "finished", MIXED)
    put(queue, "j", "finished", ALIKE, parent="b")
    rows, metrics = buffer.sample(1, "train", 1)
    assert {key.split("_")[0] for key in rows.keys} == {"b", "j"}
    assert refills == [1] and metrics[EVICTED] == 1


@pytest.mark.parametrize("metric", ["reward", "acc"])
@pytest.mark.parametrize(
    ("replies", "judged"),
    [([RIGHT] * N, False), ([WRONG] * N, False), ([RIGHT, WRONG, WRONG, WRONG], True), ([RIGHT] * 3 + [None], True)],
    ids=["all right", "all wrong", "both", "one failed"],
)
def test_a_group_that_will_be_evicted_gives_no_judge_prompts(run, metric: str, replies: list, judged: bool):
    """A group with a failed sample is kept, as verl keeps it."""
    script = [RuntimeError("engine") if each is None else each for each in replies]
    filters = [f"algorithm.filter_groups={{enable: true, metric: {metric}}}"]
    _, queue, _ = run({"larger": script}, [prompt()], overrides=filters)
    assert bool(children(queue)) is judged


def test_a_metric_that_no_score_has_filters_nothing_here(run):
    """verl's buffer ends the run with the metric's name."""
    filters = ["algorithm.filter_groups={enable: true, metric: elegance}"]
    _, queue, _ = run({"larger": [RIGHT] * N}, [prompt()], overrides=filters)
    assert children(queue)
