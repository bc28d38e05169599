"""Benchmarks with a rule over groups of questions: We-Math's steps and DynaMath's variants."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from spark_verl.evaluation.benchmarks.benchmark import Scored, by_group, mean, summary
from spark_verl.evaluation.benchmarks.columns import Columns, TableBenchmark
from spark_verl.evaluation.benchmarks.source import SPLIT_COLUMN, Source
from spark_verl.evaluation.question import Question
from spark_verl.reward import Verdict, extract_answer
from spark_verl.reward.numbers import parse_number
from spark_verl.reward.text import canonical
from spark_verl.vocabulary import Status


class WeMath(TableBenchmark):
    """We-Math testmini: 525 multi-step problems, each also asked as its two or three single steps (1,740 questions).

    Schema (We-Math/We-Math; github.com/We-Math/We-Math, data/testmini.json): ``ID`` (of the problem: ``2steps_17``),
    ``key`` (``2steps_1``, ``2steps_2``, ``2steps_multi``, and the same for three steps), ``question``, ``option``
    (``A. 3; B. 5; ..``), ``answer`` (a letter), ``image_path`` (in the parquet file the image itself),
    ``knowledge concept``, ``question number``, ``split``.

    Rule (evaluation/four_dimensional_metrics.py, accuracy.py), with M: the multi-step question is right, S: the single
    steps are right. Shares of all problems::

        insufficient knowledge     IK = not M and not all S
        inadequate generalisation  IG = not M and all S
        complete mastery           CM = M and all S (strict), M and any S (loose)
        rote memorisation          RM = M and not all S (strict), M and no S (loose); reported relative to CM + RM
        score                      1 - IG / 2 - RM - IK, strict or loose

    Also the accuracy of single steps and of two-step and three-step questions. Here: the boxed letter (or its option's
    text) instead of the letter behind "Answer"; problems with a missing or undecided question are left out of the
    shares and counted in ``incomplete``; officially there are always 525.
    """

    name = "wemath"
    source = Source("We-Math/We-Math", splits=("testmini",))
    columns = Columns(
        image=("image_path", "image"), options="option", more=("ID", "key"), meta=("key", "knowledge concept")
    )
    group_column = "ID"
    headline = "score_strict"

    def question_id(self, row: Mapping[str, Any], index: int) -> str:
        """The problem and the step."""
        return f"{self.value(row, 'ID')}/{self.value(row, 'key')}"

    def aggregate(self, scored: Scored) -> dict[str, float]:
        """Figures of the rule above, beside the plain accuracy."""
        groups = by_group(scored)
        problems: list[tuple[bool, list[bool]]] = []
        for group in groups.values():
            right = {question.meta["key"].partition("_")[2]: v.correct for question, v in group if v.decided}
            steps = ("1", "2") if group[0][0].meta["key"].startswith("2steps") else ("1", "2", "3")
            if set(right) == {*steps, "multi"}:
                problems.append((right["multi"], [right[step] for step in steps]))
        figures = summary(scored) | {
            "problems": float(len(problems)),
            "incomplete": float(len(groups) - len(problems)),
            "insufficient_knowledge": mean(not multi and not all(singles) for multi, singles in problems),
            "inadequate_generalisation": mean(not multi and all(singles) for multi, singles in problems),
        }
        lost = figures["inadequate_generalisation"] / 2 + figures["insufficient_knowledge"]
        for how, known in (("strict", all), ("loose", any)):
            mastered = mean(multi and known(singles) for multi, singles in problems)
            rote = mean(multi and not known(singles) for multi, singles in problems)
            figures[f"mastery_{how}"] = mastered
            figures[f"rote_memorisation_{how}"] = rote / (rote + mastered) if rote + mastered else math.nan
            figures[f"score_{how}"] = 1 - lost - rote
        for name in ("one_step", "two_step", "three_step"):
            asked = [v for question, v in scored if _STEPS.get(question.meta["key"], "one_step") == name]
            figures[f"accuracy/{name}"] = mean(verdict.correct for verdict in asked if verdict.decided)
        return figures


_STEPS = {"2steps_multi": "two_step", "3steps_multi": "three_step"}


class DynaMath(TableBenchmark):
    """DynaMath's sample: 501 seed questions, each in ten variants that a program generated.

    Schema (DynaMath/DynaMath_Sample, splits ``sample_variant1`` to ``sample_variant10``): ``id`` (of the seed, the
    same in every split), ``question`` (options in it: ``(A) yes (B) no``), ``image`` (a path), ``decoded_image``,
    ``ground_truth``, ``answer_type`` (``float``, ``multiple choice`` or a text), ``subject``, ``knowledge_level``.

    Rule (github.com/DynaMath/DynaMath, evaluation/; VLMEvalKit, vlmeval/dataset/dynamath.py): the "short answer" of a
    JSON response; a number may be 0.001 off, and may end in π; an option's letter; a text that contains the other one.
    ``average``: accuracy over all variants. ``worst_case``: share of seeds with every variant right. Here: the box;
    texts must be equal, not contained. A seed with an undecided variant and no wrong one is left out of ``worst_case``
    and counted in ``incomplete``.
    """

    name = "dynamath"
    source = Source("DynaMath/DynaMath_Sample", splits=tuple(f"sample_variant{i}" for i in range(1, 11)))
    multiple_choice = ("answer_type", "multiple choice")
    columns = Columns(
        answer="ground_truth",
        image=("decoded_image", "image"),
        id="id",
        written=True,
        more=("answer_type",),
        meta=("answer_type", "subject", "knowledge_level", SPLIT_COLUMN),
    )
    group_column = "id"
    breakdown = ("subject", "knowledge_level")
    headline = "average"

    def question_id(self, row: Mapping[str, Any], index: int) -> str:
        """The seed and the variant's row."""
        return f"{self.value(row, 'id')}/{row.get(SPLIT_COLUMN, index)}"

    def instruction(self, row: Mapping[str, Any], letter: str | None) -> str:
        """With the number format that the tolerance is made for."""
        text = super().instruction(row, letter)
        return f"{text} Write it as a decimal number with three places." if row["answer_type"] == "float" else text

    def tolerance(self, row: Mapping[str, Any]) -> float | None:
        """0.001, relative to the truth; for answers that :meth:`score` leaves to the verifier."""
        truth = _value(str(self.value(row, "ground_truth"))) if row["answer_type"] == "float" else None
        return ABSOLUTE_TOLERANCE / abs(truth) if truth else None

    async def score(self, question: Question, response_text: str) -> Verdict:
        """As usual, but a number may be 0.001 off and no more, however many digits it has; nor may a multiple of π."""
        if question.meta.get("answer_type") == "float":
            answer, truth = extract_answer(response_text), _value(str(question.ground_truth))
            value = None if answer is None else _value(answer)
            if value is not None and truth is not None:
                return Verdict(Status.OK, abs(value - truth) <= ABSOLUTE_TOLERANCE * (1 + 1e-9), answer)
        return await super().score(question, response_text)

    def aggregate(self, scored: Scored) -> dict[str, float]:
        """``average`` and ``worst_case``, beside the usual figures."""
        # None where every decided variant is right, but not every variant is decided.
        seeds = [
            all(v.correct for _, v in group if v.decided) and (all(v.decided for _, v in group) or None)
            for group in by_group(scored).values()
        ]
        figures = super().aggregate(scored)
        return figures | {
            "average": figures["accuracy"],
            "worst_case": mean(right for right in seeds if right is not None),
            "incomplete": float(seeds.count(None)),
        }


ABSOLUTE_TOLERANCE = 0.001


def _value(answer: str) -> float | None:
    """A decimal number or a fraction, also as a multiple of π or behind ``x =``; None for anything else.

    What is larger than any float is left to the verifier, too.
    """
    text = re.split(r"=|\\approx", canonical(answer))[-1].strip()
    number = parse_number(text.removesuffix("\\pi"))
    if number is None or number.percent:
        return None
    try:
        return float(number.value) * (math.pi if text.endswith("\\pi") else 1)
    except OverflowError:
        return None
