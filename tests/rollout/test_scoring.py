"""What the worker hands to the reward manager, and which responses it refuses."""

from __future__ import annotations

import pytest
import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput

from spark_verl.rollout.scoring import score_request
from spark_verl.rollout.worker import SparkWorker

IMAGE_PAD = 7


def output(prompt: int, response: list[int], mask: list[int] | None = None, turns: int = 2) -> AgentLoopOutput:
    return AgentLoopOutput(
        prompt_ids=[1] * prompt,
        response_ids=response,
        response_mask=mask or [1] * len(response),
        num_turns=turns,
        metrics=AgentLoopMetrics(),
    )


def test_the_mask_tells_each_responses_own_length() -> None:
    request = score_request([output(10, [5] * 50), output(60, [6] * 10, turns=4)], {"uid": "a"})
    length = request.batch["responses"].shape[1]
    rows = [request[i] for i in range(2)]
    for row, expected in zip(rows, (50, 10), strict=True):
        found = int(row.batch["attention_mask"][-length:].sum())
        assert found == expected
        assert torch.equal(row.batch["responses"][:found].unique(), row.batch["responses"][:1])
    assert [row.non_tensor_batch["__num_turns__"] for row in rows] == [2, 4]


def test_a_reward_function_that_writes_into_its_arguments_changes_no_other_sample() -> None:
    prompt = {"extra_info": {"index": 3, "parts": [1]}, "reward_model": {"ground_truth": "7"}, "uid": "a"}
    first, second = (score_request([output(2, [5])], prompt)[0].non_tensor_batch for _ in range(2))
    first["extra_info"]["parts"].append(2)
    first["reward_model"]["ground_truth"] = "8"
    assert second["extra_info"] == prompt["extra_info"] == {"index": 3, "parts": [1]}
    assert second["reward_model"]["ground_truth"] == "7"


@pytest.mark.parametrize(
    ("response", "mask", "sampled"),
    [([5, 5], [1, 1], False), ([5, IMAGE_PAD], [1, 1], True), ([5, IMAGE_PAD, 5], [1, 0, 1], False)],
    ids=["text", "the policy wrote a placeholder", "a tool's image"],
)
def test_only_placeholders_of_the_policy_itself_are_refused(response, mask, sampled) -> None:
    worker = object.__new__(SparkWorker)
    worker.media_ids = {IMAGE_PAD}
    assert worker._sampled_media(output(3, response, mask)) is sampled
