"""The questions of a step where some have no ground truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
from torchdata.stateful_dataloader import StatefulDataLoader

from spark_verl.config.schema import SelfRewardConfig
from spark_verl.self_reward.questions import divide
from spark_verl.trainer.mixture import MixtureSampler, NumberedDataset
from spark_verl.vocabulary import Supervision

ON = SelfRewardConfig(enable=True)
L, A, U = Supervision.LABELLED, Supervision.AUDIT, Supervision.UNLABELLED


def test_audit_rows_are_a_share_of_the_labelled_ones():
    found = divide([True] * 100 + [False] * 300, ON, seed=0)
    assert Counter(found) == {L: 80, A: 20, U: 300}
    assert found == divide([True] * 100 + [False] * 300, ON, seed=0) != divide([True] * 100 + [False] * 300, ON, seed=1)


@pytest.mark.parametrize(
    ("truths", "config", "message"),
    [
        ([True] * 10, ON, "every training row has a ground truth"),
        ([True] * 50 + [False], ON, "give 10 audit questions, and the judge is measured on at least 12"),
        ([False] * 50, ON, "spark.self_reward.gate=false"),
        ([True] * 90 + [False], replace(ON, unlabelled_share=1.0), "leaves no place for audit questions"),
    ],
)
def test_what_cannot_be_met_is_said(truths, config, message):
    with pytest.raises(ValueError, match=message):
        divide(truths, config, seed=0)


def test_without_gate_and_posterior_nothing_is_set_aside():
    config = replace(ON, gate=False, reward="majority")
    assert Counter(divide([False] * 50, config, seed=0)) == {U: 50}
    assert Counter(divide([True] * 5 + [False] * 50, config, seed=0)) == {L: 5, U: 50}


def kinds(config: SelfRewardConfig, batches: int, size: int = 10, skip: int = 0) -> list[Counter]:
    supervision = divide([True] * 100 + [False] * 1000, config, seed=0)
    stream = MixtureSampler(supervision, size, config, seed=0).stream()
    return [Counter(supervision[row] for row in islice(stream, size)) for _ in range(skip + batches)][skip:]


def test_audit_rows_stand_in_until_the_gate_can_open():
    found = kinds(ON, 20)
    # 5 unlabelled places and one audit place a batch: 30 audit groups after 5 batches.
    assert all(batch[U] == 0 and batch[A] == 6 and batch[L] == 4 for batch in found[:5])
    assert all(batch[U] == 5 and batch[A] == 1 and batch[L] == 4 for batch in found[5:])


@pytest.mark.parametrize(("share", "audit"), [(0.0, 0.2), (0.35, 0.15), (0.9, 0.5)])
def test_shares_hold_in_the_long_run(share, audit):
    found = sum(kinds(replace(ON, unlabelled_share=share, audit_share=audit), 200, skip=30), Counter())
    assert found[U] / 2000 == pytest.approx(share, abs=0.02)
    assert found[A] / (found[A] + found[L]) == pytest.approx(audit, abs=0.02)


def test_each_kind_is_gone_through_before_a_row_comes_again():
    supervision = divide([True] * 100 + [False] * 200, ON, seed=0)
    stream = MixtureSampler(supervision, 10, ON, seed=0).stream()
    labelled = [row for row in islice(stream, 2000) if supervision[row] is L]
    assert all(len(set(part)) == len(part) for part in zip(*[iter(labelled)] * 80, strict=False))


class Rows(list):
    """A data set."""


def loader(batch_size: int = 10) -> StatefulDataLoader:
    supervision = divide([True] * 70 + [False] * 40, ON, seed=0)
    data = NumberedDataset(Rows({"row": i} for i in range(110)), supervision)
    sampler = MixtureSampler(supervision, batch_size, ON, seed=0)
    return StatefulDataLoader(data, batch_size, sampler=sampler, drop_last=True, collate_fn=list)


def test_rows_are_numbered_where_all_are_labelled():
    assert NumberedDataset(Rows({"row": i} for i in range(3)))[2] == {"row": 2, "spark_row": 2}


def test_it_goes_on_in_the_middle_of_an_epoch():
    whole = loader()
    expected = [[row["row"] for row in batch] for _ in range(3) for batch in whole]
    broken, seen = loader(), []
    state = None
    for _ in range(3):
        for batch in broken:
            seen.append([row["row"] for row in batch])
            state = broken.state_dict()
            if len(seen) == 16:
                break
        if len(seen) == 16:
            break
    resumed = loader()
    resumed.load_state_dict(state)
    for _ in range(2):
        seen += [[row["row"] for row in batch] for batch in resumed]
    assert len(expected) == 33
    assert seen == expected


def test_rows_say_what_they_are_for():
    rows = [row for batch in loader() for row in batch]
    supervision = divide([True] * 70 + [False] * 40, ON, seed=0)
    assert all(row["spark_supervision"] == supervision[row["row"]].value for row in rows)
    assert all(row["spark_row"] == row["row"] for row in rows)
