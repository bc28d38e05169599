"""The spark: block: defaults agree with the yaml, unknown keys and bad values are refused by name."""

from __future__ import annotations

import dataclasses
from importlib.resources import files

import pytest
from omegaconf import OmegaConf

from spark_verl.config import SparkConfig, load_spark_config


def load(**spark) -> SparkConfig:
    return load_spark_config(OmegaConf.create({"spark": spark}))


def test_yaml_and_dataclass_have_the_same_keys_and_defaults():
    block = OmegaConf.load(str(files("spark_verl.config") / "spark.yaml")).spark
    assert load_spark_config(OmegaConf.create({"spark": block})) == SparkConfig()
    missing = set(f.name for f in dataclasses.fields(SparkConfig)) - set(block)
    assert not missing, "every field stands in the documented yaml"
    for part in ("pointwise", "pairwise", "reflection", "reward"):
        assert set(block[part]) == {f.name for f in dataclasses.fields(getattr(SparkConfig(), part))}


@pytest.mark.parametrize(
    ("spark", "message"),
    [
        ({"enabled": True}, "enabled"),
        ({"pointwise": {"cot": 0.5}}, "pointwise"),
        ({"judge_prompts_per_group": -1}, "judge_prompts_per_group"),
        ({"judge_prompts_per_group": "many"}, "judge_prompts_per_group"),
        ({"pointwise": {"cot_share": 1.5}}, "pointwise.cot_share"),
        ({"pointwise": {"label_forms": ["maybe"]}}, "label_forms"),
        ({"pointwise": {"label_forms": []}}, "label_forms"),
        ({"pairwise": {"share_in_mixed": 2}}, "pairwise.share_in_mixed"),
        ({"reflection": {"right_share": -0.1}}, "reflection.right_share"),
        ({"reflection": {"n": 1}}, "reflection.n"),
        ({"poll_interval_s": 0}, "poll_interval_s"),
    ],
)
def test_bad_blocks_are_refused_by_name(spark, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(**spark)
    assert "\n" not in str(caught.value), "one line"


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
