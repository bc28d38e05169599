"""Benchmarks of one question a row: how rows become questions, and what counts as right."""

from __future__ import annotations

import asyncio
import json
import shutil
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from spark_verl.evaluation.benchmarks import load
from spark_verl.evaluation.benchmarks.text_math import STEM_SUBJECTS


def boxed(answer: str) -> str:
    return f"Let me think. \\boxed{{{answer}}}"


# benchmark, row of the sample, response, correct, status, reason
CASES = [
    ("mathvista", 0, boxed("1.2"), True, "ok", "the float itself"),
    ("mathvista", 0, boxed("1.24"), True, "ok", "rounds to the one place that is asked for"),
    ("mathvista", 0, boxed("1.16"), True, "ok", "rounds up to it"),
    ("mathvista", 0, boxed("1.26"), False, "ok", "rounds to another number"),
    ("mathvista", 0, boxed("1.2 cm"), True, "ok", "with its unit"),
    ("mathvista", 0, "It is 1.2 cm.", False, "unparsable", "no box"),
    ("mathvista", 1, boxed("B"), True, "ok", "the letter of the option"),
    ("mathvista", 1, boxed("yes"), True, "ok", "the text of the option"),
    ("mathvista", 1, boxed("(A) no"), False, "ok", "another option"),
    ("mathvista", 1, boxed("perhaps"), False, "ok", "no option, and none is guessed"),
    ("mathvista", 2, boxed("4.0"), True, "ok", "an integer written as a decimal"),
    ("mathvista", 2, boxed("4.7"), False, "ok", "not truncated"),
    ("mathvision", 0, boxed("A"), True, "ok", "the letter"),
    ("mathvision", 0, boxed("I"), True, "ok", "the text, which looks like a letter"),
    ("mathvision", 0, boxed("II"), False, "ok", "another option's text"),
    ("mathvision", 0, boxed("B"), False, "ok", "another letter"),
    ("mathvision", 1, boxed("61"), True, "ok", "an open question"),
    ("mathvision", 1, boxed("61.004"), False, "ok", "equal to two places only"),
    ("mathvision", 1, "\\boxed{60} or \\boxed{61}", True, "ok", "the last box"),
    ("mathverse", 0, boxed("D"), True, "ok", "the letter"),
    ("mathverse", 0, boxed("140^\\circ"), True, "ok", "the text of the option"),
    ("mathverse", 0, boxed("120°"), False, "ok", "another option's text"),
    ("mathverse", 1, boxed("(D)"), True, "ok", "options known from the image only"),
    ("mathverse", 2, boxed("\\frac{15}{2}"), True, "ok", "an equal number"),
    ("mathverse", 2, boxed("D"), False, "ok", "a letter for an open question"),
    ("logicvista", 0, boxed("A, C"), True, "ok", "both letters"),
    ("logicvista", 0, boxed("C and A"), True, "ok", "in any order"),
    ("logicvista", 0, boxed("A"), False, "ok", "one of two"),
    ("logicvista", 0, boxed("A, C, D"), False, "ok", "one too many"),
    ("mmk12", 0, boxed("A"), True, "ok", "the letter"),
    ("mmk12", 0, boxed("10.5"), True, "ok", "the text of the option"),
    ("mmk12", 0, boxed("2.3"), False, "ok", "another option's text"),
    ("gsm8k", 0, boxed("18"), True, "ok", "the number behind the marks"),
    ("gsm8k", 0, boxed("18 \\text{ miles}"), True, "ok", "with a unit"),
    ("gsm8k", 0, boxed("6"), False, "ok", "a number of the solution"),
    ("gsm8k", 0, "#### 18", False, "unparsable", "the data's own form is no box"),
    ("math500", 0, boxed("0.5"), True, "ok", "an equal number"),
    ("math500", 0, boxed("\\dfrac12"), True, "ok", "other LaTeX"),
    ("math500", 0, boxed("2"), False, "ok", "the inverse"),
    ("aime24", 0, boxed("33"), True, "ok", "leading zeros mean nothing"),
    ("aime24", 0, boxed("330"), False, "ok", "another integer"),
    ("aime25", 0, boxed("70"), True, "ok", "right"),
    ("aime25", 0, "\\boxed{70", False, "unparsable", "a box that never closes"),
    ("amc23", 0, boxed("27"), True, "ok", "the data write 27.0"),
    ("amc23", 0, boxed("28"), False, "ok", "another number"),
    ("mmlu_stem", 0, boxed("C"), True, "ok", "the third option"),
    ("mmlu_stem", 0, boxed("y"), True, "ok", "its text"),
    ("mmlu_stem", 0, boxed("2"), False, "ok", "its index is no answer"),
    ("spark_data", 0, boxed("4"), True, "ok", "right"),
    ("spark_data", 0, "\\boxed{4}, no: \\boxed{5}", False, "ok", "the last box counts"),
]


