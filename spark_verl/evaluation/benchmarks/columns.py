"""Benchmarks whose rows are one question each: a table of columns says how to read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from spark_verl.evaluation.benchmarks.benchmark import Benchmark, Names
from spark_verl.evaluation.benchmarks.multiple_choice import LETTERS, option_lines, options_of
from spark_verl.evaluation.benchmarks.phrasing import BOXED_ANSWER, BOXED_LETTER, images_of
from spark_verl.evaluation.question import Question


@dataclass(frozen=True)
class Columns:
    """Which column holds what.

    Attributes:
        question: The question's text.
        answer: The ground truth.
        image: The image or images; None for questions without.
        options: A list of options, or a text with options in it.
        id: The row's own id; without it the row's number is used.
        written: The question's text holds its options, so that they can be read but need not be added.
        more: Further columns that the benchmark cannot do without.
        meta: Columns kept in ``Question.meta`` where they exist.
    """

    question: Names = "question"
    answer: Names = "answer"
    image: Names | None = None
    options: Names | None = None
    id: str | None = None
    written: bool = False
    more: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()

    def required(self) -> tuple[Names, ...]:
        """What :attr:`Benchmark.required` is for these columns."""
        return tuple(n for n in (self.question, self.answer, self.image, self.options, self.id, *self.more) if n)


class TableBenchmark(Benchmark):
    """One row, one question, read by :class:`Columns`.

    Multiple choice is recognised by a ground truth that is the letter of an option. Subclasses refine single steps:
    :meth:`text`, :meth:`choices`, :meth:`truth`, :meth:`tolerance`, :meth:`instruction`.

    Attributes:
        columns: The columns.
        where: Keep only rows whose value in this column is one of these.
    """

    columns: ClassVar[Columns]
    where: ClassVar[tuple[str, tuple[Any, ...]] | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = (cls.group_column, cls.where and cls.where[0])
        required = cls.columns.required()
        cls.required = (*required, *(name for name in own if name and name not in required))

    def order(self) -> list[int]:
        """As in :class:`Benchmark`, without the rows that :attr:`where` leaves out."""
        indices = super().order()
        if self.where is None:
            return indices
        column, wanted = self.where
        values = self.rows.column(column)
        return [index for index in indices if values[index] in wanted]

    def convert(self, row: Mapping[str, Any], index: int) -> Iterator[Question]:
        """The question of a row."""
        columns = self.columns
        choices = self.choices(row)
        letter = self.letter(row, choices)
        images = images_of(self.value(row, columns.image), self.rows.folder) if columns.image else []
        meta = {name: row[name] for name in columns.meta if row.get(name) is not None}
        pieces = [self.text(row)]
        if choices and not columns.written:
            pieces.append(option_lines(choices))
        pieces.append(self.instruction(row, letter is not None))
        yield self.question(
            self.question_id(row, index),
            "\n".join(piece for piece in pieces if piece),
            images,
            ground_truth=self.truth(row) if letter is None else letter,
            choices=choices if letter is not None else None,
            tolerance=None if letter is not None else self.tolerance(row),
            group=self.group(row),
            meta=self.meta(row, meta),
        )

    def question_id(self, row: Mapping[str, Any], index: int) -> str:
        """The question's id."""
        return str(self.value(row, self.columns.id)) if self.columns.id else str(index)

    def text(self, row: Mapping[str, Any]) -> str:
        """The question's text."""
        return str(self.value(row, self.columns.question) or "")

    def choices(self, row: Mapping[str, Any]) -> dict[str, str] | None:
        """The options by letter."""
        if self.columns.written:
            return options_of(self.text(row))
        return options_of(self.value(row, self.columns.options)) if self.columns.options else None

    def truth(self, row: Mapping[str, Any]) -> Any:
        """The ground truth of an open question."""
        return self.value(row, self.columns.answer)

    def letter(self, row: Mapping[str, Any], choices: Mapping[str, str] | None) -> str | None:
        """The right option's letter; None for an open question."""
        truth = str(self.value(row, self.columns.answer)).strip()
        if choices:
            return truth if truth in choices else None
        # Options that are written in a way nobody foresaw, or drawn in the image
        return truth if self.columns.written and len(truth) == 1 and truth in LETTERS else None

    def tolerance(self, row: Mapping[str, Any]) -> float | None:
        """The relative tolerance of an open question."""
        return None

    def instruction(self, row: Mapping[str, Any], multiple_choice: bool) -> str:
        """What to write into the box."""
        return BOXED_LETTER if multiple_choice else BOXED_ANSWER

    def group(self, row: Mapping[str, Any]) -> str | None:
        """The question's group."""
        return str(self.value(row, self.group_column)) if self.group_column else None

    def meta(self, row: Mapping[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
        """``Question.meta``; ``meta`` holds the columns of :attr:`Columns.meta`."""
        return meta


def relative(absolute: float, truth: Any) -> float | None:
    """An absolute tolerance relative to a ground truth; None where there is none: a truth of zero, or no number."""
    try:
        size = abs(float(truth))
    except ValueError:
        return None
    # A difference of just the tolerance is accepted, in spite of rounding
    return absolute / size * (1 + 1e-9) if size else None
