"""Options and letters, in the forms in which data sets and models write them."""

from __future__ import annotations

import numpy as np
import pytest

from spark_verl.reward.choices import is_letter_set, option, options, several_letters
from spark_verl.reward.equality import compare


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


@pytest.mark.parametrize(
    "answer, truth, correct",
    [
        ("42", "B", True),
        ("41", "B", False),
        ("42.0", "B", True),
        ("B", "42", True),
        ("A", "42", False),
        ("(B) 42", "B", True),
        ("A", "B", False),
    ],
)
@pytest.mark.parametrize(
    "choices", [["41", "42"], ["A. 41", "B. 42"], {"A": "41", "B": "42"}, {"(A)": "41", "(B)": "42"}]
)
def test_options_given(answer, truth, correct, choices):
    assert compare(answer, truth, choices=choices) is correct


SPELLED = ["impossible", "T", "M", "H", "P"]
LETTERS_AS_TEXT = ["A", "B", "D", "F", "G"]


@pytest.mark.parametrize(
    "answer, truth, choices, correct",
    [
        ("H", "D", SPELLED, True),
        ("T", "C", SPELLED, False),
        ("G", "E", LETTERS_AS_TEXT, True),
        ("E", "E", LETTERS_AS_TEXT, True),
        ("3/4", "A", ["3:4", "4:3"], True),
        ("4/3", "A", ["3:4", "4:3"], False),
        ("0.5", "B", ["1/3", "1/2"], True),
        ("red or blue", "A", ["red", "blue"], False),
        ("(A), (B)", "A", ["red", "blue"], False),
        ("A. blue", "A", ["red", "blue"], True),
        ("2", "A", ["2.0", "2"], False),
        (r"2\sqrt{3}", "A", [r"\sqrt{12}", "3"], True),
    ],
)
def test_options_in_other_spellings(answer, truth, choices, correct):
    """The text of another option, letter by letter, is that option."""
    assert compare(answer, truth, choices=choices) is correct