@pytest.mark.parametrize(("name", "row", "response", "correct", "status", "reason"), CASES, ids=[c[5] for c in CASES])
def test_scoring(name: str, row: int, response: str, correct: bool, status: str, reason: str, make) -> None:
    benchmark = make(name)
    verdict = asyncio.run(benchmark.score(list(benchmark.questions)[row], response))
    assert (verdict.correct, verdict.status) == (correct, status), reason


def test_multiple_choice_lists_its_options_once_and_asks_for_a_letter(make, text_of) -> None:
    for name, row, options in (
        ("mathvision", 0, "A. I\nB. II"),
        ("mmlu_stem", 0, "A. w\nB. x"),
        ("mmk12", 0, "B. 2.3"),
    ):
        question = list(make(name).questions)[row]
        assert text_of(question).count(options) == 1
        assert "letter" in text_of(question) and question.choices["B"] in options and question.tolerance is None


def test_open_questions_have_no_choices(make, text_of) -> None:
    for name, row in (("mathvision", 1), ("mathverse", 2), ("gsm8k", 0), ("mathvista", 2)):
        question = list(make(name).questions)[row]
        assert question.choices is None and "letter" not in text_of(question) and "\\boxed{}" in text_of(question)


def test_mathvista_says_unit_and_places(make, text_of) -> None:
    question = next(iter(make("mathvista").questions))
    assert "Unit of the answer: cm" in text_of(question) and "Decimal places of the answer: 1" in text_of(question)
    assert question.tolerance == pytest.approx(0.05 / 1.2)


def test_mathverse_versions(make, text_of, images_in) -> None:
    whole, vision = list(make("mathverse").questions), list(make("mathverse_vision_only").questions)
    assert [q.meta["problem_version"] for q in whole] == ["Text Dominant", "Vision Only", "Text Lite"]
    assert [q.id for q in vision] == ["2"]
    assert text_of(vision[0]).startswith("Answer the question that stands in the image.")
    (text_only,) = make("mathverse_text_only").questions
    assert images_in(text_only) == []


def test_mmlu_keeps_the_stem_subjects_only(make) -> None:
    assert [question.meta["subject"] for question in make("mmlu_stem").questions] == ["astronomy"]
    assert len(STEM_SUBJECTS) == len(set(STEM_SUBJECTS)) == 19


def test_mmlu_refuses_an_answer_that_counts_no_option(make, samples) -> None:
    with pytest.raises(ValueError, match=r"mmlu_stem: row 0 of .*: answer must count an option from 0, got 4"):
        list(make("mmlu_stem", [samples["mmlu_stem"][0] | {"answer": 4}]).questions)


def test_capitalised_aime_columns_are_read(make) -> None:
    row = {"ID": "2024-I-1", "Problem": "Find n.", "Solution": "..", "Answer": 204}
    (question,) = make("aime24", [row]).questions
    assert question.ground_truth == 204


def test_logicvista_in_its_own_folder(tmp_path: Path, images_in) -> None:
    row = {"imagename": "v1_0.png", "question": "Which fits?", "answer": "C", "skill": ["spatial"]}
    broken = {**row, "answer": ""}
    (tmp_path / "dataset.json").write_text(json.dumps({"v1_0": row, "v1_1": broken}))
    (tmp_path / "images").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "images" / "v1_0.png")
    benchmark = load("logicvista", tmp_path)
    question, without_answer = benchmark.questions
    assert question.id == "v1_0" and images_in(question) == [str(tmp_path / "images" / "v1_0.png")]
    verdict = asyncio.run(benchmark.score(without_answer, boxed("C")))
    assert not verdict.decided, "a question without an answer is neither right nor wrong"


def test_accuracy_by_kind(make, scored) -> None:
    benchmark = make("mathvista")
    figures = benchmark.aggregate(scored(benchmark, [boxed("1.2"), boxed("A"), "no idea"]))
    assert figures["accuracy"] == pytest.approx(1 / 3) and figures["unparsable"] == pytest.approx(1 / 3)
    assert figures["accuracy/question_type=multi_choice"] == 0.0
    assert figures["accuracy/question_type=free_form"] == 0.5
    assert figures["accuracy/answer_type=float"] == 1.0
    assert figures["accuracy/skills=geometry reasoning"] == pytest.approx(1 / 3), "a question counts in all its skills"


