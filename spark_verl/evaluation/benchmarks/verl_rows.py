"""Parquet files in verl's schema, above all those of the digits task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spark_verl.evaluation.benchmarks.base import Benchmark, Scored, mean
from spark_verl.evaluation.benchmarks.phrasing import by_letter, images_of, marked_message
from spark_verl.evaluation.benchmarks.source import Source
from spark_verl.evaluation.question import Question
from spark_verl.reward import LABEL_FORMS, Verdict, parse_judgement
from spark_verl.reward.verifier import OK, UNPARSABLE

_JUDGES = {"spark/pointwise": "yes_no", "spark/pairwise": "a_b"}


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

    def convert(self, row: Mapping[str, Any], index: int) -> Iterator[Question]:
        """The question of a row."""
        extra = row.get("extra_info") or {}
        source = self.value(row, "data_source")
        truth = (self.value(row, "reward_model") or {}).get("ground_truth")
        form = extra.get("label_form") if extra.get("label_form") in LABEL_FORMS else _JUDGES.get(source)
        if truth is None or (source in _JUDGES and truth not in LABEL_FORMS[form]):
            raise ValueError(f"{self.name}: row {index} of {self.rows.where} has ground truth {truth!r} for {source!r}")
        meta = {"data_source": source, "label_form": form if source in _JUDGES else None, "kind": extra.get("kind")}
        yield Question(
            # A column that is null where a row has none
            id=f"{source}/{index if extra.get('index') is None else extra['index']}",
            benchmark=self.name,
            messages=self._messages(row, index),
            ground_truth=truth,
            choices=_choices(extra.get("choices")),
            tolerance=extra.get("tolerance"),
            meta={key: value for key, value in meta.items() if value is not None},
        )

    def _messages(self, row: Mapping[str, Any], index: int) -> list[dict]:
        images = images_of(row.get("images"), self.rows.folder)
        unused = list(images)
        try:
            messages = [marked_message(message["role"], message["content"], unused) for message in row["prompt"]]
        except ValueError as error:
            raise ValueError(f"{self.name}: row {index} of {self.rows.where}: {error}") from error
        if unused:
            raise ValueError(
                f"{self.name}: row {index} of {self.rows.where} has {len(images)} images, but "
                f"{len(images) - len(unused)} <image> marks"
            )
        return messages

    async def score(self, question: Question, response_text: str) -> Verdict:
        """A judge's verdict against the label, any other answer against the ground truth."""
        form = question.meta.get("label_form")
        if form is None:
            return await super().score(question, response_text)
        return judged(response_text, form, question.ground_truth)

    def aggregate(self, scored: Scored) -> dict[str, float]:
        """The usual figures and the mean over data sources."""
        figures = super().aggregate(scored)
        return figures | {"mean_accuracy": mean(v for k, v in figures.items() if k.startswith("accuracy/data_source"))}


class Embedded(VerlRows):
    """The handwritten digits' held-out questions: ``test.parquet`` of ``data_preprocess/handwritten_digits.py``."""

    name = "digits"
    source = Source(None, files=("test.parquet",))


class EmbeddedJudge(VerlRows):
    """Judge and reflection prompts about held-out digits: ``judge_test.parquet`` of the same script."""

    name = "digits_judge"
    source = Source(None, files=("judge_test.parquet",))
    headline = "mean_accuracy"


def judged(response: str, label_form: str, label: str) -> Verdict:
    """The verdict on a judge's response: its label must be the right one; without a label it is wrong."""
    found = parse_judgement(response, label_form)
    return Verdict(UNPARSABLE if found is None else OK, found == label, found)


def _choices(value: Any) -> dict[str, str] | None:
    """Options as parquet holds them: absent keys of a struct are None."""
    if isinstance(value, Mapping):
        return {str(key): str(text) for key, text in value.items() if text is not None} or None
    return by_letter(value) if isinstance(value, list | tuple) else None


BENCHMARKS = (VerlRows, Embedded, EmbeddedJudge)
