r"""extract_answer: a table of boxes as models write them, and hostile text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_verl.reward import extract_answer

CASES = [
    (r"\boxed{5}", "5", "plain"),
    (r"The answer is $\boxed{5}$.", "5", "in dollars"),
    (r"\[\boxed{5}\]", "5", "display math"),
    (r"\boxed{ 5 }", "5", "inner spaces"),
    (r"\boxed {5}", "5", "space before the brace"),
    ("\\boxed\n{5}", "5", "line break before the brace"),
    (r"\fbox{5}", "5", "fbox"),
    (r"**\boxed{5}**", "5", "bold box"),
    (r"\boxed{**5**}", "5", "bold inside"),
    (r"\boxed{$5$}", "5", "dollars inside"),
    (r"\boxed{\(5\)}", "5", "inline math inside"),
    (r"\boxed{`5`}", "5", "code inside"),
    (r"\boxed{\text{Yes}}", "Yes", "text around everything"),
    (r"\boxed{\textbf{(A)}}", "(A)", "bold text"),
    (r"\boxed{\mathrm{A}}", "A", "upright"),
    (r"\boxed{\mathbf{\text{No}}}", "No", "two layers"),
    (r"\boxed{\displaystyle 5}", "5", "style"),
    (r"\boxed{5\text{ cm}}", r"5\text{ cm}", "text inside is kept"),
    (r"\boxed{\text{a} \text{b}}", r"\text{a} \text{b}", "two texts are not one"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", "nested braces"),
    (r"\boxed{\frac{\sqrt{2}}{\sqrt{1+x^{2}}}}", r"\frac{\sqrt{2}}{\sqrt{1+x^{2}}}", "deeper braces"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}", "escaped braces"),
    (r"\boxed{\{1, 2}", r"\{1, 2", "an escaped brace closes nothing"),
    (r"\boxed{\left\{ x \right.}", r"\left\{ x \right.", "a lone escaped brace"),
    (r"\boxed{\begin{pmatrix}1\\2\end{pmatrix}}", r"\begin{pmatrix}1\\2\end{pmatrix}", "matrix"),
    (r"\\boxed{5}", "5", "doubled backslash"),
    (r"\boxed{3} then \boxed{4}", "4", "the last of several"),
    (r"\boxed{3}, \boxed{}", "3", "an empty box is none"),
    (r"\boxed{3}, \boxed{  }", "3", "a blank box is none"),
    (r"\boxed{3} or \boxed{4", "3", "a box cut off is none"),
    (r"\boxed{4 is wrong. \boxed{5}", "5", "a box after one that never closes"),
    (r"\boxed{\boxed{5}}", "5", "box in a box"),
    (r"\boxed{x = \boxed{5}}", r"x = \boxed{5}", "an outer box that says more"),
    (r"{\boxed{5}", "5", "unbalanced brace before"),
    (r"}\boxed{5}}", "5", "stray closing braces"),
    ("\\boxed{5\n}", "5", "line break inside"),
    (r"boxed{5}", None, "no backslash"),
    (r"\boxed 5", "5", "no braces"),
    (r"so $\boxed5$.", "5", "no braces, in dollars"),
    (r"it is \boxed B", "B", "a letter without braces"),
    (r"\boxed 5 or \boxed{6}", "6", "braces come first"),
    (r"<think>\boxed{1} is wrong</think> It is 2.", None, "a thought is no answer"),
    (r"<think>\boxed{1}</think>", "1", "unless nothing follows it"),
    (r"<think>it is \boxed{1}", "1", "or it never ends"),
    (r"\boxed", None, "nothing"),
    (r"\boxed{", None, "opened only"),
    (r"\boxed{}", None, "empty"),
    (r"\boxedfoo{5}", None, "another command"),
    ("the answer is 5", None, "no box"),
    ("", None, "empty response"),
    ("<think>\\boxed{1}</think> \\boxed{2}", "2", "after thinking"),
    (r"\boxed{答案}", "答案", "other scripts"),
]

FALLBACKS = [
    ("<answer>5</answer>", ["answer_tag"], "5", "tag"),
    ("<answer> $5$ </answer>", ["answer_tag"], "5", "tag, decorated"),
    ("<answer>4</answer><answer>5</answer>", ["answer_tag"], "5", "last tag"),
    ("Answer: 5", ["answer_line"], "5", "line"),
    ("**Answer:** 5", ["answer_line"], "5", "bold line"),
    ("work\nFinal answer: 5.", ["answer_line"], "5", "final answer with a full stop"),
    ("so\n#### 18", ["hashes"], "18", "GSM8K"),
    ("first 3, then 1,234.5 in all", ["last_number"], "1,234.5", "last number"),
    ("Answer: 5", ["answer_tag", "answer_line"], "5", "in order"),
    (r"Answer: 5, or \boxed{6}", ["answer_line"], "6", "the box comes first"),
    ("Answer: 5", [], None, "off by default"),
    ("nothing", ["answer_tag", "answer_line", "hashes", "last_number"], None, "none applies"),
]


@pytest.mark.parametrize("text, expected, why", CASES, ids=[c[2] for c in CASES])
def test_box(text, expected, why):
    assert extract_answer(text) == expected, why


@pytest.mark.parametrize("text, fallbacks, expected, why", FALLBACKS, ids=[c[3] for c in FALLBACKS])
def test_fallback(text, fallbacks, expected, why):
    assert extract_answer(text, fallbacks) == expected, why


def test_unknown_fallback_names_the_choice():
    with pytest.raises(ValueError, match="answer_tag"):
        extract_answer("x", ["answer"])


PIECES = [
    "\\boxed{",
    "\\fbox{",
    "\\boxed",
    "{",
    "}",
    "\\{",
    "\\}",
    "\\",
    "\\\\",
    "$",
    "**",
    "\\text{",
    " ",
    "5",
    "\n",
    "é",
]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
@settings(max_examples=400, deadline=None)
def test_never_raises_and_returns_ink(text):
    answer = extract_answer(text, ["answer_tag", "answer_line", "hashes", "last_number"])
    assert answer is None or answer == answer.strip() != ""


@given(st.text(alphabet="abc123+-^_ ()[]=,", min_size=1).map(str.strip).filter(bool))
def test_round_trip(answer):
    assert extract_answer(f"thus $\\boxed{{{answer}}}$") == answer


@pytest.mark.parametrize(
    "piece", [*PIECES, "\\boxed{}", "\\boxed{\\boxed{", "\\boxed{5} ", "<answer>", "answer:", "####", "1,"]
)
def test_linear_on_a_megabyte(piece):
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    extract_answer(text, ["answer_tag", "answer_line", "hashes", "last_number"])
    # About 0.3 s on one slow core; anything quadratic takes hours.
    assert time.process_time() - started < 8
