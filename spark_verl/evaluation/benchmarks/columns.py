"""Benchmarks whose rows are one question each: a table of columns says how to read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from spark_verl.evaluation.benchmarks.benchmark import Benchmark, Names
from spark_verl.evaluation.benchmarks.multiple_choice import LETTERS, option_lines, options_of, right_option
from spark_verl.evaluation.question import BOXED_ANSWER, BOXED_LETTER, BOXED_LETTERS, Question
from spark_verl.reward import accepted_answers


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
        meta: Columns kept in ``Question.meta`` where they exist; ``a.b`` is ``b`` of the mapping in column ``a``.
    """

    question: Names = "question"
    answer: Names = "answer"
    image: Names | None = None
    options: Names | None = None
    id: str | None = None
    written: bool = False
    more: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()


class TableBenchmark(Benchmark):
    """One row, one question, read by :class:`Columns`.

    Multiple choice is recognised by a ground truth that names an option. Subclasses refine single steps: :meth:`text`,
    :meth:`letter`, :meth:`tolerance`, :meth:`instruction`.

    Attributes:
        columns: The columns.
        where: Keep only rows whose value in this column is one of these.
        multiple_choice: Column, and its value in rows that are multiple choice; None where the rows do not say.
    """

    columns: ClassVar[Columns]
    where: ClassVar[tuple[str, tuple[Any, ...]] | None] = None
    multiple_choice: ClassVar[tuple[str, str] | None] = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        read, own = cls.columns, (cls.group_column, cls.where and cls.where[0])
        names = (read.question, read.answer, read.image, read.options, read.id, *read.more, *own)
        cls.required = tuple(dict.fromkeys(name for name in names if name))

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
        choices = letter = None
        # The text of an open question may mention points A and B, and its answer be the name of one.
        if self.multiple_choice is None or row[self.multiple_choice[0]] == self.multiple_choice[1]:
            choices = self.choices(row)
            letter = self.letter(row, choices)
        pieces = [self.text(row)]
        if choices and not columns.written:
            pieces.append(option_lines(choices))
        pieces.append(self.instruction(row, letter))
        yield self.question(
            self.question_id(row, index),
            "\n".join(piece for piece in pieces if piece),
            self.rows.images(self.value(row, columns.image)) if columns.image else (),
            ground_truth=self.value(row, columns.answer) if letter is None else letter,
            choices=choices if letter is not None else None,
            tolerance=self.tolerance(row) if letter is None else None,
            group=str(self.value(row, self.group_column)) if self.group_column else None,
            meta=dict(self._meta(row)),
        )

    def _meta(self, row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name in self.columns.meta:
            column, _, key = name.partition(".")
            value = (row.get(column) or {}).get(key) if key else row.get(column)
            if value is not None:
                yield key or column, value

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

    def letter(self, row: Mapping[str, Any], choices: Mapping[str, str] | None) -> str | None:
        """The right option's letter, or the letters of several; None for an open question."""
        truths = accepted_answers(self.value(row, self.columns.answer))
        if len(truths) != 1:
            return None
        if choices:
            return right_option(truths[0], choices)
        # Options that are written in a way nobody foresaw, or drawn in the image
        bare = truths[0].strip("()[].: ")
        return bare if self.columns.written and len(bare) == 1 and bare in LETTERS else None

    def tolerance(self, row: Mapping[str, Any]) -> float | None:
        """The relative tolerance of an open question."""
        return None

    def instruction(self, row: Mapping[str, Any], letter: str | None) -> str:
        """What to write into the box; ``letter`` is what :meth:`letter` gave."""
        if letter is None:
            return BOXED_ANSWER
        return BOXED_LETTER if len(letter) == 1 else BOXED_LETTERS
