"""Which option an answer names, above all among options that are nearly the same."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_verl.evaluation.benchmarks.multiple_choice import right_option, score_choice
from spark_verl.reward.choices import option_letter
from spark_verl.reward.text import canonical, squash

DIRECTIONS = ["45° east by north", "45° east by south", "45° west by south"]
ORDERS = ["5-4-3-2-1", "5-2-3-1-4", "5-2-3-4-1"]
PAIRS = ["3000, 4000", "4000, 3000", "300, 400"]
ROMAN = ["I", "II", "III", "IV", "none of them"]
LETTERS = ["C", "B", "A"]
CASES = ["h", "H", "r"]
POLAR = ["Yes", "No", "No correct answer"]
PLAIN = ["40°", "60°", "No correct answer"]


@pytest.mark.parametrize(
    ("options", "truth", "answer", "correct", "reason"),
    [
        (PLAIN, "B", "B", True, "the letter"),
        (PLAIN, "B", "(b)", True, "the letter in brackets"),
        (PLAIN, "B", "B. 60°", True, "letter and text"),
        (PLAIN, "B", "60°", True, "the text"),
        (PLAIN, "B", "60 degrees", True, "an equal text"),
        (PLAIN, "B", "60.0", True, "an equal value"),
        (PLAIN, "B", "40", False, "another option's value"),
        (PLAIN, "B", "50", False, "no option's value"),
        (PLAIN, "C", "no correct answer", True, "other capitals"),
        (PLAIN, "B", "F", False, "no option's letter"),
        (PLAIN, "B", "A and B", False, "two options"),
        (DIRECTIONS, "B", "45° east by south", True, "the very text"),
        (DIRECTIONS, "B", "45° east by north", False, "another option's text, equal up to its words"),
        (DIRECTIONS, "B", "45°", False, "fits every option"),
        (ORDERS, "B", "5-2-3-1-4", True, "the very text"),
        (ORDERS, "B", "5-4-3-2-1", False, "another order, equal as a difference"),
        (PAIRS, "A", "3000,4000", True, "spaces mean nothing"),
        (PAIRS, "A", "4000, 3000", False, "the other order"),
        (PAIRS, "A", "{4000, 3000}", False, "fits two options as a set"),
        (ROMAN, "A", "I", True, "a text that looks like a letter"),
        (ROMAN, "A", "II", False, "another Roman number"),
        (ROMAN, "A", "E", False, "the letter E is an option's"),
        (LETTERS, "A", "A", True, "the letter, though it is another option's text"),
        (LETTERS, "A", "C", False, "a letter first of all"),
        (CASES, "A", "h", True, "capitals tell options apart"),
        (CASES, "A", "H", False, "capitals tell options apart"),
        (POLAR, "B", "No", True, "the very text"),
        (POLAR, "B", "No correct answer", False, "starts with the right one"),
    ],
)
def test_score_choice(options: list[str], truth: str, answer: str, correct: bool, reason: str) -> None:
    choices = dict(zip("ABCDE", options, strict=False))
    found = asyncio.run(score_choice(f"So \\boxed{{{answer}}}", truth, choices))
    assert found.correct == correct, reason


@pytest.mark.parametrize("response", ["The answer is B", "\\boxed{}", "\\boxed{B", ""])
def test_without_a_box_there_is_no_answer(response: str) -> None:
    found = asyncio.run(score_choice(response, "B", {"A": "1", "B": "2"}))
    assert (found.status, found.correct) == ("unparsable", False)


WORDS = st.text("abcdefgh ijklm0123456789.,-°", min_size=2).map(str.strip).filter(lambda text: len(text) > 1)


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, min_size=2, max_size=5, unique=True), st.data())
def test_the_text_of_a_wrong_option_is_never_right(options: list[str], data: st.DataObject) -> None:
    choices = dict(zip("ABCDE", options, strict=False))
    truth, named = (data.draw(st.sampled_from(sorted(choices))) for _ in range(2))
    found = asyncio.run(score_choice(f"\\boxed{{{choices[named]}}}", truth, choices))
    if found.correct:
        same = squash(canonical(choices[named])).casefold() == squash(canonical(choices[truth])).casefold()
        assert named == truth or same or option_letter(canonical(choices[named])) == truth


@pytest.mark.parametrize(
    ("options", "truth", "letter", "reason"),
    [
        (PLAIN, "B", "B", "the letter"),
        (PLAIN, "(B)", "B", "in brackets"),
        (PLAIN, " [B] ", "B", "in other brackets"),
        (PLAIN, "B.", "B", "with a full stop"),
        (PLAIN, "B. 60°", "B", "letter and text"),
        (PLAIN, "Option B", "B", "in words"),
        (PLAIN, "\\text{B}", "B", "in LaTeX"),
        (PLAIN, "60°", "B", "the text"),
        (PLAIN, "60^\\circ", "B", "the text in LaTeX"),
        (PLAIN, "60", "B", "the value of one option"),
        (PLAIN, "no correct answer", "C", "other capitals"),
        (PLAIN, "50°", None, "no option"),
        (PLAIN, "F", None, "no option's letter"),
        (PLAIN, "AB", "A, B", "two letters"),
        (PLAIN, "A and C", "A, C", "two letters in words"),
        (PLAIN, "CAB", None, "a word of such letters"),
        (DIRECTIONS, "45°", None, "fits every option"),
        (PAIRS, "{4000, 3000}", None, "fits two options"),
        (ROMAN, "I", "A", "a text that looks like a letter"),
        (LETTERS, "A", "A", "a letter first of all"),
        (CASES, "H", "B", "capitals tell options apart"),
        (["DE", "AB"], "AB", "B", "a text that looks like two letters"),
        (POLAR, "No", "B", "the very text, though another starts with it"),
    ],
)
def test_right_option(options: list[str], truth: str, letter: str | None, reason: str) -> None:
    assert right_option(truth, dict(zip("ABCDE", options, strict=False))) == letter, reason
