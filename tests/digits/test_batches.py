"""Batches: words are tokenised as the whole text would be, and rows are divided evenly."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.digits.architecture import random_model
from spark_verl.digits.batches import BatchBuilder, shares
from spark_verl.digits.demonstrations import CAREFUL_SHARES, TEMPLATES, draw_demonstration
from spark_verl.digits.tokenizer import build_processor
from spark_verl.judge.templates import TemplateSet


@pytest.fixture(scope="module")
def templates() -> TemplateSet:
    return TemplateSet.load(TEMPLATES)


@pytest.fixture(scope="module")
def builder(templates) -> BatchBuilder:
    processor = build_processor(templates)
    return BatchBuilder(processor, random_model(processor, 0))


def test_words_are_tokenised_as_the_whole_text_is(templates, builder) -> None:
    rng = Random(6)
    drawn = [draw_demonstration(rng, templates, CAREFUL_SHARES) for _ in range(500)]
    for demonstration, (tokens, prompt) in zip(drawn, builder.encode(drawn), strict=True):
        text = builder.prompt_text(demonstration.prompt, demonstration.question.image_count)
        assert tokens[:prompt] == builder.tokenizer(text)["input_ids"]
        assert tokens[prompt:] == [*builder.tokenizer(demonstration.response)["input_ids"], builder.end_id]


def padded(lengths: list[int], parts: list[list[int]]) -> int:
    """Most tokens in a part."""
    return max(len(part) * max((lengths[row] for row in part), default=0) for part in parts)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 5))
def test_every_row_is_in_one_part(lengths: list[int], size: int) -> None:
    parts = shares(lengths, size)
    assert len(parts) == size and sorted(sum(parts, [])) == list(range(len(lengths)))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 3))
def test_no_division_has_a_smaller_largest_part(lengths: list[int], size: int) -> None:
    rows = range(len(lengths))
    best = min(
        padded(lengths, [[row for row in rows if part_of[row] == part] for part in range(size)])
        for part_of in product(range(size), repeat=len(lengths))
    )
    assert padded(lengths, shares(lengths, size)) == best


def test_a_part_is_padded_to_its_own_longest(templates, builder) -> None:
    rng = Random(7)
    drawn = [draw_demonstration(rng, templates, CAREFUL_SHARES) for _ in range(8)]
    encoded = builder.encode(drawn)
    batch = builder.build(drawn, encoded)
    for part in shares(batch.lengths, 2):
        found, expected = batch.rows(part), builder.build([drawn[i] for i in part], [encoded[i] for i in part])
        for name in ("ids", "positions", "targets", "tiles"):
            assert getattr(found, name).equal(getattr(expected, name)), name
