"""Held-out accuracy: how many prompts are behind it, and how certain it is."""

from __future__ import annotations

import pytest

from spark_verl.report.heldout import held_out, source_sizes


@pytest.mark.parametrize(
    ("in_files", "dumped", "dumped_sources", "expected", "why"),
    [
        ({}, {}, {}, {}, "nothing is known"),
        ({"spark/reflection": 100, "spark/reflection_keep": 60}, {}, {}, {"r": 100, "k": 60}, "the data files tell"),
        ({}, {"reflection": 160}, {}, {}, "two sources, one count: cannot be told"),
        ({}, {}, {"spark/reflection": 90}, {"r": 90}, "the dump tells"),
        ({"spark/reflection": 100}, {}, {"spark/reflection": 90}, {"r": 90}, "the dump is what was validated"),
        ({"other": 5}, {"pairwise": 4}, {}, {}, "of sources that were not validated"),
    ],
)
def test_prompts_of_a_source(in_files, dumped, dumped_sources, expected, why):
    names = {"r": "spark/reflection", "k": "spark/reflection_keep"}
    expected = {names[short]: count for short, count in expected.items()}
    assert source_sizes(names.values(), in_files, dumped, dumped_sources) == expected, why


def test_a_mean_over_sources_is_as_certain_as_its_smallest_lets_it():
    steps = {0: {"val-core/a/acc/mean@1": 0.4, "val-core/b/acc/mean@1": 0.6}}
    (large,), (small,) = (held_out(steps, {"a": 1000, "b": n})["policy_acc"] for n in (1000, 10))
    assert large.share == small.share == pytest.approx(0.5)
    assert large.prompts == 2000 and small.prompts == 1010
    assert {name: (part.share, part.prompts) for name, part in small.sources.items()} == {
        "a": (0.4, 1000),
        "b": (0.6, 10),
    }

    def width(point):
        return point.bounds[2] - point.bounds[1]

    assert width(small) > 3 * width(large)


@pytest.mark.parametrize("share", [-0.2, 1.7])
def test_a_score_that_is_no_share_has_no_interval(share):
    (point,) = held_out({0: {"val-core/a/acc/mean@1": share}}, {"a": 10})["policy_acc"]
    assert point.bounds is None
