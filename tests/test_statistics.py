"""Intervals against scipy and against published figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from spark_verl.statistics import effective, newcombe, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (7, 10), (286, 300), (1, 1000)])
def test_wilson_is_scipys(right, n):
    expected = binomtest(right, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_difference_is_newcombes(first, second, low, high):
    after, before = ((k / n, *wilson(k / n, n)) for k, n in (first, second))
    change, found_low, found_high = newcombe(before, after)
    assert change == pytest.approx(first[0] / first[1] - second[0] / second[1])
    assert (found_low, found_high) == pytest.approx((low, high), abs=1e-4)


def test_no_observation_has_no_interval():
    with pytest.raises(ValueError, match="at least one observation"):
        wilson(0.5, 0)


@given(st.integers(0, 500), st.integers(1, 500))
def test_an_interval_holds_its_share(right, n):
    share = min(right, n) / n
    low, high = wilson(share, n)
    assert 0 <= low <= share + 1e-12 and share - 1e-12 <= high <= 1


@pytest.mark.parametrize(("sizes", "expected"), [([300], 300), ([100, 100], 200), ([10, 1_000_000], 40)])
def test_effective_size_of_a_mean_over_sources(sizes, expected):
    assert effective(sizes) == pytest.approx(expected, rel=1e-4)
