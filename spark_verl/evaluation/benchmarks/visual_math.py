"""Benchmarks of mathematics and logic with images whose figure is accuracy, overall and by kind.

SPARK's combined files are among them.

Where a benchmark's own evaluation lets a language model find or compare the answer, the answer is read from
``\\boxed{}`` instead and compared by :func:`spark_verl.reward.averify`: a response without a box is wrong here, and a
comparison never depends on another model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spark_verl.evaluation.benchmarks.columns import Columns, TableBenchmark
from spark_verl.evaluation.benchmarks.source import Source
from spark_verl.evaluation.question import BOXED_LETTER, BOXED_LETTERS

_MATHVISTA_KINDS = ("category", "task", "context", "grade", "skills")
"""What the leaderboard breaks down by, out of ``metadata``."""


class MathVista(TableBenchmark):
    """MathVista testmini, 1,000 questions from 31 data sets.

    Schema (AI4Math/MathVista; github.com/lupantech/MathVista, "Data Format"): ``pid``, ``question``, ``image`` (a
    path), ``decoded_image``, ``choices``, ``unit``, ``precision``, ``answer`` (of multiple choice the option's text),
    ``question_type``, ``answer_type``, ``metadata``, ``query``.

    Rule (evaluation/calculate_score.py): a language model extracts the answer; an option's letter, or the option
    nearest in edit distance, becomes its text; an integer is truncated, a float rounded to ``precision`` places; then
    strings must be equal. Here: the box instead of the extraction; the option's letter or its text, no nearest one; an
    integer is not truncated (5.7 is not 5); a float may be half a unit of the last place away, which is the same
    rounding.
    """

    name = "mathvista"
    source = Source("AI4Math/MathVista", splits=("testmini",))
    columns = Columns(
        image=("decoded_image", "image"),
        options="choices",
        id="pid",
        more=("question_type", "answer_type", "precision"),
        meta=("question_type", "answer_type", *(f"metadata.{name}" for name in _MATHVISTA_KINDS)),
    )
    breakdown = ("question_type", "answer_type", *_MATHVISTA_KINDS)

    def letter(self, row: Mapping[str, Any], choices: Mapping[str, str] | None) -> str | None:
        """The letter of the option with the answer's text, even where that looks like another one's letter."""
        answer = str(self.value(row, "answer"))
        same = (letter for letter, text in (choices or {}).items() if text == answer)
        return next(same, None) or super().letter(row, choices)

    def text(self, row: Mapping[str, Any]) -> str:
        """The question, its unit and the wanted places."""
        lines = [super().text(row)]
        if row.get("unit"):
            lines.append(f"Unit of the answer: {row['unit']}")
        if row["answer_type"] == "float" and row["precision"] is not None:
            lines.append(f"Decimal places of the answer: {int(row['precision'])}")
        return "\n".join(lines)

    def tolerance(self, row: Mapping[str, Any]) -> float | None:
        """Half a unit of the last wanted place, relative to the truth; None for a truth of zero."""
        if row["answer_type"] != "float" or row["precision"] is None or not float(row["answer"]):
            return None
        # Just half a unit is accepted, in spite of rounding.
        return 0.5 * 10.0 ** -int(row["precision"]) / abs(float(row["answer"])) * (1 + 1e-9)


class MathVision(TableBenchmark):
    """MATH-Vision test, 3,040 competition problems, 16 subjects, 5 levels.

    Schema (MathLLMs/MathVision; github.com/mathllm/MATH-V, data/test.jsonl): ``id``, ``question`` (pictures are named
    ``<image1>``, .. in it and drawn in one image), ``options`` (empty for open questions), ``image`` (a path),
    ``decoded_image``, ``answer`` (a letter or a value), ``solution``, ``level``, ``subject``.

    Rule (evaluation/evaluate.py): the text after "the answer is" or in the last box equals the letter or the option's
    text, or both evaluate to the same number after rounding to two places; by level and subject. Here: the box only;
    numbers are compared exactly instead of to two places.
    """

    name = "mathvision"
    source = Source("MathLLMs/MathVision")
    columns = Columns(image=("decoded_image", "image"), options="options", id="id", meta=("subject", "level"))
    breakdown = ("subject", "level")


class MathVisionTestmini(MathVision):
    """The 304 questions of MATH-Vision's testmini split, as :class:`MathVision`."""

    name = "mathvision_testmini"
    source = Source("MathLLMs/MathVision", splits=("testmini",))


class MathVerse(TableBenchmark):
    """MathVerse testmini: 788 problems in five versions, from all of the problem in the text to all in the image.

    Schema (AI4Math/MathVerse, config and split ``testmini``; github.com/ZrrSkywalker/MathVerse): ``sample_index``,
    ``problem_index``, ``problem_version``, ``question`` (with its options as ``Choices:`` and lines ``A:40°``),
    ``image``, ``answer``, ``question_type`` (``multi-choice`` or ``free-form``), ``metadata`` (``subject``,
    ``subfield``, ``source``), ``query_wo``, ``query_cot``, ``question_for_eval``.

    Rule (the leaderboard's "w/o" score, evaluation/score_answer_s2.py): a language model extracts the answer, another
    call says whether it matches; accuracy over all five versions, and by version and subject. Here: the box, the
    verifier. Where the text is empty (Vision Only), the question says that it is in the image. A problem's versions are
    one group, since an interval has to know that they are not independent.
    """

    name = "mathverse"
    source = Source("AI4Math/MathVerse", splits=("testmini",), config="testmini")
    columns = Columns(
        image="image",
        id="sample_index",
        written=True,
        more=("problem_version", "question_type"),
        meta=("problem_version", "problem_index", "question_type", "metadata.subject"),
    )
    multiple_choice = ("question_type", "multi-choice")
    group_column = "problem_index"
    breakdown = ("problem_version", "subject")

    def text(self, row: Mapping[str, Any]) -> str:
        """The question, or where it stands."""
        return super().text(row).strip() or "Answer the question that stands in the image."


class MathVerseVisionOnly(MathVerse):
    """The 788 questions of :class:`MathVerse` that stand in the image alone."""

    name = "mathverse_vision_only"
    where = ("problem_version", ("Vision Only",))


class MathVerseTextOnly(MathVerse):
    """The 788 questions of :class:`MathVerse` without their image; not part of its overall score."""

    name = "mathverse_text_only"
    source = Source("AI4Math/MathVerse", splits=("testmini_text_only",), config="testmini_text_only")


class LogicVista(TableBenchmark):
    """LogicVista, 448 multiple-choice questions on five reasoning skills.

    Schema (github.com/Yijia-Xiao/LogicVista, data/dataset.json: ids to rows with ``imagename``, a file in
    ``images/``; as parquet lscpku/LogicVista with ``image``): ``question`` (options in it or in the image),
    ``answer`` (a letter, or several: ``B, D``), ``reasoning``, ``skill`` (a list), ``broad_capability``.

    Rule (eval/extract_accuracy.py): a language model extracts the chosen letters; right when they are exactly the true
    ones, in any order; by skill. Here: the box. One row has no answer: officially always wrong, here not decided.
    """

    name = "logicvista"
    source = Source("lscpku/LogicVista", files=("dataset.json",))
    columns = Columns(image=("image", "imagename"), written=True, id="id", meta=("skill", "broad_capability"))
    breakdown = ("skill",)

    def instruction(self, row: Mapping[str, Any], letter: str | None) -> str:
        """Every question is one of options, and a few have several right ones."""
        return BOXED_LETTERS


class MMK12(TableBenchmark):
    """MMK12 test: 2,000 multiple-choice questions, 500 each of mathematics, physics, chemistry and biology.

    Schema (FanqingM/MMK12, split ``test``): ``id``, ``question`` (options in it as lines ``A. ..``), ``answer`` (a
    letter), ``subject``, ``image``.

    Rule (github.com/ModalMinds/MM-EUREKA, eval/k12/extract_calculate.py): a language model says whether the response's
    result matches the answer; accuracy, and by subject. Here: the box, the verifier.
    """

    name = "mmk12"
    source = Source("FanqingM/MMK12")
    columns = Columns(image="image", id="id", written=True, meta=("subject",))
    breakdown = ("subject",)

    def instruction(self, row: Mapping[str, Any], letter: str | None) -> str:
        """Every question is multiple choice."""
        return BOXED_LETTER


class SparkData(TableBenchmark):
    """Spark-Data's ``benchmark_combine.json`` and ``benchmark_combine_v2.json``: several benchmarks in one format.

    Schema (internlm/Spark-Data; github.com/InternLM/Spark, Evaluation/evaluation.py): a JSON list of rows with
    ``dataset`` (the benchmark's name), ``problem`` (options in it), ``answer`` (a text or a number), ``image_path``
    (null for none). Give the folder with both files, or one file; image paths are relative to it or those of another
    machine, whose ends are looked up there and in what ``--images`` names.

    Rule (Evaluation/calculate_acc.py): the first box of the response, equal to the answer by math-verify, by a legacy
    comparison, or as a string; accuracy by ``dataset``, and the mean of these accuracies. Here: the last box and
    :func:`spark_verl.reward.averify`.
    """

    name = "spark_data"
    source = Source("internlm/Spark-Data", splits=(), files=("benchmark_combine.json", "benchmark_combine_v2.json"))
    columns = Columns(question="problem", image="image_path", written=True, more=("dataset",), meta=("dataset",))
    breakdown = ("dataset",)
    mean_over = "dataset"
    headline = "mean_accuracy"
