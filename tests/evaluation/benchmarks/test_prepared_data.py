"""Data in verl's schema: the digits task's real files, and rows that are odd."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from spark_verl.digits.dataset import write_files
from spark_verl.evaluation.benchmarks import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits task's files, written by the task's own code."""
    path = tmp_path_factory.mktemp("digits")
    write_files(path, train_size=6, test_size=12, seed=0)
    return path


@pytest.mark.parametrize("as_file", [False, True], ids=["folder", "file"])
def test_digits_questions_are_the_held_out_rows(folder: Path, as_file: bool, images_in, text_of) -> None:
    questions = list(load("digits", folder / "test.parquet" if as_file else folder).questions)
    assert len(questions) == 12 and {q.meta["data_source"] for q in questions} == {"spark_digits"}
    for question in questions:
        assert len(images_in(question)) == (2 if question.meta["kind"] == "two_images" else 1)
        assert "<image>" not in text_of(question) and "label_form" not in question.meta


def test_digits_is_scored_by_its_ground_truth(folder: Path, scored) -> None:
    benchmark = load("digits", folder)
    truths = [question.ground_truth for question in benchmark.questions]
    figures = benchmark.aggregate(scored(benchmark, [f"\\boxed{{{t}}}" for t in truths[:-1]] + ["no idea"]))
    assert figures["accuracy"] == pytest.approx(11 / 12) and figures["unparsable"] == pytest.approx(1 / 12)
    assert figures["accuracy/data_source=spark_digits"] == figures["mean_accuracy"] == figures["accuracy"]
    assert {name for name in figures if name.startswith("accuracy/kind=")} >= {"accuracy/kind=sum"}


def test_judge_rows_are_scored_by_their_label(folder: Path, scored) -> None:
    benchmark = load("digits_judge", folder)
    questions = list(benchmark.questions)
    assert len({question.id for question in questions}) == len(questions) == 560
    replies = []
    for question in questions:
        # Always favourable: half right where there is a label; reflection is answered rightly
        reply = {"yes_no": "Yes", "a_b": "A"}.get(question.meta.get("label_form"), question.ground_truth)
        replies.append(f"\\boxed{{{reply}}}")
    figures = benchmark.aggregate(scored(benchmark, replies))
    assert figures["accuracy/data_source=spark/pointwise"] == figures["accuracy/data_source=spark/pairwise"] == 0.5
    assert figures["accuracy/data_source=spark/reflection"] == 1.0
    assert figures["mean_accuracy"] == 0.75


def row(truth: object, source: str = "spark_digits", **extra: object) -> dict:
    """The changes that make a row of the sample this row."""
    return {
        "data_source": source,
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"index": 1, "kind": None, **extra},
    }


OPTIONS = {"A": "red", "B": "blue", "C": None}


@pytest.mark.parametrize(
    ("changes", "response", "correct", "status", "reason"),
    [
        (row("9"), "\\boxed{9}", True, "ok", "an answer"),
        (row("9"), "\\boxed{8}", False, "ok", "another answer"),
        (row("9"), "9", False, "unparsable", "no box"),
        (row("No", "spark/pointwise"), "\\boxed{No}", True, "ok", "the label"),
        (row("No", "spark/pointwise"), "\\boxed{9}", False, "unparsable", "an answer is no verdict"),
        (row("B", "spark/pairwise"), "\\boxed{A}", False, "ok", "the other label"),
        (row("A", "spark/pointwise", label_form="a_b"), "\\boxed{A}", True, "ok", "another label form"),
        (row("B", choices=OPTIONS), "\\boxed{blue}", True, "ok", "an option's text"),
        (row("red", choices=["red", "blue"]), "\\boxed{A}", True, "ok", "options as a list"),
        (row(["red", "crimson"], choices=["blue", "green"]), "\\boxed{crimson}", True, "ok", "several right answers"),
        (row("1.50", tolerance=0.1), "\\boxed{1.6}", True, "ok", "within the tolerance"),
        (row("1.50", tolerance=None), "\\boxed{1.6}", False, "ok", "no tolerance"),
    ],
)
def test_rows_are_scored_as_in_training(changes, response, correct, status, reason, make, samples) -> None:
    benchmark = make("verl", [samples["verl"][0] | changes])
    (question,) = benchmark.questions
    verdict = asyncio.run(benchmark.score(question, response))
    assert (verdict.correct, verdict.status) == (correct, status), reason


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": [{"role": "user", "content": "no mark"}]}, "row 0 of .*: 1 images, but 0 <image> marks"),
        ({"prompt": [{"role": "user", "content": "<image><image>?"}]}, "row 0 of .*: 1 images, but 2 <image> marks"),
        (row(None), "row 0 of .*: reward_model has ground truth 'None' for 'spark_digits'"),
        (row(""), "row 0 of .* has ground truth '' for"),
        (row([]), r"row 0 of .* has ground truth '\[\]' for"),
        (row(float("nan")), "row 0 of .* has ground truth 'nan' for"),
        (row("9", "spark/pairwise"), "row 0 of .* has ground truth '9' for 'spark/pairwise'"),
        ({"prompt": [{"role": "user", "content": None}]}, "row 0 of .*: AttributeError: 'NoneType'"),
        ({"extra_info": "9"}, "row 0 of .*: AttributeError: 'str'"),
        ({"prompt": "9"}, "row 0 of .*: TypeError: string indices"),
    ],
    ids=[
        "too few marks", "too many marks", "no truth", "empty truth", "no truths", "truth that is NaN", "no label",
        "message without content", "extra_info as text", "prompt as text",
    ],
)  # fmt: skip
def test_rows_that_cannot_be_asked_are_named(changes: dict, message: str, make, samples) -> None:
    with pytest.raises(ValueError, match=message):
        list(make("verl", [samples["verl"][0] | changes]).questions)


def test_all_messages_and_images_of_a_prompt_are_kept_in_order(make, samples) -> None:
    (picture,) = samples["verl"][0]["images"]
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "<image>or<image>?"}]
    changed = samples["verl"][0] | {"prompt": prompt, "images": [picture, {"bytes": b"second", "path": None}]}
    (question,) = make("verl", [changed]).questions
    assert [message["role"] for message in question.messages] == ["system", "user"]
    parts = [part.get("image") or part["text"] for part in question.messages[1]["content"]]
    assert parts == [picture["bytes"], "or", b"second", "?"]


def test_rows_without_an_index_are_told_apart(make, samples) -> None:
    rows = [samples["verl"][0] | row(truth, index=None) for truth in ("8", "9")]
    assert [question.id for question in make("verl", rows).questions] == ["spark_digits/0", "spark_digits/1"]


def test_versions_of_a_problem_are_one_group(make) -> None:
    assert {question.group for question in make("mathverse").questions} == {"1"}
