"""Rules over groups, against examples that were worked out by hand."""

from __future__ import annotations

import asyncio
import math

import pytest

from spark_verl.evaluation.question import Question
from spark_verl.reward import Verdict


def verdict(correct: bool | None) -> Verdict:
    """None: not decided."""
    return Verdict("timeout" if correct is None else "ok", bool(correct), "x")


# Problem: steps, whether each single step is right, whether the multi-step question is right
PROBLEMS = {
    "mastered": (2, [True, True], True),
    "half by rote": (2, [True, False], True),
    "by rote": (2, [False, False], True),
    "not generalised": (3, [True, True, True], False),
    "not known": (3, [True, False, True], False),
}


def wemath(problems: dict) -> list[tuple[Question, Verdict]]:
    scored = []
    for name, (steps, singles, multi) in problems.items():
        for step, correct in [*zip("123", singles, strict=False), ("multi", multi)]:
            key = f"{steps}steps_{step}"
            question = Question(f"{name}/{key}", "wemath", [], "A", group=name, meta={"key": key})
            if correct != "missing":
                scored.append((question, verdict(correct)))
    return scored


def test_wemath_by_hand(make) -> None:
    figures = make("wemath").aggregate(wemath(PROBLEMS))
    expected = {
        "problems": 5,
        "incomplete": 0,
        "inadequate_generalisation": 1 / 5,
        "insufficient_knowledge": 1 / 5,
        "mastery_strict": 1 / 5,
        "mastery_loose": 2 / 5,
        "rote_memorisation_strict": 2 / 3,
        "rote_memorisation_loose": 1 / 3,
        "score_strict": 1 - 0.5 / 5 - 2 / 5 - 1 / 5,
        "score_loose": 1 - 0.5 / 5 - 1 / 5 - 1 / 5,
        "accuracy/one_step": 8 / 12,
        "accuracy/two_step": 3 / 3,
        "accuracy/three_step": 0 / 2,
        "accuracy": 11 / 17,
        "count": 17,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("problem", "strict", "loose"),
    [
        ("mastered", 1.0, 1.0),
        ("half by rote", 0.0, 1.0),
        ("by rote", 0.0, 0.0),
        ("not generalised", 0.5, 0.5),
        ("not known", 0.0, 0.0),
    ],
)
def test_wemath_score_of_one_problem(problem: str, strict: float, loose: float, make) -> None:
    figures = make("wemath").aggregate(wemath({problem: PROBLEMS[problem]}))
    assert (figures["score_strict"], figures["score_loose"]) == (strict, loose)


def test_wemath_leaves_incomplete_problems_out_of_the_shares_only(make) -> None:
    missing = {"cut off": (2, [True, True], "missing"), "no verdict": (3, [True, None, True], True)}
    figures = make("wemath").aggregate(wemath(PROBLEMS | missing))
    complete = make("wemath").aggregate(wemath(PROBLEMS))
    assert (figures["problems"], figures["incomplete"], figures["undecided"]) == (5, 2, 1)
    assert {k: v for k, v in figures.items() if "score" in k} == {k: v for k, v in complete.items() if "score" in k}
    assert figures["accuracy/one_step"] == pytest.approx(12 / 16)


def test_wemath_without_a_complete_problem_has_no_score(make) -> None:
    figures = make("wemath").aggregate(wemath({"x": (2, [True, "missing"], True)}))
    assert math.isnan(figures["score_strict"]) and figures["accuracy"] == 1.0


def test_wemath_reads_rows_and_scores_letters(make, scored, text_of) -> None:
    benchmark = make("wemath")
    questions = list(benchmark.questions)
    assert [q.group for q in questions] == ["2steps_1"] * 3 + ["2steps_2"] * 3, "steps of a problem come together"
    assert questions[0].choices["C"] == "3000, 4000" and "E. No correct answer" in text_of(questions[0])
    answers = ["\\boxed{C}", "\\boxed{3000, 4000}", "\\boxed{C}", "\\boxed{A}", "none", "\\boxed{C}"]
    figures = benchmark.aggregate(scored(benchmark, answers))
    assert (
        figures["score_strict"] == 0.5
        and figures["mastery_strict"] == 0.5
        and figures["rote_memorisation_loose"] == 0.5
    )


@pytest.mark.parametrize("name", ["wemath", "dynamath"])
def test_two_verdicts_on_one_question_are_refused(name: str, make) -> None:
    question = Question("1/2steps_1", name, [], "A", group="1", meta={"key": "2steps_1", "answer_type": "text"})
    with pytest.raises(ValueError, match="'1/2steps_1' was scored twice: aggregate every round of sampling on its own"):
        make(name).aggregate([(question, verdict(True)), (question, verdict(False))])


