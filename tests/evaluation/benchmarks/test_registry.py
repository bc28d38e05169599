"""Every benchmark, by the same rules: it loads its schema, names what is missing, gives questions that can be asked."""

from __future__ import annotations

import copy
import io
import re

import pytest
from PIL import Image

from spark_verl.evaluation.benchmarks import REGISTRY, load, names
from spark_verl.evaluation.benchmarks.benchmark import Benchmark
from spark_verl.evaluation.question import Question
from spark_verl.vocabulary import LabelForm


def test_names_are_sorted_and_every_class_answers_to_its_own() -> None:
    assert names() == sorted(REGISTRY)
    assert all(REGISTRY[name].name == name and issubclass(REGISTRY[name], Benchmark) for name in names())


def test_samples_cover_every_benchmark(samples) -> None:
    assert sorted(samples) == names()


@pytest.mark.parametrize("name", ["", "mathvista ", "MathVista", "imagenet"])
def test_unknown_names_are_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=rf"unknown benchmark '{name}': choose from .*'dynamath'.*'wemath'"):
        load(name)


@pytest.mark.parametrize("name", names())
def test_questions_can_be_asked(name: str, make, samples, images_in) -> None:
    benchmark = make(name)
    questions = list(benchmark.questions)
    assert questions and benchmark.name == name
    assert len({question.id for question in questions}) == len(questions)
    for question in questions:
        assert isinstance(question, Question) and question.benchmark == name
        assert question.ground_truth not in (None, "")
        for message in question.messages:
            assert message["role"] == "user"
            assert {part["type"] for part in message["content"]} <= {"text", "image"}
            assert message["content"][-1]["text"].strip()
        for picture in images_in(question):
            assert isinstance(picture, bytes) and Image.open(io.BytesIO(picture)).size == (4, 3)
    has_images = any(isinstance(v, dict | list) and "bytes" in str(v) for row in samples[name] for v in row.values())
    assert any(map(images_in, questions)) == has_images


@pytest.mark.parametrize("name", names())
def test_questions_are_given_anew_every_time(name: str, make) -> None:
    benchmark = make(name)
    assert list(benchmark.questions) == list(benchmark.questions)


@pytest.mark.parametrize("name", names())
def test_aggregate_has_the_headline_and_only_numbers(name: str, make, scored) -> None:
    benchmark = make(name)
    figures = benchmark.aggregate(scored(benchmark, ["Hm."] * len(list(benchmark.questions))))
    assert benchmark.headline in figures and "accuracy" in figures
    assert all(type(value) is float for value in figures.values())
    assert figures["accuracy"] == 0.0 and figures["unparsable"] == 1.0


REQUIRED = [(name, column) for name in names() for column in REGISTRY[name].required]


@pytest.mark.parametrize(("name", "column"), REQUIRED)
def test_a_missing_column_is_named(name: str, column: str | tuple[str, ...], make, samples) -> None:
    gone = (column,) if isinstance(column, str) else column
    rows = [{key: value for key, value in row.items() if key not in gone} for row in copy.deepcopy(samples[name])]
    rows = [row | {"unrelated": 1} for row in rows]
    wanted = " or ".join(f"'{one}'" for one in gone)
    with pytest.raises(
        ValueError, match=rf"{name}: .*rows\.parquet has no column {re.escape(wanted)}, only .*unrelated"
    ):
        make(name, rows)


@pytest.mark.parametrize("name", names())
def test_docstrings_say_schema_and_rule_or_whose(name: str) -> None:
    benchmark = REGISTRY[name]
    text = benchmark.__doc__
    assert (
        ("Schema" in text and "Rule" in text)
        or any("Rule" in (base.__doc__ or "") for base in benchmark.__mro__[1:] if base.__name__ in text)
        or name in ("aime24", "aime25", "amc23", "digits", "digits_judge")
    )
    assert benchmark.source.path is None or any(
        benchmark.source.path in (base.__doc__ or "") for base in benchmark.__mro__
    )


@pytest.mark.parametrize(
    ("name", "row", "form", "judged"),
    [
        ("gsm8k", 0, None, True),
        ("digits", 0, None, True),
        ("digits_judge", 0, LabelForm.YES_NO, False),
        ("digits_judge", 1, None, False),
        ("vl_rewardbench", 0, LabelForm.A_B, False),
        ("multimodal_rewardbench", 0, LabelForm.A_B, False),
        ("rewardbench2", 0, None, False),
    ],
)
def test_benchmarks_say_what_is_a_judgement(name: str, row: int, form: LabelForm | None, judged: bool, make) -> None:
    benchmark = make(name)
    question = list(benchmark.questions)[row]
    assert (benchmark.label_form(question), benchmark.can_be_judged(question)) == (form, judged)


@pytest.mark.parametrize(
    ("name", "limit", "expected"),
    [
        ("mathvista", 0, []),
        ("mathvista", 1, ["1"]),
        ("mathvista", 99, ["1", "2", "3"]),
        ("wemath", 1, ["2steps_1/2steps_1", "2steps_1/2steps_2", "2steps_1/2steps_multi"]),
        ("dynamath", 1, ["1/0", "1/2"]),
        ("vl_rewardbench", 3, ["0/ab", "0/ba", "1/ab", "1/ba"]),
        ("rewardbench2", 1, [*(f"tied:7/{i}" for i in range(4)), "ref:7/0", "ref:7/1"]),
    ],
    ids=["none", "one", "all", "problem whole", "seed whole", "both orders", "reference with its tied question"],
)
def test_limit_never_cuts_a_group(name: str, limit: int, expected: list[str], make) -> None:
    assert [question.id for question in make(name, limit=limit).questions] == expected
