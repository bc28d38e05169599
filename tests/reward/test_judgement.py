r"""parse_judgement: a table of verdicts as models write them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.reward import parse_judgement

YES_NO = [
    (r"\boxed{Yes}", "Yes", "plain"),
    (r"\boxed{No}", "No", "plain"),
    (r"\boxed{yes}", "Yes", "lower case"),
    (r"\boxed{NO.}", "No", "capitals, full stop"),
    (r"\boxed{\text{Yes}}", "Yes", "text"),
    (r"\boxed{\textbf{No}}", "No", "bold"),
    (r"\boxed{**Yes**}", "Yes", "markdown"),
    (r"$\boxed{\mathrm{Yes}}$", "Yes", "upright"),
    (r"\boxed{Correct}", "Yes", "correct"),
    (r"\boxed{incorrect}", "No", "incorrect"),
    (r"\boxed{Wrong}", "No", "wrong"),
    (r"\boxed{right}", "Yes", "right"),
    (r"\boxed{True}", "Yes", "true"),
    (r"\boxed{False}", "No", "false"),
    (r"\boxed{not correct}", "No", "negated"),
    (r"\boxed{The answer is not right}", "No", "negated in a sentence"),
    (r"\boxed{Yes, the answer is correct}", "Yes", "with a reason"),
    (r"\boxed{No, the correct answer is 12}", "No", "the reason mentions correct"),
    (r"\boxed{Yes, there is no error}", "Yes", "the reason has a no later on"),
    (r"\boxed{Yes/No}", None, "both"),
    (r"\boxed{Yes or No}", None, "both"),
    (r"\boxed{Yes and No}", None, "both"),
    (r"\boxed{Yes, No}", None, "both"),
    (r"\boxed{correct and incorrect}", None, "both"),
    (r"\boxed{12}", None, "an answer is no verdict"),
    (r"\boxed{maybe}", None, "neither"),
    (r"\boxed{}", None, "empty"),
    (r"\boxed{Yes", None, "cut off"),
    (r"\boxed{Note}", None, "no is not a word here"),
    (r"\boxed{Yes} \boxed{No}", "No", "the last box"),
    (r"No, that is wrong. \boxed{Yes}", "Yes", "the box comes first"),
    (r"Yes. \boxed{12}", None, "a box that is no verdict decides too"),
    ("Yes", "Yes", "bare"),
    ("**No**", "No", "bare, bold"),
    ("The sum is 12.\nYes.", "Yes", "last line"),
    ("Verdict: incorrect", "No", "cue"),
    ("The answer is no", "No", "cue with is"),
    ("Judgement: **Yes**\nThanks for reading along", "Yes", "cue before the last line"),
    ("The proposed answer is correct.", "Yes", "sentence"),
    ("The proposed answer is incorrect.", "No", "sentence, negative"),
    ("It is hard to say", None, "neither"),
    ("So the response is correct, since 5 + 7 = 12.", "Yes", "sentence with a reason"),
    ("This is wrong.", "No", "it"),
    ("That's right.", "Yes", "short form"),
    ("The answer is clearly incorrect because 5 + 7 = 12", "No", "adverb, reason"),
    ("Correct.", "Yes", "one word"),
    ("Therefore, the correct answer is 12.", None, "correct says nothing about the candidate"),
    ("The proposed answer does not match the correct answer.", None, "nor here"),
    ("The answer is not quite right.", "No", "negated with an adverb"),
    ("The answer is not wrong.", None, "negated twice"),
    ("First we note that the base is a right triangle", None, "cut off at another right"),
    ("it is a right triangle", None, "another right"),
    ("The response has no errors", None, "another no"),
    (r"\boxed{does not match the correct answer}", "No", "negated at a distance"),
    (r"\boxed{partially correct}", None, "half a yes"),
    (r"\boxed{mostly right}", None, "most of one"),
    (r"\boxed{Yes, partially}", None, "a yes taken back"),
    (r"\boxed{No, it is only partially correct}", "No", "a no that says why"),
    (r"\boxed{是}", "Yes", "Chinese"),
    (r"\boxed{否}", "No", "Chinese"),
    (r"\boxed{正确}", "Yes", "correct in Chinese"),
    (r"\boxed{不正确}", "No", "and incorrect"),
    (r"\boxed{错误}", "No", "and wrong"),
    (r"\boxed{是否}", None, "whether"),
    (r"\boxed{部分正确}", None, "half a yes in Chinese"),
    ("It adds up. [[Yes]]", "Yes", "double brackets"),
    ("[[maybe]]", None, "double brackets around no verdict"),
    ("", None, "nothing"),
]

A_B = [
    (r"\boxed{A}", "A", "plain"),
    (r"\boxed{B}", "B", "plain"),
    (r"\boxed{a}", "A", "lower case"),
    (r"\boxed{(b)}", "B", "brackets"),
    (r"\boxed{(A)}", "A", "brackets"),
    (r"\boxed{[B]}", "B", "square brackets"),
    (r"\boxed{A.}", "A", "full stop"),
    (r"\boxed{\text{B}}", "B", "text"),
    (r"\boxed{\textbf{(A)}}", "A", "bold, brackets"),
    (r"\boxed{Answer B}", "B", "answer"),
    (r"\boxed{Answer: A}", "A", "answer with a colon"),
    (r"\boxed{Option A}", "A", "option"),
    (r"\boxed{Candidate B}", "B", "candidate"),
    (r"\boxed{The better response is A}", "A", "sentence"),
    (r"\boxed{A (correct)}", "A", "with its meaning"),
    (r"\boxed{B (incorrect)}", "B", "with its meaning"),
    (r"\boxed{A (incorrect)}", None, "says two things"),
    (r"\boxed{A is correct}", "A", "short sentence"),
    (r"\boxed{B is the correct one}", "B", "short sentence"),
    (r"\boxed{A and B}", None, "both"),
    (r"\boxed{A, B}", None, "both"),
    (r"\boxed{A/B}", None, "both"),
    (r"\boxed{AB}", None, "both"),
    (r"\boxed{both}", None, "both in words"),
    (r"\boxed{neither}", None, "neither"),
    (r"\boxed{C}", None, "another letter"),
    (r"\boxed{12}", None, "an answer is no verdict"),
    (r"\boxed{correct}", None, "no letter"),
    ("A", "A", "bare"),
    ("(a)", "A", "bare, brackets"),
    ("**B**", "B", "bare, bold"),
    ("Answer B is right.", "B", "sentence"),
    ("After checking, the answer is (A).", "A", "cue"),
    ("A careful look shows nothing", None, "an article is no verdict"),
    ("Answer A is wrong, answer B is right", None, "both mentioned"),
    ("Choice: B", "B", "cue"),
    ("a matter of taste", None, "article"),
    ("Let B be the midpoint", None, "cut off at another B"),
    ("the answer is a triangle with the vertex B", None, "another B after a cue"),
    ("Response A is better because it makes no errors.", "A", "the reason has a no"),
    ("Response B is better because it makes no errors.", "B", "the same of the other"),
    ("Hence I prefer response B.", "B", "preference"),
    ("The better one is (A).", "A", "comparison"),
    (r"\boxed{A, since B makes errors}", None, "both mentioned in the box"),
    (r"\boxed{A is better than B}", "A", "a comparison"),
    (r"\boxed{B is better than A}", "B", "the other way round"),
    (r"\boxed{B is worse than A}", "A", "a comparison downwards"),
    (r"\boxed{Response B is slightly better than Response A}", "B", "with its nouns"),
    (r"\boxed{A > B}", "A", "a sign"),
    (r"\boxed{A is as good as B}", None, "a tie"),
    (r"\boxed{A更好}", "A", "Chinese"),
    (r"\boxed{选B}", "B", "Chinese"),
    ("Both are close, but I choose [[B]]", "B", "double brackets in prose"),
    ("My verdict: [[A]]", "A", "after a cue"),
    ("[[A>>B]]", "A", "much better"),
    ("[[A]] or [[B]]", None, "both"),
    ("[[C]]", None, "another letter"),
    ("A: incorrect", None, "says two things"),
    ("", None, "nothing"),
]


@pytest.mark.parametrize("response, label, why", YES_NO, ids=[f"{c[2]}-{i}" for i, c in enumerate(YES_NO)])
def test_yes_no(response, label, why):
    assert parse_judgement(response, "yes_no") == label, why


@pytest.mark.parametrize("response, label, why", A_B, ids=[f"{c[2]}-{i}" for i, c in enumerate(A_B)])
def test_a_b(response, label, why):
    assert parse_judgement(response, "a_b") == label, why


def test_require_box():
    assert parse_judgement("Yes", "yes_no", require_box=True) is None
    assert parse_judgement(r"\boxed{Yes}", "yes_no", require_box=True) == "Yes"


def test_unknown_form_names_the_choice():
    with pytest.raises(ValueError, match="yes_no"):
        parse_judgement("Yes", "free")


WORDS = [
    "Yes",
    "No",
    "A",
    "B",
    "(",
    ")",
    "answer",
    "is",
    ":",
    "not",
    " ",
    "\n",
    "correct",
    "in",
    "\\boxed{",
    "}",
    "**",
    "$",
]


@given(st.lists(st.sampled_from(WORDS), max_size=40).map("".join), st.sampled_from(["yes_no", "a_b"]))
def test_never_raises(response, form):
    assert parse_judgement(response, form) in {None, "Yes", "No", "A", "B"}


@pytest.mark.parametrize("piece", WORDS)
@pytest.mark.parametrize("frame", ["{}", "\\boxed{{{}}}", "answer is {}"])
def test_quick_on_a_megabyte(piece, frame):
    started = time.process_time()
    for form in ("yes_no", "a_b"):
        parse_judgement(frame.format(piece * (300_000 // len(piece))), form)
    assert time.process_time() - started < 5
