"""Judge prompts between two steps: held in an order of their own, stored, found again."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from verl.utils import tensordict_utils as tu
from verl.utils.dataset.rl_dataset import collate_fn

from spark_verl.judge import Plan
from spark_verl.rollout.requests import JudgeRequest
from spark_verl.rollout.tags import GroupRecord, pending_tags, put_group, row_of
from spark_verl.trainer.deferred import DeferredPrompts
from spark_verl.vocabulary import LabelForm, Objective, Outcome, RowTag, Source


class Data(list):
    """Training data as verl's class gives them: a new row, with a new image, at each look."""

    def __getitem__(self, row):
        image = {"type": "image", "image": Image.new("RGB", (8, 8), (row, 0, 0))}
        return {
            "raw_prompt": [{"role": "user", "content": [image, {"type": "text", "text": self.words(row)}]}],
            "dummy_tensor": torch.tensor([0], dtype=torch.uint8),
            "data_source": "sums",
            "reward_model": {"style": "rule", "ground_truth": [str(row)]},
            "extra_info": {"index": 100 + row},
            "index": 100 + row,
            "tools_kwargs": {},
        }

    def words(self, row):
        return super().__getitem__(row)


class Changed(Data):
    """Rows with odd numbers have other truths, as when their images are others."""

    def __getitem__(self, row):
        found = super().__getitem__(row)
        return found if row % 2 == 0 else found | {"reward_model": {"style": "rule", "ground_truth": ["another"]}}


DATA = Data(f"What is {row}?" for row in range(6))


def uid(row: int) -> str:
    """verl's are random: their order is not that of the batch."""
    return f"{7 * row % 5}-uid"


def asked(*rows: int):
    """A step's batch as the trainer hands it to the workers."""
    batch = tu.get_tensordict(collate_fn([{**DATA[row], "spark_row": row, "uid": uid(row)} for row in rows]))
    tu.assign_non_tensor_data(batch, "global_steps", 4)
    tu.assign_non_tensor_stack(batch, "spark_plan", [Plan(slot=i) for i in range(len(rows))])
    return batch


def request(row: int, ordinal: int, objective: Objective) -> JudgeRequest:
    form, label, positive = (
        (LabelForm.FREE, None, None) if objective is Objective.REFLECTION else (LabelForm.YES_NO, "No", False)
    )
    tag = RowTag(objective, Source.ANSWER, form, "wrong", uid(row), positive, shown_step=4)
    return JudgeRequest(f"{row}-{ordinal}", tag, f"\n\nJudge {row}!", label, 4, row)


def held(*rows: int) -> DeferredPrompts:
    """What a step of these rows leaves; those with an odd number gave two prompts, row 0 none."""
    tags = {}
    for row in sorted(rows, reverse=True):  # in whichever order they came
        objectives = (Objective.POINTWISE, Objective.REFLECTION)[: 1 + row % 2] if row else ()
        deferred = tuple(request(row, ordinal, objective) for ordinal, objective in enumerate(objectives))
        tags[uid(row)] = put_group({}, GroupRecord(Outcome.WRONG, deferred=deferred))
    found = DeferredPrompts()
    found.collect(tags, asked(*rows))
    return found


def test_they_keep_the_order_of_the_batch_and_go_once():
    waiting = held(3, 0, 2, 1)
    assert waiting.metrics(last=False) == {"spark/judge/deferred": 5, "spark/judge/dropped": 0}
    assert waiting.metrics(last=True) == {"spark/judge/deferred": 5, "spark/judge/dropped": 5}
    requests, batch = waiting.take(5)
    assert [each.uid for each in requests] == ["3-0", "3-1", "2-0", "1-0", "1-1"] == list(batch["uid"])
    assert batch["global_steps"] == 5 and list(batch["__rollout_n__"]) == [4] * 5
    assert waiting.take(6) == ([], None) and waiting.state_dict() == {"requests": [], "questions": {}}


def test_what_goes_to_the_workers():
    requests, batch = held(3, 2).take(5)
    texts = [[part.get("text") for part in messages[0]["content"]] for messages in batch["raw_prompt"]]
    assert texts == [[None, f"What is {row}?", f"\n\nJudge {row}!"] for row in (3, 3, 2)]
    assert [each["ground_truth"] for each in batch["reward_model"]] == ["No", ["3"], "No"]
    images = [messages[0]["content"][0]["image"] for messages in batch["raw_prompt"]]
    assert images[0] is images[1], "processed once for both"
    assert [row_of(tag) for tag in pending_tags(requests, 5)] == [each.tag for each in requests]
    # verl splits a batch among its workers, of which there may be more than prompts.
    assert [len(part) for part in batch.chunk(8)] == [1, 1, 1]


def test_a_resumed_run_has_the_very_same_prompts():
    waiting = held(3, 0, 2, 1)
    state = json.loads(json.dumps(waiting.state_dict()))
    assert "image" not in json.dumps(state), "an image is that of the data's row"
    resumed = DeferredPrompts()
    resumed.load_state_dict(state, DATA)
    assert resumed.metrics(last=False) == waiting.metrics(last=False)
    (mine, ours), (theirs, expected) = resumed.take(5), waiting.take(5)
    assert mine == theirs
    for name in ("uid", "raw_prompt", "reward_model", "extra_info", "data_source", "index", "__rollout_n__"):
        assert list(ours[name]) == list(expected[name]), name


@pytest.mark.parametrize(
    ("data", "left", "why"),
    [
        (Data(["", "another?", *(DATA.words(row) for row in range(2, 6))]), ["3-0", "3-1", "2-0"], "another question"),
        (Data(DATA.words(row) for row in range(3)), ["2-0", "1-0", "1-1"], "fewer rows"),
        (Data(), [], "no rows"),
        (Changed(DATA.words(row) for row in range(6)), ["2-0"], "the same words with another truth"),
    ],
)
def test_prompts_whose_question_is_gone_are_dropped_and_counted(data, left, why, caplog):
    state, resumed = held(3, 0, 2, 1).state_dict(), DeferredPrompts()
    with caplog.at_level("WARNING"):
        resumed.load_state_dict(state, data)
    assert [each.uid for each in resumed.requests] == left, why
    assert f"{5 - len(left)} of 5 judge prompts dropped" in caplog.text
    for dropped in (5 - len(left), 0):
        resumed.take(5)
        resumed.collect({}, asked(2))
        told = resumed.metrics(last=False)
        assert told == {"spark/judge/deferred": 0, "spark/judge/dropped": dropped}, "in the first step's metrics"
