"""Plans at random, the generators behind them, and the example that the documentation shows."""

from __future__ import annotations

import doctest
import random

import pytest

from spark_verl.judge import RolloutGroup, build_judge_prompts
from spark_verl.judge.build import group_rng
from spark_verl.judge.plan import draw_count


@pytest.mark.parametrize("expected", [0.0, 0.25, 0.5, 1.0, 1.75])
def test_budget_is_met_in_expectation(expected):
    counts = [draw_count(expected, random.Random(seed)) for seed in range(4000)]
    assert sum(counts) / len(counts) == pytest.approx(expected, abs=0.03)
    assert max(counts) - min(counts) <= 1


def test_group_rng_differs_between_neighbours():
    groups = [RolloutGroup("uid", [], "7", index=i, step=s, rollouts=()) for i in range(30) for s in range(30)]
    assert len({group_rng(0, group).random() for group in groups}) == 900


def test_the_documented_example_runs(tokenizer):
    finder = doctest.DocTestFinder()
    runner = doctest.DocTestRunner()
    for test in finder.find(build_judge_prompts, globs={"tokenizer": tokenizer}):
        runner.run(test)
    assert runner.summarize().attempted > 5
    assert runner.summarize().failed == 0
