"""The spark: block: unknown keys and bad values are refused by name."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from spark_verl.config import SparkConfig, load_spark_config


def load(**spark) -> SparkConfig:
    return load_spark_config(OmegaConf.create({"spark": spark}))


@pytest.mark.parametrize(
    ("spark", "message"),
    [
        ({"enabled": True}, "spark.enabled: Key 'enabled' not in 'SparkConfig': choose from enable, seed, "),
        (
            {"pointwise": {"cot": 0.5}},
            "spark.pointwise.cot: Key 'cot' not in 'PointwiseConfig': choose from cot_share, ",
        ),
        ({"judge_prompts_per_group": "many"}, "spark.judge_prompts_per_group: Value 'many' of type 'str'"),
        ({"pointwise": 3}, "spark: Merge error: int is not a subclass of PointwiseConfig"),
        ({"judge_prompts_per_group": -1}, "spark.judge_prompts_per_group must not be negative, got -1.0"),
        ({"reflection_prompts_per_group": -1}, "spark.reflection_prompts_per_group must not be negative, got -1.0"),
        ({"poll_interval_s": 0}, "spark.poll_interval_s must be positive, got 0.0"),
        ({"check_rows": -2}, "spark.check_rows must be -1 (all rows) or more, got -2"),
        ({"alarm_window": 1}, "spark.alarm_window must be 0 (none) or at least 2, got 1"),
        ({"alarm_window": -5}, "spark.alarm_window must be 0 (none) or at least 2, got -5"),
        ({"balance": {"memory": 0}}, "spark.balance.memory must be at least 1 step, got 0.0"),
        ({"pointwise": {"cot_share": 1.5}}, "spark.pointwise.cot_share must lie between 0 and 1, got 1.5"),
        ({"pointwise": {"cot_share": float("nan")}}, "spark.pointwise.cot_share must lie between 0 and 1, got nan"),
        ({"pointwise": {"share_in_unanimous": 2}}, "spark.pointwise.share_in_unanimous must lie between 0 and 1"),
        (
            {"pointwise": {"label_forms": ["maybe"]}},
            "spark.pointwise.label_forms must name some of yes_no, a_b, got ['ma",
        ),
        ({"pointwise": {"label_forms": []}}, "spark.pointwise.label_forms must name some of yes_no, a_b, got []"),
        ({"pairwise": {"share_in_mixed": 2}}, "spark.pairwise.share_in_mixed must lie between 0 and 1, got 2.0"),
        ({"pairwise": {"max_response_length": 0}}, "length must be at least 1 (or null for data.max_response_length)"),
        ({"reflection": {"right_share": -0.1}}, "spark.reflection.right_share must lie between 0 and 1, got -0.1"),
        ({"reflection": {"n": 1}}, "spark.reflection.n must be at least 2 (or null for rollout.n), got 1"),
        ({"reward": {"timeout_s": 0}}, "spark.reward.timeout_s must be positive, got 0.0"),
        ({"reward": {"num_workers": 0}}, "spark.reward.num_workers must be at least 1, got 0"),
        (
            {"reward": {"fallbacks": ["tea_leaves"]}},
            "spark.reward.fallbacks must name some of answer_tag, answer_line, ",
        ),
        ({"reward": {"overlong_buffer": -1}}, "spark.reward.overlong_buffer must not be negative, got -1"),
        ({"reward": {"overlong_penalty": -1}}, "spark.reward.overlong_penalty must not be negative, got -1.0"),
        (
            {"reward": {"memory_mb": 100}},
            "spark.reward.memory_mb must be 0 (no limit) or at least 512 (sympy alone needs",
        ),
    ],
    ids=str,
)
def test_bad_blocks_are_refused_by_name_value_and_what_is_allowed(spark, message):
    with pytest.raises(ValueError) as caught:
        load(**spark)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value), "one line"


@pytest.mark.parametrize(
    "spark",
    [
        {"check_rows": -1, "alarm_window": 0, "pointwise": {"share_in_unanimous": 0, "label_forms": ["a_b", "yes_no"]}},
        {"alarm_window": 2, "pairwise": {"n": 2, "max_response_length": 1}, "reward": {"memory_mb": 0}},
        {"reward": {"fallbacks": ["last_number", "hashes"], "memory_mb": 512, "format_bonus": -1}},
    ],
)
def test_the_ends_of_what_is_allowed(spark):
    read = OmegaConf.structured(load(**spark))
    assert OmegaConf.merge(read, spark) == read


def test_a_missing_block_says_what_to_add():
    with pytest.raises(ValueError, match="defaults list"):
        load_spark_config(OmegaConf.create({}))


@pytest.mark.parametrize(
    ("spark", "forms"),
    [
        ({}, {("pointwise", "yes_no"), ("pairwise", "a_b"), ("reflection", "free")}),
        ({"reflection_prompts_per_group": 0}, {("pointwise", "yes_no"), ("pairwise", "a_b")}),
        ({"judge_prompts_per_group": 0}, {("reflection", "free")}),
        (
            {"pairwise": {"share_in_mixed": 0}, "pointwise": {"label_forms": ["a_b"]}},
            {("pointwise", "a_b"), ("reflection", "free")},
        ),
    ],
)
def test_used_label_forms(spark, forms):
    assert set(load(**spark).used_label_forms()) == forms


def test_weights():
    config = load(policy_weight=0.5, pairwise={"weight": 2.0})
    assert [config.weight_of(o) for o in ("policy", "pointwise", "pairwise", "reflection")] == [0.5, 1.0, 2.0, 1.0]