def test_undecided_verdicts_are_neither_right_nor_wrong(make, scored) -> None:
    from spark_verl.reward import Verdict

    benchmark = make("mathvision")
    first, second = scored(benchmark, [boxed("A"), boxed("61")])
    figures = benchmark.aggregate([first, (second[0], Verdict("timeout", False, "61"))])
    assert (figures["accuracy"], figures["count"], figures["undecided"]) == (1.0, 1.0, 1.0)
    assert "accuracy/subject=arithmetic" not in figures


def test_spark_data_reads_numbers_and_local_images_and_averages_over_data_sets(
    tmp_path: Path, scored, images_in
) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    one = [
        {"dataset": "MathVista", "problem": "<image>How many?", "answer": 4, "image_path": "a.png"},
        {"dataset": "MathVista", "problem": "How many?", "answer": 5, "image_path": "a.png"},
        {"dataset": "MathVista", "problem": "Which?\nA. x\nB. y", "answer": "B", "image_path": "a.png"},
    ]
    two = [{"dataset": "GSM8K", "problem": "How far?", "answer": "18", "image_path": None}]
    (tmp_path / "benchmark_combine.json").write_text(json.dumps(one))
    (tmp_path / "benchmark_combine_v2.json").write_text(json.dumps(two))
    benchmark = load("spark_data", tmp_path)
    assert [len(images_in(question)) for question in benchmark.questions] == [1, 1, 1, 0]
    figures = benchmark.aggregate(scored(benchmark, [boxed("4"), boxed("4"), boxed("B"), boxed("17")]))
    assert figures["accuracy/dataset=MathVista"] == pytest.approx(2 / 3) and figures["accuracy/dataset=GSM8K"] == 0.0
    assert figures["mean_accuracy"] == pytest.approx(1 / 3) and figures["accuracy"] == 0.5


@pytest.mark.parametrize(
    ("truth", "answer", "correct", "reason"),
    [
        ("140°", "D", True, "the truth is an option's text"),
        ("140°", "B", False, "another letter"),
        ("140", "D", True, "an option's value"),
        ("(D)", "D", True, "a letter in brackets"),
        ("(D)", "140°", True, "the option's text for a letter in brackets"),
        ("(D)", "A", False, "another letter than that in brackets"),
        ("\\boxed{D}", "D", True, "a letter in a box"),
        ("AD", "A, D", True, "two letters"),
        ("A, D", "DA", True, "two letters in another order"),
        ("AD", "A", False, "one of two"),
        ("AD", "140°", False, "the text of one of two"),
    ],
)
def test_truths_in_every_form_keep_their_options(
    truth: str, answer: str, correct: bool, reason: str, make, samples
) -> None:
    benchmark = make("mathverse", [samples["mathverse"][0] | {"answer": truth}])
    (question,) = benchmark.questions
    assert question.choices == {"A": "40°", "B": "60°", "C": "120°", "D": "140°"}
    assert asyncio.run(benchmark.score(question, boxed(answer))).correct == correct, reason


def test_spark_data_finds_the_images_of_another_machine(tmp_path: Path, images_in) -> None:
    row = {"dataset": "MathVista", "problem": "How many?", "answer": 4}
    paths = [
        "/mnt/home/someone/data/mathvista/1.png",
        "mathvista/1.png",
        "file:///x/mathvista/1.png",
    ]
    data, images = tmp_path / "data", tmp_path / "elsewhere"
    (images / "mathvista").mkdir(parents=True)
    data.mkdir()
    Image.new("L", (2, 2)).save(images / "mathvista" / "1.png")
    picture = (images / "mathvista" / "1.png").read_bytes()
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("mathvista/1.png", picture)
    (data / "a.json").write_text(json.dumps([row | {"image_path": path} for path in paths]))
    for where in (images, tmp_path / "images.zip"):
        questions = list(load("spark_data", data / "a.json", images=[where]).questions)
        assert [images_in(question) for question in questions] == [[picture]] * len(paths)
    with pytest.raises(FileNotFoundError, match=r"mathvista/1\.png does not exist: .* with --images"):
        list(load("spark_data", data / "a.json").questions)
    # Without the option: what lies beside the rows.
    shutil.move(images / "mathvista", data)
    assert len(list(load("spark_data", data / "a.json").questions)) == len(paths)


@pytest.mark.parametrize("value", ["iVBORw0KGgo" * 1000, "data:image/png;base64," + "iVBORw0KGgo" * 1000])
def test_an_image_that_is_no_path_is_not_printed_whole(tmp_path: Path, value: str) -> None:
    row = {"dataset": "d", "problem": "p", "answer": 1, "image_path": value}
    (tmp_path / "a.json").write_text(json.dumps([row]))
    with pytest.raises(FileNotFoundError, match="does not exist") as error:
        list(load("spark_data", tmp_path / "a.json").questions)
    assert len(str(error.value)) < 300
