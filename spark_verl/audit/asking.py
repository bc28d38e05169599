"""What is asked: a sample of the labelled rows, and about each its answers and verdicts on them, as in training."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import openai

from spark_verl.data.errors import UsageError
from spark_verl.evaluation.benchmarks.prepared_data import SPARK_SOURCE, VerlRows
from spark_verl.evaluation.benchmarks.source import Rows, read
from spark_verl.evaluation.question import Question
from spark_verl.evaluation.session import Judgement, Session
from spark_verl.evaluation.strategies import Strategy
from spark_verl.options import brief
from spark_verl.reward import Verdict, averify
from spark_verl.reward.same import same_answer
from spark_verl.self_reward.answers import group_answers
from spark_verl.vocabulary import Objective, Source, Supervision


class LabelledRows(VerlRows):
    """A sample of the rows with a ground truth of a file in verl's schema; answers are verified as in training.

    Args:
        rows: All rows.
        questions: How many to draw; with more of them the first ones stay the same.
        seed: Of the draw.

    Attributes:
        left_out: How many rows cannot be drawn, by reason.

    Raises:
        ValueError: A column is missing, or no row has a ground truth.
    """

    def __init__(self, rows: Rows, questions: int, seed: int) -> None:
        super().__init__(rows)
        judging = [str(source).startswith(SPARK_SOURCE) for source in rows.column("data_source")]
        known = [_has_truth(value) for value in rows.column("reward_model")]
        usable = [index for index in range(len(rows)) if known[index] and not judging[index]]
        if not usable:
            raise UsageError(
                f"{rows.where}: none of its {len(rows)} rows has a ground truth (reward_model.ground_truth), and an"
                " audit compares with it: give rows with labels"
            )
        self.left_out = {"without ground truth": known.count(False), "about judging": sum(judging)}
        Random(f"{seed}/audit").shuffle(usable)
        self._drawn = usable[:questions]

    @classmethod
    def open(cls, path: str, questions: int, seed: int, images: Sequence[str] = ()) -> LabelledRows:
        """Open a parquet file; ``images``: folders or archives with images that are not where its rows expect them.

        Raises:
            ValueError, OSError: It is none, or cannot be audited; one line.
        """
        if Path(path).suffix != ".parquet" or not Path(path).expanduser().is_file():
            raise UsageError(f"DATA: {brief(path)} is no parquet file here: give one in verl's schema")
        return cls(read(cls.source, path, images), questions, seed)

    def order(self) -> list[int]:
        """The drawn rows."""
        return self._drawn

    def convert(self, row: Mapping[str, Any], index: int) -> Iterator[Question]:
        """The question of a row, named by its place: files made of several have an ``extra_info.index`` twice."""
        if not isinstance(row["data_source"], str):
            raise ValueError(f"data_source must be text, got {brief(row['data_source'])}")
        if not isinstance(row["prompt"], list) or not row["prompt"]:
            raise ValueError(f"prompt must be a list of messages, got {brief(row['prompt'])!r}")
        tolerance = (row.get("extra_info") or {}).get("tolerance")
        if not isinstance(tolerance, int | float | None):
            raise ValueError(f"extra_info.tolerance must be a number, got {brief(tolerance)!r}")
        for question in super().convert(row, index):
            yield replace(question, id=f"row {index}")

    async def score(self, question: Question, response_text: str) -> Verdict:
        """The reward manager's verdict."""
        return await averify(
            response_text, question.ground_truth, choices=question.choices, tolerance=question.tolerance
        )


def _has_truth(reward_model: Any) -> bool:
    truth = reward_model.get("ground_truth") if isinstance(reward_model, Mapping) else None
    return Question("", "", [], truth).has_truth


@dataclass(frozen=True)
class Audit(Strategy):
    """Answers a question several times and asks for verdicts on the most frequent answers.

    In training :mod:`spark_verl.rollout.verdicts` does the same: the judge sees bare answers, all in the same words.

    Attributes:
        samples: Answers per question.
        verdicts: Per different answer.
        answers: Different answers that are judged, the most frequent ones.
    """

    name: ClassVar[str] = "audit"
    needs_judge: ClassVar[bool] = True

    samples: int = 8
    verdicts: int = 4
    answers: int = 4

    async def run(self, session: Session) -> int:
        """See :class:`~spark_verl.evaluation.strategies.Strategy`; ``pool`` numbers a sample's class, largest first."""
        await session.answers(self.samples)
        question, answers = session.question, {index: sample.answer for index, sample in enumerate(session.samples)}
        same = partial(same_answer, choices=question.choices, tolerance=question.tolerance)
        found = await group_answers(answers, same, question=session.key, supervision=Supervision.AUDIT, limit=None)
        for number, each in enumerate(found.classes):
            for index in each.sessions:
                session.samples[index].pool = number
        asked = await asyncio.gather(
            *(
                _verdict(session, next(i for i in each.sessions if session.samples[i].answer == each.answer), number)
                for each in found.classes[: self.answers]
                for number in range(self.verdicts)
            )
        )
        session.judgements += [judgement for judgement in asked if judgement]
        return 0


async def _verdict(session: Session, about: int, number: int) -> Judgement | None:
    """A verdict on a sample's bare answer; None where the server refuses the prompt, as one that is too long."""
    prompts, shown = session.context.prompts, session.samples[about].answer or ""
    messages = prompts.about(session.question.messages, Objective.POINTWISE, shown, Source.ANSWER, session.key)
    try:
        completion = await session.ask(("verdict", shown, number), messages, logprobs=False, judging=True)
    except openai.BadRequestError:
        return None
    return Judgement.read(about, Source.ANSWER, completion, prompts.label_form)
