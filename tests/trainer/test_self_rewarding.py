"""Unlabelled rows in a step: which are trained on, and with what."""

from __future__ import annotations

import json
from random import Random

import pytest
import torch
from memory_queue import MemoryQueue
from synthetic_judge import draw_group, draw_groups
from transfer_queue import KVBatchMeta

from spark_verl.config import SparkConfig
from spark_verl.config.schema import SelfRewardConfig
from spark_verl.judge import BalanceController
from spark_verl.rollout.tags import GroupRecord, put_group, put_row
from spark_verl.self_reward import ScoredGroup
from spark_verl.trainer import batch as batch_module
from spark_verl.trainer import self_rewarding
from spark_verl.trainer.alarm import SelfConfirmationAlarm
from spark_verl.trainer.deferred import DeferredPrompts
from spark_verl.trainer.self_rewarding import SelfRewarding
from spark_verl.trainer.trainer import SparkTrainer
from spark_verl.vocabulary import LabelForm, Objective, RowTag, Source, Supervision

SAMPLES, LENGTH = 4, 3
JUDGE = RowTag(Objective.POINTWISE, Source.ANSWER, LabelForm.YES_NO, "right", "l0", True)


class Queue(MemoryQueue):
    """With tensors as fields."""

    def kv_batch_get(self, keys, partition_id, select_fields):
        return {name: Column([self.fields[key][name] for key in keys]) for name in select_fields}


class Column(list):
    """A nested tensor as far as rows are taken out of it."""

    def unbind(self) -> list[torch.Tensor]:
        return list(self)


