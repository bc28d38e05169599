"""Reward benchmarks: who is shown where, how choices and ratings are read, and the figures, worked out by hand."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

import pytest

from spark_verl.evaluation.benchmarks.rewardbench2 import read_letter, read_rating, ties_figures
from spark_verl.evaluation.question import Question
from spark_verl.reward import Verdict


def test_vl_rewardbench_asks_in_both_orders(make, text_of) -> None:
    questions = list(make("vl_rewardbench").questions)
    assert [(q.id, q.ground_truth, q.group) for q in questions] == [
        ("0/ab", "A", "0"),
        ("0/ba", "B", "0"),
        ("1/ab", "B", "1"),
        ("1/ba", "A", "1"),
    ]
    first, second = text_of(questions[0]), text_of(questions[1])
    assert first.index("It is red.") < first.index("It is blue") and second.index("It is red.") > second.index(
        "It is blue"
    )
    assert "<image>" not in first and "rationale" not in first
    assert [q.meta["domain"] for q in questions[::2]] == ["hallucination", "reasoning"]


@pytest.mark.parametrize(
    ("row_id", "domain"),
    [
        ("mathverse_12", "reasoning"),
        ("mmmu_pro-3", "reasoning"),
        ("RLAIF-V-7", "hallucination"),
        ("RLHF-V-7", "hallucination"),
        ("hallucination_pair-4-5", "hallucination"),
        ("wildvision-battle-8", "general"),
        ("VLFeedback-1", "general"),
        ("anything", "general"),
    ],
)
def test_vl_rewardbench_domains(row_id: str, domain: str, make, samples) -> None:
    row = samples["vl_rewardbench"][0] | {"id": row_id}
    assert {question.meta["domain"] for question in make("vl_rewardbench", [row]).questions} == {domain}


def test_vl_rewardbench_refuses_other_rankings(make, samples) -> None:
    row = samples["vl_rewardbench"][0] | {"human_ranking": [0, 0]}
    with pytest.raises(ValueError, match=r"row 0 of .*: human_ranking must be \[0, 1\] or \[1, 0\].*got \[0, 0\]"):
        list(make("vl_rewardbench", [row]).questions)


def test_vl_rewardbench_by_hand(make, scored, samples) -> None:
    hallucination, reasoning = samples["vl_rewardbench"]
    benchmark = make("vl_rewardbench", [hallucination, reasoning, hallucination | {"id": "RLHF-V-2"}])
    # labels: A B, B A, A B; the judge is right twice, then biased to the first place, then silent once
    replies = ["\\boxed{A}", "\\boxed{B}", "\\boxed{A}", "\\boxed{A}", "\\boxed{A}", "both are fine"]
    figures = benchmark.aggregate(scored(benchmark, replies))
    expected = {
        "accuracy": 4 / 6,
        "accuracy/domain=hallucination": 3 / 4,
        "accuracy/domain=reasoning": 1 / 2,
        "macro_accuracy": (3 / 4 + 1 / 2) / 2,
        "both_orders": 1 / 3,
        "chose_first": 4 / 5,
        "unparsable": 1 / 6,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("row_id", "category", "named"),
    [
        ("pairs_3", "safety", "safety/bias"),
        ("toxic_3", "safety", "safety/toxicity"),
        ("mathvista_3", "reasoning", "reasoning/math"),
        ("EMMA-Coding_3", "reasoning", "reasoning/coding"),
        ("pairs_3", "vqa", "vqa"),
    ],
)
def test_multimodal_rewardbench_categories(row_id: str, category: str, named: str, make, samples) -> None:
    row = samples["multimodal_rewardbench"][0] | {"ID": row_id, "Category": category}
    (question,) = make("multimodal_rewardbench", [row]).questions
    assert question.meta["category"] == named


def test_multimodal_rewardbench_by_hand(make, scored, samples) -> None:
    (row,) = samples["multimodal_rewardbench"]
    rows = [
        row | {"ID": f"x_{i}", "Better": better}
        for i, better in enumerate(["Output2", "Output1", "Output1", "Output2"])
    ]
    benchmark = make("multimodal_rewardbench", rows)
    assert [question.ground_truth for question in benchmark.questions] == ["B", "A", "A", "B"]
    replies = ["A is vague. \\boxed{B}", "**Verdict: A**", "\\boxed{B}", "I cannot say."]
    figures = benchmark.aggregate(scored(benchmark, replies))
    assert figures["accuracy"] == 2 / 4 and figures["accuracy_with_coin"] == 2.5 / 4 and figures["unparsable"] == 1 / 4


def test_multimodal_rewardbench_refuses_other_labels(make, samples) -> None:
    row = samples["multimodal_rewardbench"][0] | {"Better": "A"}
    with pytest.raises(ValueError, match="row 0 of .*: Better must be Output1 or Output2, got 'A'"):
        list(make("multimodal_rewardbench", [row]).questions)


def test_best_of_four_hides_the_chosen_response_everywhere_alike(make, samples, text_of) -> None:
    row = samples["rewardbench2"][1]
    benchmark = make("rewardbench2", [row | {"id": str(i), "chosen": ["right"]} for i in range(200)])
    questions = list(benchmark.questions)
    places = Counter(question.ground_truth for question in questions)
    assert set(places) == set("ABCD") and min(places.values()) >= 30
    for question in questions[:20]:
        tag = f"response_{question.ground_truth.lower()}"
        assert f"<{tag}>\nright\n</{tag}>" in text_of(question) and text_of(question).count("right\n") == 1
        assert text_of(question).count("wrong") == 3
    assert [question.ground_truth for question in benchmark.questions] == [q.ground_truth for q in questions]


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("\\boxed{C}", "C"),
        ("\\boxed{(b)}", "B"),
        ("\\boxed{\\text{Response C}}", "C"),
        ("\\boxed{the assistant D}", "D"),
        ("\\boxed{A}, no, \\boxed{B}", "B"),
        ("\\boxed{E}", None),
        ("\\boxed{A and B}", None),
        ("\\boxed{AB}", None),
        ("\\boxed{}", None),
        ("A is best", None),
        ("\\boxed{A", None),
    ],
)
def test_read_letter(response: str, letter: str | None) -> None:
    assert read_letter(response) == letter


@pytest.mark.parametrize(
    ("response", "rating"),
    [
        ("\\boxed{7}", 7),
        ("\\boxed{10}", 10),
        ("\\boxed{8/10}", 8),
        ("\\boxed{8 out of 10}", 8),
        ("\\boxed{\\text{9}}", 9),
        ("\\boxed{6.0}", 6),
        ("\\boxed{0}", None),
        ("\\boxed{11}", None),
        ("\\boxed{6.5}", None),
        ("\\boxed{8/9}", None),
        ("\\boxed{good}", None),
        ("7", None),
    ],
)
def test_read_rating(response: str, rating: int | None) -> None:
    assert read_rating(response) == rating


def ties(ratings: dict[str, tuple[list[float | None], list[float | None]]]) -> list[tuple[Question, Verdict]]:
    """Scored ratings; ``tied:1`` to (ratings of right responses, of wrong ones); -1 for an unreadable one."""
    scored = []
    for row_id, (right, wrong) in ratings.items():
        kind, _, number = row_id.partition(":")
        meta = {"subset": "Ties", "kind": kind, "responses": len(right) + len(wrong)}
        for place, value in enumerate(right + wrong):
            label = "high" if place < len(right) else "low"
            answer = None if value in (-1, None) else str(value)
            status = {None: "error", -1: "unparsable"}.get(value, "ok")
            question = Question(f"{row_id}/{place}", "rewardbench2", [], label, group=f"Ties:{number}", meta=meta)
            scored.append((question, Verdict(status, False, answer)))
    return scored


def test_ties_score_by_hand() -> None:
    figures = ties_figures(
        ties(
            {
                # w = 8 - 5 = 3, d = 9 - 8 = 1, r = 9 - 7 = 2: right in every way
                "tied:1": ([9, 8], [5, 2]),
                "ref:1": ([9], [7]),
                # w = 4 - 3 = 1, d = 10 - 4 = 6, r = 5 - 6 = -1: tied is accurate, nothing else
                "tied:2": ([10, 4], [3]),
                "ref:2": ([5], [6]),
                # w = 7 - 5 = 2, d = 0, r = 1: preferred, also hard
                "tied:3": ([7, 7, 7], [5]),
                "ref:3": ([3], [2]),
            }
        )
    )
    margin = (math.tanh(2 / 1 - 1) + math.tanh(-1 / 6 - 1) + 1) / 3
    expected = {
        "tied_accuracy": 1.0,
        "ref_accuracy": 2 / 3,
        "preferred": 2 / 3,
        "preferred_hard": 2 / 3,
        "margin": margin,
        "score": 0.3 + 0.3 * 2 / 3 + 0.2 * 2 / 3 + 0.2 * 2 / 3 + 0.01 * margin,
        "pairs": 3,
        "incomplete": 0,
    }
    assert figures == pytest.approx(expected)


@pytest.mark.parametrize(
    ("right", "wrong", "margin", "reason"),
    [
        ([6, 6], [6], 0.0, "zero by zero"),
        ([6, 6], [7], -1.0, "below zero by zero"),
        ([6, 6], [5], 1.0, "above zero by zero"),
        ([-1, 6], [5], math.tanh(-6 / 7 - 1), "an unreadable rating is -1"),
    ],
)
def test_ties_margin_at_the_border(right: list, wrong: list, margin: float, reason: str) -> None:
    figures = ties_figures(ties({"tied:1": (right, wrong), "ref:1": ([10], [1])}))
    assert figures["margin"] == pytest.approx(margin), reason


def test_ties_with_missing_ratings_are_left_out() -> None:
    figures = ties_figures(ties({"tied:1": ([9, None], [5]), "ref:1": ([9], [7]), "ref:2": ([1], [7])}))
    assert (figures["incomplete"], figures["pairs"], figures["ref_accuracy"]) == (1, 0, 0.5)
    assert math.isnan(figures["score"]) and math.isnan(figures["tied_accuracy"])


def test_rewardbench2_by_hand(make, scored, samples) -> None:
    choice = samples["rewardbench2"][1]
    rows = [choice | {"id": str(i), "subset": s} for i, s in enumerate(["Math", "Math", "Math", "Focus"])]
    benchmark = make("rewardbench2", [*rows, samples["rewardbench2"][0], samples["rewardbench2"][2]])
    labels = [question.ground_truth for question in benchmark.questions]
    wrong = "A" if labels[1] != "A" else "B"
    choices = [f"\\boxed{{{labels[0]}}}", f"\\boxed{{{wrong}}}", "all are bad", f"\\boxed{{{labels[3]}}}"]
    # tied:7 has two right and two wrong responses, ref:7 one of each
    ratings = [f"\\boxed{{{n}}}" for n in (9, 8, 2, 3, 10, 4)]
    figures = benchmark.aggregate(scored(benchmark, choices + ratings))
    ties_score = 0.3 + 0.3 + 0.2 + 0.2 + 0.01 * math.tanh(5 / 1 - 1)
    expected = {
        "score/Math": (1 + 0 + 0.25) / 3,
        "score/Focus": 1.0,
        "score/Ties": ties_score,
        "overall": (1.25 / 3 + 1 + ties_score) / 3,
        "accuracy": 2 / 4,
        "unparsable": 1 / 4,
        "accuracy/ratings": 1.0,
        "ties/pairs": 1.0,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


def test_rewardbench2_ratings_show_one_response_each(make, text_of, samples) -> None:
    questions = list(make("rewardbench2", [samples["rewardbench2"][0]]).questions)
    assert [question.ground_truth for question in questions] == ["high", "high", "low", "low"]
    for question, response in zip(questions, ["right 0", "right 1", "wrong 0", "wrong 1"], strict=True):
        assert f"<response>\n{response} of tied:7\n</response>" in text_of(question)
        assert text_of(question).count(" of tied:7") == 1 and question.group == "Ties:7"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rejected": ["x"]}, r"row 0 of .*: Factuality must have 1 chosen and 3 rejected responses, has 1 and 1"),
        ({"subset": "Ties"}, "row 0 of .*: Ties must have an id like ref:7 or tied:7"),
        ({"subset": "ties", "id": "tied:1", "rejected": []}, "has 'tied:1', 1 chosen and 0 rejected"),
    ],
)
def test_rewardbench2_refuses_other_rows(changes: dict, message: str, make, samples) -> None:
    with pytest.raises(ValueError, match=message):
        list(make("rewardbench2", [samples["rewardbench2"][1] | changes]).questions)


def test_undecided_choices_are_left_out(make) -> None:
    benchmark = make("rewardbench2")
    question = Question("1", "rewardbench2", [], "A", meta={"subset": "Math"})
    other = Question("2", "rewardbench2", [], "A", meta={"subset": "Math"})
    figures = benchmark.aggregate([(question, Verdict("ok", True, "A")), (other, Verdict("timeout", False, None))])
    assert figures["score/Math"] == figures["overall"] == 1.0 and figures["undecided"] == 1.0


def test_a_judge_that_argues_without_a_box_is_read_like_in_training(make) -> None:
    benchmark = make("vl_rewardbench")
    question = next(iter(benchmark.questions))
    found = asyncio.run(benchmark.score(question, "A names the colour only.\nFinal verdict: A"))
    assert (found.correct, found.answer) == (True, "A")
