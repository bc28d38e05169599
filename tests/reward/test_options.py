"""What the reward manager takes from a config and from the name of a data source."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from spark_verl.reward import RewardOptions
from spark_verl.reward.manager import objective_of, reward_options
from spark_verl.vocabulary import Objective


@pytest.mark.parametrize(
    "config", [{}, {"spark": None}, {"spark": {}}, {"spark": {"reward": None}}, {"spark": {"reward": {}}}]
)
def test_options_default(config):
    assert reward_options(OmegaConf.create(config)) == RewardOptions()


def test_options_read():
    config = OmegaConf.create({"spark": {"reward": {"timeout_s": 2, "num_workers": 4}}})
    assert reward_options(config) == RewardOptions(timeout_s=2, num_workers=4)


@pytest.mark.parametrize(
    "block, words",
    [
        ({"timeout": 2}, "timeout.*choose from"),
        ({"timeout_s": 0}, "timeout_s must be positive"),
        ({"num_workers": 0}, "num_workers"),
        ({"memory_mb": 10}, "memory_mb"),
    ],
)
def test_options_refused(block, words):
    with pytest.raises(ValueError, match=words):
        reward_options(OmegaConf.create({"spark": {"reward": block}}))


@pytest.mark.parametrize(
    "source, objective",
    [
        ("math", Objective.POLICY),
        ("", Objective.POLICY),
        ("spark_digits", Objective.POLICY),
        ("pointwise", Objective.POLICY),
        ("spark/pointwise", Objective.POINTWISE),
        ("spark/pairwise", Objective.PAIRWISE),
        ("spark/reflection", Objective.REFLECTION),
        ("spark/reflection_keep", Objective.REFLECTION),
        ("spark/of_their_own", Objective.POLICY),
    ],
)
def test_objective_of_a_data_source(source, objective):
    assert objective_of(source) is objective
