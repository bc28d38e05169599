r"""From a response and a ground truth, in the forms in which they come, to a verdict."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from spark_verl.reward import accepted_answers, verify, verify_answer


@pytest.mark.parametrize(
    "ground_truth, accepted",
    [
        ("18", ["18"]),
        (" 18 ", ["18"]),
        (r"\boxed{18}", ["18"]),
        (r"$\boxed{\frac{1}{2}}$", [r"\frac{1}{2}"]),
        ("$18$", ["18"]),
        ("He buys 9 + 9 = 18.\n#### 18", ["18"]),
        ("#### 1,800", ["1,800"]),
        ("<answer> 145° </answer>", ["145°"]),
        (18, ["18"]),
        (18.0, ["18"]),
        (0.5, ["0.5"]),
        (np.int64(18), ["18"]),
        (np.float64(0.5), ["0.5"]),
        (["1/2", "0.5"], ["1/2", "0.5"]),
        (("a", "b"), ["a", "b"]),
        (np.array(["1/2", "0.5"], dtype=object), ["1/2", "0.5"]),
        ('["1/2", "0.5"]', ["1/2", "0.5"]),
        ("[1, 2]", ["[1, 2]"]),
        ({"ground_truth": "18"}, ["18"]),
        ({"target": ["1", "2"]}, ["1", "2"]),
        (True, ["True"]),
        (None, []),
        ("", []),
        ("  ", []),
        ([], []),
        ({}, []),
        ([None, "3"], ["3"]),
    ],
)
def test_ground_truths_as_they_come(ground_truth, accepted):
    assert accepted_answers(ground_truth) == accepted


@pytest.mark.parametrize(
    "response, ground_truth, status, correct, answer",
    [
        (r"\boxed{18}", "18", "ok", True, "18"),
        (r"\boxed{17}", "18", "ok", False, "17"),
        ("eighteen, surely: 18", "18", "unparsable", False, None),
        (r"\boxed{18", "18", "unparsable", False, None),
        ("", "18", "unparsable", False, None),
        (r"\boxed{2}", ["1", "2"], "ok", True, "2"),
        (r"\boxed{3}", ["1", "2"], "ok", False, "3"),
        (r"\boxed{3}", None, "error", False, "3"),
        (r"\boxed{3}", [], "error", False, "3"),
        ("nothing", "", "error", False, None),
        (r"\boxed{" + r"\sqrt{x} + " * 5000 + "}", r"\sqrt{2}", "unparsable", False, None),
        (r"\boxed{\frac{}{}{}}}", r"\sqrt{2}", "unparsable", False, r"\frac{}{}{}"),
    ],
)
def test_status(response, ground_truth, status, correct, answer):
    verdict = verify(response, ground_truth)
    assert (verdict.status, verdict.correct) == (status, correct)
    if len(response) < 1000:
        assert verdict.answer == answer


def test_bare_answer():
    assert verify_answer("18", "18").correct
    assert verify_answer(None, "18").status == "unparsable"


LIGHT = r"""
import sys
from spark_verl.reward import verify
for answer in {answers!r}:
    verify("\\boxed{{" + answer + "}}", "12")
heavy = sorted(m for m in ("sympy", "math_verify", "torch", "verl") if m in sys.modules)
assert not heavy, heavy
"""


def test_a_task_of_numbers_never_loads_sympy():
    answers = [
        "12",
        "13",
        "",
        "1a",
        "12+",
        "((",
        "}{",
        "Yes",
        "12 12",
        "x=12",
        "boxed",
        "-",
        ".",
        ",",
        "A",
        "1/0",
        "\\",
    ]
    subprocess.run([sys.executable, "-c", LIGHT.format(answers=answers)], check=True, timeout=60)