@pytest.fixture
def queue(monkeypatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(self_rewarding, "tq", queue)
    monkeypatch.setattr(batch_module, "tq", queue)
    return queue


def group(uid: str, supervision: Supervision) -> ScoredGroup:
    return draw_group(Random(uid), uid, youden=0.9, right_share=0.5, samples=SAMPLES, supervision=supervision)


def step(queue: Queue, kinds: dict[str, Supervision | RowTag], advantage: float = 1.0):
    """Rows of a step in the queue, as a batch, and the tags of its prompts."""
    keys, tags, prompts = [], [], {}
    for uid, kind in kinds.items():
        row = kind if isinstance(kind, RowTag) else RowTag(supervision=kind)
        scored = None if row == RowTag() or isinstance(kind, RowTag) else group(uid, row.supervision)
        prompts[uid] = put_group({}, GroupRecord(scored=scored))
        for session in range(SAMPLES):
            keys.append(f"{uid}_{session}_0")
            tags.append(put_row({"seq_len": 9}, row))
            sign = 1 if session % 2 else -1
            value = 0.0 if row.supervision is Supervision.UNLABELLED else sign * advantage
            queue.fields[keys[-1]] = {
                "advantages": torch.full((LENGTH,), value),
                "response_mask": torch.ones(LENGTH),
            }
            queue.tags["train"][keys[-1]] = {}
    return KVBatchMeta(partition_id="train", keys=keys, tags=tags, extra_info={}), prompts


KINDS = {
    **{f"l{i}": Supervision.LABELLED for i in range(3)},
    **{f"a{i}": Supervision.AUDIT for i in range(40)},
    **{f"u{i}": Supervision.UNLABELLED for i in range(6)},
    "j0": JUDGE,
}


def rewarding(**options) -> SelfRewarding:
    return SelfRewarding(SparkConfig(self_reward=SelfRewardConfig(enable=True, **options)))


def uids(batch: KVBatchMeta) -> set[str]:
    return {key.split("_")[0] for key in batch.keys}


def test_audit_rows_and_those_that_teach_nothing_are_left_out(queue):
    batch, prompts = step(queue, KINDS)
    mine = rewarding()
    kept, metrics = mine.select(batch, prompts, 1)
    assert metrics["spark/self_reward/weight"] > 0
    taught = set(mine._found.advantages)
    assert taught and uids(kept) == {"l0", "l1", "l2", "j0"} | taught
    assert set(queue.tags["train"]) == set(kept.keys), "nothing of the others is left behind"


def test_with_the_gate_closed_the_step_is_that_of_the_labelled_rows(queue):
    batch, prompts = step(queue, KINDS)
    kept, metrics = rewarding(min_audit_groups=1000).select(batch, prompts, 1)
    assert metrics["spark/self_reward/closed/few_audit_groups"] == 1.0
    assert uids(kept) == {"l0", "l1", "l2", "j0"}


def test_a_step_is_never_empty(queue):
    batch, prompts = step(queue, {"u0": Supervision.UNLABELLED, "u1": Supervision.UNLABELLED})
    kept, _ = rewarding(gate=False, reward="vote", min_std=10.0).select(batch, prompts, 1)
    assert uids(kept) == {"u0", "u1"}


def test_a_step_of_audit_questions_alone_teaches_nothing(queue):
    """With few labels most of them are audit questions, and a batch may have no others."""
    mine = rewarding()
    batch, prompts = step(queue, {"a0": Supervision.AUDIT, "a1": Supervision.AUDIT})
    kept, _ = mine.select(batch, prompts, 1)
    assert uids(kept) == {"a0", "a1"}
    mine.reward(kept)
    assert not any(queue.fields[key]["advantages"].any() for key in kept.keys)


@pytest.mark.parametrize("limit", [1.0, 0.1])
def test_advantages_are_written_and_limited(queue, limit):
    batch, prompts = step(queue, KINDS)
    mine = rewarding(mass_limit=limit)
    kept, measured = mine.select(batch, prompts, 1)
    before = {key: queue.fields[key]["advantages"].clone() for key in kept.keys}
    metrics = mine.reward(kept)
    factor = metrics["spark/self_reward/mass_factor"]
    silent = sum(uid.startswith("u") for uid in KINDS) - len(mine._found.advantages)
    dilution = len(uids(kept)) / (len(uids(kept)) + silent)
    assert 0 < silent and measured["spark/self_reward/dilution"] == pytest.approx(dilution)
    for key in kept.keys:
        uid, session, _ = key.split("_")
        found = queue.fields[key]["advantages"]
        if uid.startswith("u"):
            expected = factor * dilution * mine._found.advantages[uid].get(int(session), 0.0)
            assert torch.allclose(found, torch.full((LENGTH,), expected), atol=1e-6)
        else:
            assert torch.equal(found, before[key])

    mass = sum(queue.fields[key]["advantages"].abs().sum().item() for key in kept.keys if key.startswith("u"))
    assert mass <= limit * LENGTH * sum(key.startswith(("l", "j")) for key in kept.keys) + 1e-4
    assert factor == pytest.approx(min(1.0, limit / metrics["spark/self_reward/mass_ratio"]), rel=1e-4)


@pytest.mark.parametrize(("dilute", "expected"), [(True, 4 / 9), (False, 1.0)])
def test_what_teaches_weighs_no_more_when_others_agree(queue, dilute, expected):
    """Six unlabelled groups of which one teaches, three labelled ones: as if all nine were in the batch."""
    batch, prompts = step(queue, {uid: kind for uid, kind in KINDS.items() if uid != "j0"})
    mine = rewarding(dilute=dilute)
    real = mine.controller.step

    def one_teaches(groups, number):
        found = real(groups, number)
        found.advantages = {"u0": {session: (-1.0) ** session for session in range(SAMPLES)}}
        return found

    mine.controller.step = one_teaches
    kept, metrics = mine.select(batch, prompts, 1)
    assert uids(kept) == {"l0", "l1", "l2", "u0"}
    assert metrics["spark/self_reward/dilution"] == pytest.approx(expected)
    mine.reward(kept)
    assert queue.fields["u0_0_0"]["advantages"][0].item() == pytest.approx(expected)
    assert queue.fields["l0_1_0"]["advantages"][0].item() == 1.0, "the verifier's are as they were"


def test_used_up_labels_limit_nothing(queue):
    batch, prompts = step(queue, KINDS, advantage=0.0)
    mine = rewarding()
    kept, _ = mine.select(batch, prompts, 1)
    assert mine.reward(kept)["spark/self_reward/mass_factor"] == 1.0
    assert any(queue.fields[key]["advantages"].any() for key in kept.keys if key.startswith("u"))


def test_what_is_stored_of_a_step(queue, tmp_path):
    batch, prompts = step(queue, KINDS)
    mine = rewarding()
    mine.select(batch, prompts, 7)
    mine.dump(str(tmp_path), 7)
    rows = [json.loads(line) for line in (tmp_path / "self_reward" / "7.jsonl").read_text().splitlines()]
    assert {row["uid"] for row in rows} == {uid for uid in KINDS if uid[0] in "au"}
    assert all(len(row["rewards"]) == len(row["classes"]) for row in rows)
    assert ScoredGroup.from_dict(rows[0]) == group(rows[0]["uid"], Supervision(rows[0]["supervision"]))


def test_a_trainer_takes_back_what_it_has_learned():
    config = SparkConfig(self_reward=SelfRewardConfig(enable=True))

    def make() -> SparkTrainer:
        trainer = object.__new__(SparkTrainer)
        trainer.spark, trainer.alarm, trainer.deferred = config, SelfConfirmationAlarm(2), DeferredPrompts()
        trainer.balance, trainer.self_reward = BalanceController(config), SelfRewarding(config)
        return trainer

    one, other = make(), make()
    one.balance.plan(8, 1)
    one.self_reward.controller.step({f"u{i}": group for i, group in enumerate(draw_groups(40))}, 1)
    state = json.loads(json.dumps(one._state()))
    other._restore(state)
    assert json.loads(json.dumps(other._state())) == state
    assert other.self_reward.controller.measured == one.self_reward.controller.measured is not None
