"""Attempts and demonstrations: right ones are right, wrong ones plausibly wrong, and both habits keep their form."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.digits.attempts import HABITS, draw_attempt
from spark_verl.digits.demonstrations import (
    CAREFUL_SHARES,
    FORMS,
    ROLE_SHARES,
    TEMPLATES,
    Sloppiness,
    believed,
    careful_response,
    carried_out,
    draw_demonstration,
    sloppy_response,
)
from spark_verl.digits.questions import KINDS, Question, pool
from spark_verl.judge.templates import TemplateSet
from spark_verl.vocabulary import LabelForm, Objective, Source

BOX = re.compile(r"\\boxed\{([^{}]*)\}$")


@given(
    kind=st.sampled_from(tuple(KINDS)),
    digits=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    habit=st.sampled_from(HABITS),
    seed=st.integers(0, 10_000),
)
def test_attempts_are_right_or_plausibly_wrong(kind: str, digits: tuple[int, int], habit: str, seed: int) -> None:
    question = Question(kind, (0, 1), digits)
    right, wrong = (draw_attempt(question, habit, correct, Random(seed)) for correct in (True, False))
    assert right.correct and right.answer == question.answer
    assert not wrong.correct and wrong.answer != question.answer
    assert KINDS[kind].answers[0] <= int(wrong.answer) <= KINDS[kind].answers[-1]
    for attempt in (right, wrong):
        assert BOX.search(attempt.text)[1] == attempt.answer
        assert attempt.text.startswith("The digits are" if habit == "careful" else "My guess is")
        assert (attempt.shown(Source.ANSWER), attempt.shown(Source.COT)) == (attempt.answer, attempt.text)


@pytest.mark.parametrize("correct", [True, False])
def test_a_careful_judge_is_right(correct: bool) -> None:
    rng = Random(1)
    question = Question("sum", (0, 1), (3, 4))
    pair = [draw_attempt(question, "careful", right, rng) for right in (correct, not correct)]

    def boxed(objective: Objective) -> str:
        return BOX.search(careful_response(question, objective, pair))[1]

    assert boxed(Objective.POINTWISE) == ("Yes" if correct else "No")
    assert boxed(Objective.PAIRWISE) == ("A" if correct else "B")
    assert boxed(Objective.REFLECTION) == "7"


@pytest.mark.parametrize("objective", ROLE_SHARES)
def test_demonstrations_use_training_digits_in_the_stated_shares(objective: Objective) -> None:
    rng, templates = Random(2), TemplateSet.load(TEMPLATES)
    drawn = [draw_demonstration(rng, templates, CAREFUL_SHARES, {objective: 1.0}) for _ in range(2000)]
    assert all(set(d.question.tiles) <= set(pool("train")) for d in drawn)
    assert all(d.prompt.count("<image>") == KINDS[d.question.kind].images for d in drawn)
    assert all(d.prompt.startswith(d.question.prompt) for d in drawn)
    careful = Counter(d.habit for d in drawn)["careful"] / len(drawn)
    assert careful == pytest.approx(CAREFUL_SHARES[objective], abs=0.04)
    sloppy = Counter(BOX.search(d.response)[1] for d in drawn if d.habit == "sloppy")
    if FORMS.get(objective, LabelForm.FREE).labels:
        assert max(sloppy.values()) / sum(sloppy.values()) == pytest.approx(0.5, abs=0.04)


EVERY_QUESTION = [Question(kind, (0, 1), (a, b)) for kind in KINDS for a in range(10) for b in range(10)]


@pytest.mark.parametrize(
    ("sloppiness", "right", "most_frequent"),
    # Shares of samples, by what follows from the definition: how many are right by chance, how many say the same.
    [
        (Sloppiness.BLIND, 0.05, 0.15),
        (Sloppiness.FIRST_DIGIT, 0.2, 0.7),
        (Sloppiness.BELIEF, 0.5, 1.0),
        (Sloppiness.CONFUSION, 0.25, 1.0),
    ],
)
def test_sloppy_answers_agree_as_far_as_stated(sloppiness: Sloppiness, right: float, most_frequent: float) -> None:
    rng, hits, modes = Random(3), 0, 0
    for question in EVERY_QUESTION:
        texts = [sloppy_response(question, Objective.POLICY, [], rng, sloppiness) for _ in range(20)]
        answers = Counter(BOX.search(text)[1] for text in texts)
        hits += answers[question.answer]
        modes += max(answers.values())
    assert hits / (20 * len(EVERY_QUESTION)) == pytest.approx(right, abs=0.06)
    assert modes / (20 * len(EVERY_QUESTION)) == pytest.approx(most_frequent, abs=0.06)


def test_a_wrong_belief_looks_careful_and_lies_in_the_range_of_the_kind() -> None:
    wrong = [question for question in EVERY_QUESTION if believed(question) != question.answer]
    assert len(wrong) == pytest.approx(0.5 * len(EVERY_QUESTION), abs=30)
    for question in wrong:
        answer = believed(question)
        assert KINDS[question.kind].answers[0] <= int(answer) <= KINDS[question.kind].answers[-1]
        text = sloppy_response(question, Objective.POLICY, [], Random(0), Sloppiness.BELIEF)
        assert text.startswith("The digits are") and BOX.search(text)[1] == answer


def test_a_confused_model_works_out_another_operation_correctly() -> None:
    operations = {(question.kind, question.digits[0]): carried_out(question) for question in EVERY_QUESTION}
    assert sum(kind == operation for (kind, _), operation in operations.items()) == 2 * len(KINDS)
    for question in EVERY_QUESTION:
        meant = Question(carried_out(question), question.tiles, question.digits)
        text = sloppy_response(question, Objective.POLICY, [], Random(0), Sloppiness.CONFUSION)
        assert text == careful_response(meant, Objective.POLICY, [])


@pytest.mark.parametrize(("objective", "form"), FORMS.items())
def test_there_are_several_templates(objective: Objective, form: LabelForm) -> None:
    assert TemplateSet.load(TEMPLATES).count(objective, form) >= 2
