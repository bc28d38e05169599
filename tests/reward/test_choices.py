"""Options and letters, in the forms in which data sets and models write them."""

from __future__ import annotations

import numpy as np
import pytest

from spark_verl.reward.choices import is_letter_set, option, options, several_letters


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (None, {}),
        ("red", {}),
        ([], {}),
        ({}, {}),
        (["red", "blue"], {"A": "red", "B": "blue"}),
        (("red", "blue"), {"A": "red", "B": "blue"}),
        (np.array(["red", "blue"], dtype=object), {"A": "red", "B": "blue"}),
        (["A. red", "B) blue"], {"A": "red", "B": "blue"}),
        (["B. red", "A. blue"], {"A": "B. red", "B": "A. blue"}),
        ([1, 2.5], {"A": "1", "B": "2.5"}),
        ({"A": "red", "B": None}, {"A": "red"}),
        ({"(a)": "red", "b.": "blue"}, {"A": "red", "B": "blue"}),
    ],
)
def test_options(choices, expected):
    assert options(choices) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", ("B", "")),
        ("(b)", ("B", "")),
        ("[C]. red", ("C", "red")),
        ("The answer is D", ("D", "")),
        ("A. 42", ("A", "42")),
        ("A circle", None),
        ("K", None),
        ("", None),
    ],
)
def test_option(text, expected):
    assert option(text) == expected


@pytest.mark.parametrize(
    ("text", "letters", "is_set"),
    [
        ("A, C", "AC", True),
        ("AC", "AC", True),
        ("A and C", "AC", True),
        ("(A; B; D)", "ABD", True),
        ("CA", "AC", False),
        ("AA", "A", False),
        ("a and c", "AC", False),
        ("A", None, False),
        ("A or C", None, False),
        ("Art", None, False),
    ],
)
def test_several_letters(text, letters, is_set):
    assert several_letters(text) == (None if letters is None else frozenset(letters))
    assert is_letter_set(text) is is_set