def dynamath(seeds: dict[str, list[bool | None]]) -> list[tuple[Question, Verdict]]:
    return [
        (Question(f"{seed}/{i}", "dynamath", [], "1", group=seed, meta={"subject": seed[0]}), verdict(correct))
        for seed, variants in seeds.items()
        for i, correct in enumerate(variants)
    ]


def test_dynamath_by_hand(make) -> None:
    seeds = {"a1": [True, True, True], "a2": [True, False, True], "b1": [False, False, False], "b2": [True, True, True]}
    figures = make("dynamath").aggregate(dynamath(seeds))
    assert figures["average"] == figures["accuracy"] == pytest.approx(8 / 12)
    assert figures["worst_case"] == 2 / 4
    assert figures["accuracy/subject=a"] == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("variants", "worst", "incomplete"),
    [([True, None], None, 1.0), ([False, None], 0.0, 0.0), ([None, None], None, 1.0), ([True, True], 1.0, 0.0)],
    ids=["may still be wrong", "wrong anyway", "nothing known", "all right"],
)
def test_dynamath_with_undecided_variants(variants: list, worst: float | None, incomplete: float, make) -> None:
    figures = make("dynamath").aggregate(dynamath({"a": variants}))
    assert figures["incomplete"] == incomplete
    assert math.isnan(figures["worst_case"]) if worst is None else figures["worst_case"] == worst


def test_dynamath_groups_variants_of_all_splits(make, text_of) -> None:
    questions = list(make("dynamath").questions)
    assert [question.group for question in questions] == ["1", "1", "2"]
    assert "three places" in text_of(questions[0]) and "three places" not in text_of(questions[2])
    assert questions[2].choices == {"A": "even", "B": "odd"}


@pytest.mark.parametrize(
    ("truth", "answer", "correct", "reason"),
    [
        ("1234.5644", "1234.56", False, "0.0044 off, though rounded rightly to six digits"),
        ("1234.5644", "x = 1234.56", False, "the same as an equation"),
        ("1234.5644", "1234.56 cm", False, "the same with a unit"),
        ("1234.5644", "\\approx 1234.56", False, "the same as an approximation"),
        ("1234.5644", "1234.5654", True, "0.001 off"),
        ("1234.5644", "1234.5655", False, "0.0011 off"),
        ("1234.5644", "12345644/10000", True, "a fraction"),
        ("0.333", "1/3", True, "a fraction within the tolerance"),
        ("100", "10^2", True, "an expression"),
        ("100", "99.5+0.5", True, "a sum"),
        ("-1.5", "-\\frac{3}{2}", True, "below zero"),
    ],
)
def test_dynamath_accepts_a_thousandth_and_no_more(
    truth: str, answer: str, correct: bool, reason: str, make, samples
) -> None:
    benchmark = make("dynamath", [samples["dynamath"][0] | {"ground_truth": truth}])
    (question,) = benchmark.questions
    assert asyncio.run(benchmark.score(question, f"So \\boxed{{{answer}}}")).correct == correct, reason


@pytest.mark.parametrize(
    ("row", "answer", "correct", "reason"),
    [
        (0, "2.0944", True, "the number"),
        (0, "2.094", True, "three places"),
        (0, "2.0934", True, "0.001 off"),
        (0, "2.0933", False, "0.0011 off"),
        (0, "2.1", False, "one place"),
        (0, "0.6667\\pi", True, "a multiple of pi"),
        (0, "0.67π", False, "a rounded multiple of pi"),
        (0, "209.44\\%", True, "the same number in percent"),
        (0, "2.0944 \\text{ seconds}", True, "with a unit"),
        (0, "two", False, "a word"),
        (1, "0.001", True, "0.001 off zero"),
        (1, "0.002", False, "0.002 off zero"),
        (1, "-0.0005", True, "below zero"),
        (2, "B", True, "the letter"),
        (2, "odd", True, "the option's text"),
        (2, "A", False, "the other letter"),
    ],
)
def test_dynamath_scoring(row: int, answer: str, correct: bool, reason: str, make) -> None:
    benchmark = make("dynamath")
    question = list(benchmark.questions)[row]
    assert asyncio.run(benchmark.score(question, f"So \\boxed{{{answer}}}")).correct == correct, reason


def test_dynamath_response_without_a_box_is_unparsable(make) -> None:
    benchmark = make("dynamath")
    found = asyncio.run(benchmark.score(next(iter(benchmark.questions)), "It is 2.0944"))
    assert (found.status, found.correct) == ("unparsable", False)
