"""A judge prompt apart from its question, and put together again; sampled in the same step and in the next one."""

from __future__ import annotations

import json

import pytest
from PIL import Image
from scripted_worker import RIGHT, WRONG, N, children, prompt

from spark_verl.judge import Correctness, JudgeAsk, JudgeBuilder, Plan, ReflectionAsk, Rollout, RolloutGroup
from spark_verl.rollout.requests import JudgeRequest
from spark_verl.rollout.tags import group_of
from spark_verl.vocabulary import LabelForm, Objective

MIXED = [RIGHT, WRONG, RIGHT, WRONG]
NEXT = ["spark.judge_step=next"]
PLAN = Plan((JudgeAsk(True, True, True, True, True), JudgeAsk(False, True, True, True, True)), (ReflectionAsk(False),))
PLAIN = [{"role": "user", "content": "2 + 2?"}]
IMAGES = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "image", "image": Image.new("RGB", (28, 28))}, {"type": "text", "text": "2 + 2?"}],
    },
    {"role": "assistant", "content": "It is"},
]


def built(tokenizer, messages):
    """A judge prompt of every objective, and the question as verl's data set gives it."""
    from spark_verl.config import SparkConfig

    rollouts = (Rollout("2 + 2 = 4", "4", Correctness.RIGHT), Rollout("It is 5", "5", Correctness.WRONG))
    group = RolloutGroup("g", messages, ["4", "four"], 8, 2, rollouts)
    question = {
        "raw_prompt": messages,
        "data_source": "sums",
        "reward_model": {"style": "rule", "ground_truth": ["4", "four"]},
        "extra_info": {"index": 8},
        "index": 8,
        "__do_sample__": False,
        "__rollout_n__": 2,
    }
    return JudgeBuilder(SparkConfig(), tokenizer=tokenizer).build(group, PLAN).prompts, question


@pytest.mark.parametrize("messages", [PLAIN, IMAGES], ids=["a text", "an image, and turns around it"])
def test_with_its_question_it_is_the_prompt_that_was_built(tokenizer, messages):
    prompts, question = built(tokenizer, messages)
    assert {each.objective for each in prompts} == set(Objective) - {Objective.POLICY}
    for ordinal, judge in enumerate(prompts):
        request = JudgeRequest.of(judge, ordinal, n=8, row=3)
        stored = json.loads(json.dumps(request.to_dict()))
        assert JudgeRequest.from_dict(stored) == request
        made = JudgeRequest.from_dict(stored).as_prompt(question)
        assert made["raw_prompt"] == judge.messages
        assert made["reward_model"] == {"style": "rule", "ground_truth": judge.ground_truth}
        assert made["extra_info"].items() >= {"index": 8, "task_data_source": "sums", **judge.tag.to_dict()}.items()
        assert (made["__rollout_n__"], made.get("__do_sample__")) == (8, None), "the question's own do not count"
        assert judge.tag.shown_step == 2
        if messages is IMAGES:
            assert made["raw_prompt"][1]["content"][0]["image"] is IMAGES[1]["content"][0]["image"]
            assert len(made["raw_prompt"]) == 2, "the turn after the question would answer it"
    assert question["__rollout_n__"] == 2 and len(question["raw_prompt"]) == len(messages), "left as it was"


def test_only_a_reflection_takes_its_questions_truth(tokenizer):
    prompts, question = built(tokenizer, PLAIN)
    labels = {each.label_form: JudgeRequest.of(each, 0, 8, None).label for each in prompts}
    assert labels == {LabelForm.A_B: "A", LabelForm.YES_NO: "Yes", LabelForm.FREE: None}
    reflection = JudgeRequest.of(prompts[-1], 0, 8, None)
    assert reflection.as_prompt(question)["reward_model"]["ground_truth"] == ["4", "four"]


def test_a_deferred_prompt_is_the_one_that_the_same_step_would_have_sampled(run):
    """The group's tag asks for it, nothing of it is sampled; handed back, it is asked in the very same words."""
    question = prompt(spark_row=5)
    _, queue, now = run({"larger": MIXED}, [question])
    _, waiting, before = run({"larger": MIXED}, [question], overrides=NEXT)
    record, at_once = group_of(waiting.tags["train"]["u"]), group_of(queue.tags["train"]["u"])
    assert not children(waiting) and len(before.asked) == N and waiting.tags["train"]["u"]["status"] == "finished"
    assert {request.uid: request.tag for request in record.deferred} == children(queue)
    assert at_once.deferred == () and {request.row for request in record.deferred} == {5}
    assert (record.outcome, record.skipped) == (at_once.outcome, at_once.skipped)

    # The trainer registers them, with the tags that say what they are, and hands the prompts to some worker.
    later = [request.as_prompt({**question, "global_steps": 2}) for request in record.deferred]
    _, queue_of_next, after = run({}, later, overrides=NEXT)
    assert sorted(after.asked) == sorted(now.asked[N:])
    for request in record.deferred:
        keys = [f"{request.uid}_{session}_0" for session in range(N)]
        assert all(key in queue_of_next.fields for key in keys)
        for key in keys:
            ours, theirs = queue_of_next.fields[key], queue.fields[key]
            assert ours["input_ids"].equal(theirs["input_ids"]) and ours["extra_info"] == theirs["extra_info"]
            assert ours["reward_model"] == theirs["reward_model"] and ours["data_source"] == theirs["data_source"]
            assert not any(name.startswith("spark") for name in ours)
            assert queue_of_next.tags["train"][key]["global_steps"] == 2


@pytest.mark.parametrize("step", ["same", "next"])
def test_a_judge_prompt_has_its_own_number_of_samples(run, step):
    own = [f"spark.judge_step={step}", "spark.reflection.n=3"]
    _, queue, _ = run({"larger": MIXED}, [prompt(spark_row=0)], overrides=own)
    asked = {request.uid: request.tag for request in group_of(queue.tags["train"]["u"]).deferred}
    if step == "next":
        _, queue, _ = run(
            {},
            [request.as_prompt(prompt()) for request in group_of(queue.tags["train"]["u"]).deferred],
            overrides=own,
        )
    else:
        asked = children(queue)
    samples = {row.objective: sum(key.startswith(f"{uid}_") for key in queue.fields) for uid, row in asked.items()}
    assert samples == {"pairwise": N, "reflection": 3}
