"""Attempts and demonstrations: right ones are right, wrong ones plausibly wrong, and both habits keep their form."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.digits.attempts import HABITS, right_attempt, wrong_attempt
from spark_verl.digits.demonstrations import (
    CAREFUL_SHARES,
    LABEL_FORMS,
    ROLE_SHARES,
    TEMPLATES,
    draw_attempt,
    draw_demonstration,
    pairwise_response,
    pointwise_response,
)
from spark_verl.digits.questions import KINDS, Question, pool
from spark_verl.judge.templates import TemplateSet

BOX = re.compile(r"\\boxed\{([^{}]*)\}$")


@given(
    kind=st.sampled_from(tuple(KINDS)),
    digits=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    habit=st.sampled_from(HABITS),
    seed=st.integers(0, 10_000),
)
def test_attempts_are_right_or_plausibly_wrong(kind: str, digits: tuple[int, int], habit: str, seed: int) -> None:
    question = Question(kind, (0, 1), digits)
    right, wrong = right_attempt(question, habit), wrong_attempt(question, habit, Random(seed))
    assert right.correct and right.answer == question.answer
    assert not wrong.correct and wrong.answer != question.answer
    assert KINDS[kind].answers[0] <= int(wrong.answer) <= KINDS[kind].answers[-1]
    for attempt in (right, wrong):
        assert BOX.search(attempt.text)[1] == attempt.answer
        assert attempt.text.startswith("The digits are" if habit == "careful" else "My guess is")
        assert (attempt.shown("answer"), attempt.shown("cot")) == (attempt.answer, attempt.text)


@pytest.mark.parametrize("correct", [True, False])
def test_a_careful_judge_is_right(correct: bool) -> None:
    rng = Random(1)
    question = Question("sum", (0, 1), (3, 4))
    shown, other = draw_attempt(question, correct, rng), draw_attempt(question, not correct, rng)
    verdict = BOX.search(pointwise_response(question, shown, "careful", rng))[1]
    assert verdict == ("Yes" if correct else "No")
    verdict = BOX.search(pairwise_response(question, shown, other, "careful", rng))[1]
    assert verdict == ("A" if correct else "B")


@pytest.mark.parametrize("role", ROLE_SHARES)
def test_demonstrations_use_training_digits_in_the_stated_shares(role: str) -> None:
    rng, templates = Random(2), TemplateSet.load(TEMPLATES)
    drawn = [draw_demonstration(rng, templates, CAREFUL_SHARES, {role: 1.0}) for _ in range(2000)]
    assert all(set(d.question.tiles) <= set(pool("train")) for d in drawn)
    assert all(d.prompt.count("<image>") == KINDS[d.question.kind].images for d in drawn)
    assert all(d.prompt.startswith(d.question.prompt) for d in drawn)
    careful = Counter(d.habit for d in drawn)["careful"] / len(drawn)
    assert careful == pytest.approx(CAREFUL_SHARES[role], abs=0.04)
    sloppy = Counter(BOX.search(d.response)[1] for d in drawn if d.habit == "sloppy")
    if role in ("pointwise", "pairwise"):
        assert max(sloppy.values()) / sum(sloppy.values()) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize(("objective", "form"), LABEL_FORMS.items())
def test_there_are_several_templates(objective: str, form: str) -> None:
    assert TemplateSet.load(TEMPLATES).count(objective, form) >= 2
