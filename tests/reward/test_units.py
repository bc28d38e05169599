"""What may follow a number."""

from __future__ import annotations

from fractions import Fraction

import pytest

from spark_verl.reward.units import measure, ratio_of, read_unit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("km/h", "kilometers per hour"),
        ("m^2", "square meters"),
        ("cm^{3}", "cc"),
        ("sq ft", "ft squared"),
        ("m/s^{2}", "m s^{-2}"),
        ("°C", "degrees Celsius"),
        ("apples", "apple"),
        ("km north", "km to the north"),
        ("平方厘米", "cm^{2}"),
        ("people", "people in total"),
    ],
)
def test_one_unit_in_two_spellings(one, other):
    assert measure(one) == measure(other)


@pytest.mark.parametrize(
    ("answer", "truth", "ratio"),
    [
        ("cm", "m", Fraction(1, 100)),
        ("km/h", "m/s", Fraction(5, 18)),
        ("h", "min", Fraction(60)),
        ("¢", "dollars", Fraction(1, 100)),
        ("", "cm", Fraction(1)),
        ("cm", "", Fraction(1)),
        ("units", "cm", Fraction(1)),
        ("square units", "cm^2", Fraction(1)),
        ("units", "cm^2", None),
        ("cm^3", "cm^2", None),
        ("kg", "m", None),
        ("°C", "°F", None),
        ("", "km north", None),
        ("km", "km north", None),
        ("km south", "km north", None),
        ("cats", "dogs", None),
        ("square", "hexagon", None),
    ],
)
def test_by_what_an_answer_is_multiplied(answer, truth, ratio):
    assert ratio_of(measure(answer), measure(truth)) == ratio


@pytest.mark.parametrize("text", ["x", " xy", " r", "m", "s", "e", " 5", "/2", "^2", " \\frac{1}{2}", " n m"])
def test_what_is_no_unit(text):
    """ "5m" and "2 r" may be algebra."""
    assert read_unit(text) is None


@pytest.mark.parametrize("word", ["w", "square ", "m/", "米"])
def test_a_long_text_that_is_no_unit_is_refused_at_once(word):
    """With a pattern that tries every way to cut it in pieces this would not end."""
    assert read_unit(f" {word * (180 // len(word))}?") is None
