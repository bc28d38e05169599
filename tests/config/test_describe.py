"""Every option says what it means, and the files that are written from these descriptions are current."""

from __future__ import annotations

import pytest
import yaml
from omegaconf import OmegaConf

from spark_verl.config import SparkConfig, describe


def test_every_option_is_explained_in_words_that_fit_a_table():
    for one in describe.options(SparkConfig()):
        assert one.meaning and "|" not in one.meaning and not one.meaning.endswith("."), one.path


@pytest.mark.parametrize(
    ("path", "text"),
    [(describe.YAML, describe.as_yaml()), (describe.DOCS, describe.as_markdown())],
    ids=["yaml", "docs"],
)
def test_what_is_written_is_current(path, text):
    assert path.read_text(encoding="utf-8") == text, "run: python -m spark_verl.config.describe"


def test_the_yaml_has_the_defaults_and_their_types():
    """0 is not false, and 1 is not 1.0: they are equal in Python."""
    block = yaml.safe_load(describe.as_yaml())["spark"]
    expected = OmegaConf.to_container(OmegaConf.structured(SparkConfig()))
    assert repr(block) == repr(expected)


def test_no_line_of_the_yaml_is_too_long():
    assert max(map(len, describe.as_yaml().splitlines())) <= 120
