"""Parquet files in verl's schema, above all those of the digits task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spark_verl.data.prompts import IMAGE
from spark_verl.evaluation.benchmarks.benchmark import Benchmark
from spark_verl.evaluation.benchmarks.multiple_choice import options_of
from spark_verl.evaluation.benchmarks.source import Source
from spark_verl.evaluation.question import Question, marked_message
from spark_verl.options import brief
from spark_verl.vocabulary import LabelForm, Message, Objective

SPARK_SOURCE = "spark/"
"""How the data source of a row begins that is itself about judging or reflecting."""

_JUDGES = {SPARK_SOURCE + Objective.POINTWISE: LabelForm.YES_NO, SPARK_SOURCE + Objective.PAIRWISE: LabelForm.A_B}
"""Data sources whose rows are judge questions, and the label form of those that name none."""


class VerlRows(Benchmark):
    """Any data set prepared for verl: the questions are the rows' prompts as they are.

    Schema (verl's documentation, "Prepare Data for Post-Training"; :mod:`spark_verl.digits.dataset`): ``data_source``,
    ``prompt`` (chat messages with one ``<image>`` per image), ``images``, ``reward_model.ground_truth``, ``extra_info``
    (``index``; may hold ``choices``, ``tolerance``, ``label_form`` and ``kind``).

    Rule: the reward manager's (:class:`spark_verl.reward.manager.SparkRewardManager`): ``spark/pointwise`` and
    ``spark/pairwise`` rows are judge questions whose verdict must equal the label, every other row has an answer to
    find. Accuracy overall, by ``data_source`` and by ``kind``; ``mean_accuracy`` is the mean over data sources.
    """

    name = "verl"
    source = Source(None)
    required = ("data_source", "prompt", "reward_model")
    breakdown = ("data_source", "kind")
    mean_over = "data_source"

    def convert(self, row: Mapping[str, Any], index: int) -> Iterator[Question]:
        """The question of a row."""
        extra = row.get("extra_info") or {}
        source = self.value(row, "data_source")
        truth = self.value(row, "reward_model").get("ground_truth")
        form = LabelForm(extra.get("label_form") or _JUDGES[source]) if source in _JUDGES else None
        meta = {"data_source": source, "label_form": form, "kind": extra.get("kind")}
        question = Question(
            # A column that is null where a row has none
            id=f"{source}/{index if extra.get('index') is None else extra['index']}",
            benchmark=self.name,
            messages=self._messages(row),
            ground_truth=truth,
            choices=options_of(extra.get("choices")),
            tolerance=extra.get("tolerance"),
            meta={key: value for key, value in meta.items() if value is not None},
        )
        if truth not in form.labels if form else not question.has_truth:
            raise ValueError(f"reward_model has ground truth {brief(truth)!r} for {brief(source)!r}")
        yield question

    def _messages(self, row: Mapping[str, Any]) -> list[Message]:
        images = self.rows.images(row.get("images"))
        marks = sum(message["content"].count(IMAGE) for message in row["prompt"])
        if marks != len(images):
            raise ValueError(f"{len(images)} images, but {marks} <image> marks")
        in_order = iter(images)
        return [marked_message(message["role"], message["content"], in_order) for message in row["prompt"]]

    def label_form(self, question: Question) -> LabelForm | None:
        """The form of pointwise and pairwise rows."""
        return question.meta.get("label_form")

    def can_be_judged(self, question: Question) -> bool:
        """Judge and reflection prompts are not judged once more."""
        return not question.meta["data_source"].startswith(SPARK_SOURCE)


class Digits(VerlRows):
    """The handwritten digits' held-out questions: ``test.parquet`` of ``data_preprocess/handwritten_digits.py``."""

    name = "digits"
    source = Source(None, files=("test.parquet",))


class DigitsJudge(VerlRows):
    """Judge and reflection prompts about held-out digits: ``judge_test.parquet`` of the same script."""

    name = "digits_judge"
    source = Source(None, files=("judge_test.parquet",))
    headline = "mean_accuracy"
