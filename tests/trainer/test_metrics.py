"""What the metrics say of rows whose answers, labels and verdicts are known."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta

from spark_verl.config import SparkConfig
from spark_verl.config.schema import PairwiseConfig
from spark_verl.rollout.tags import put_row
from spark_verl.trainer import batch as batch_module
from spark_verl.trainer import metrics
from spark_verl.vocabulary import POLICY, LabelForm, Objective, RowTag, Source

POINTWISE = RowTag(Objective.POINTWISE, Source.ANSWER, LabelForm.YES_NO, "right", "a", True, shown_step=6)
REFLECTION = RowTag(Objective.REFLECTION, Source.COT, LabelForm.FREE, "wrong", "a", shown_step=7)

LIMITS = {Objective.POLICY: 3, Objective.POINTWISE: 2, Objective.REFLECTION: 2}


def row(uid: str, tag: RowTag, score: float, status: str = "ok", answer: str | None = "4", label: str = "4", **more):
    return {
        "uid": uid,
        "tag": tag,
        "score": score,
        "label": label,
        "info": {"status": status, "answer": answer, **more},
    }


ROWS = [
    row("a", POLICY, 1.0, verify_s=0.2, symbolic=True),
    row("a", POLICY, 0.0, answer="5", verify_s=0.4, symbolic=False),
    row("b", POLICY, 0.0, "unparsable", None),
    row("b", POLICY, 0.0, "timeout", "x"),
    row("j", POINTWISE, 1.0, answer="Yes", label="Yes"),
    row("j", POINTWISE, 0.0, answer="No", label="Yes"),
    row("j", POINTWISE, 0.0, "unparsable", None, label="Yes"),
    row("k", POINTWISE, 1.0, answer="No", label="No"),
    # The bonus for a box is in the score, not in the accuracy.
    row("r", REFLECTION, 1.1, acc=1.0),
]


@pytest.fixture
def batch(monkeypatch) -> KVBatchMeta:
    rows = [*ROWS, {**ROWS[0], "padding": True}]
    keys = [f"{each['uid']}_{i}_0" for i, each in enumerate(rows)]
    stored = dict(zip(keys, rows, strict=True))

    class Queue:
        @staticmethod
        def kv_batch_get(keys, partition_id, select_fields):
            found = [stored[key] for key in keys]
            return {
                "rm_scores": torch.nested.as_nested_tensor(
                    [torch.tensor([0.0, each["score"]]) for each in found], layout=torch.jagged
                ),
                "extra_fields": [{"reward_extra_info": each["info"]} for each in found],
                "reward_model": [{"ground_truth": each["label"]} for each in found],
            }

    monkeypatch.setattr(batch_module, "tq", Queue)
    tags = [
        put_row(
            {"response_len": 2, "seq_len": 5, "global_steps": 7, "is_padding": each.get("padding", False)}, each["tag"]
        )
        for each in rows
    ]
    return KVBatchMeta(partition_id="train", keys=keys, tags=tags)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark/policy/count", 4),
        ("spark/policy/groups", 2),
        ("spark/policy/acc", 1 / 4),
        ("spark/policy/parse_rate", 3 / 4),
        ("spark/policy/zero_variance_rate", 1 / 2),
        ("spark/policy/cut_rate", 0.0),
        ("spark/judge/pointwise/cut_rate", 1.0),
        ("spark/judge/pointwise/count", 4),
        ("spark/judge/pointwise/acc", 2 / 4),
        ("spark/judge/pointwise/yes_rate", 1 / 3),
        ("spark/judge/pointwise/label_yes_rate", 1 / 2),
        ("spark/judge/reflection/acc", 1.0),
        ("spark/judge_row_share", 5 / 9),
        # Four of the five rows show rollouts of the step before.
        ("spark/judge/age", 4 / 5),
        ("spark/verify/unparsable_rate", 2 / 9),
        ("spark/verify/timeout_rate", 1 / 9),
        ("spark/verify/error_rate", 0),
        ("spark/verify/symbolic_rate", 1 / 2),
        ("spark/verify/seconds/mean", 0.3),
        ("spark/verify/seconds/max", 0.4),
    ],
)
def test_each_metric(batch, name, value):
    assert metrics.row_metrics(batch, LIMITS)[name] == pytest.approx(value)


def test_reflections_have_no_yes_rate(batch):
    found = metrics.row_metrics(batch, LIMITS)
    assert not any("reflection" in name and "_rate" in name and "yes" in name for name in found)


def test_a_judge_may_have_a_limit_of_its_own():
    config = OmegaConf.create({"data": {"max_response_length": 64}})
    limits = metrics.response_limits(config, SparkConfig(pairwise=PairwiseConfig(max_response_length=8)))
    assert limits == {"policy": 64, "pointwise": 64, "pairwise": 8, "reflection": 64}


def test_throughput_counts_real_rows_only(batch):
    found = metrics.overall_metrics(batch, {"step": 2.0, "gen": 1.0, "update_actor": 0.5}, n_gpus=2)
    assert found["perf/total_num_tokens"] == 5 * 9 and found["perf/throughput"] == pytest.approx(45 / 4)
    assert found["timing_per_token_ms/gen"] == pytest.approx(1000 / 18)
    assert found["timing_per_token_ms/update_actor"] == pytest.approx(500 / 45)
    assert found["spark/padding_rows"] == 1
