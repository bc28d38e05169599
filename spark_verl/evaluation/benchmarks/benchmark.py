"""What every benchmark is: questions, a verdict on a response, and figures over all verdicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from spark_verl.evaluation.benchmarks.multiple_choice import score_choice
from spark_verl.evaluation.benchmarks.source import Rows, Source
from spark_verl.evaluation.question import Question, user_message
from spark_verl.options import brief
from spark_verl.reward import Verdict, averify, parse_judgement
from spark_verl.vocabulary import LabelForm, Status

Scored = Sequence[tuple[Question, Verdict]]
Names = str | tuple[str, ...]
"""A column; of several names the first one that is there is read."""

REGISTRY: dict[str, type[Benchmark]] = {}
"""Every benchmark by its name; a subclass with a name of its own adds itself."""


class Benchmark:
    """A benchmark: reads rows, asks questions, scores responses, sums up.

    A subclass names its :attr:`source`, the columns that it needs, and how a row becomes questions
    (:meth:`convert`); where the benchmark has rules of its own it replaces :meth:`score` or :meth:`aggregate`. Its
    docstring says where schema and rule come from, and where they are read differently here.

    Attributes:
        name: What :func:`spark_verl.evaluation.benchmarks.load` calls it.
        source: Where its rows are on the hub.
        headline: The key of :meth:`aggregate` that the benchmark itself reports first.
        required: Columns without which there are no questions.
        breakdown: Keys of ``Question.meta`` for which :meth:`aggregate` gives accuracies.
        mean_over: The one of them over whose values ``mean_accuracy`` is the mean; None for no such figure.
        group_column: Column that tells which rows belong together; their questions follow one another.
    """

    name: ClassVar[str]
    source: ClassVar[Source]
    headline: ClassVar[str] = "accuracy"
    required: ClassVar[tuple[Names, ...]] = ()
    breakdown: ClassVar[tuple[str, ...]] = ()
    mean_over: ClassVar[str | None] = None
    group_column: ClassVar[str | None] = None

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            REGISTRY[cls.name] = cls

    def __init__(self, rows: Rows, limit: int | None = None) -> None:
        self.rows = rows
        self.limit = limit
        self.present = self._present_columns()

    def _present_columns(self) -> dict[Names, str]:
        """The name that is there for every required column."""
        columns, present = self.rows.columns, {}
        for names in self.required:
            options = (names,) if isinstance(names, str) else names
            found = next((name for name in options if name in columns), None)
            if found is None:
                wanted = " or ".join(map(repr, options))
                raise ValueError(f"{self.name}: {self.rows.where} has no column {wanted}, only {sorted(columns)}")
            present[names] = found
        return present

    def value(self, row: Mapping[str, Any], names: Names) -> Any:
        """The value of a required column in a row."""
        return row[self.present[names]]

    @property
    def questions(self) -> Iterator[Question]:
        """The questions; rows are read while one iterates, every time anew.

        At most ``limit``, except that a group is never cut: its last question is still given.

        Raises:
            ValueError: A row does not fit the schema; the message has its number.
        """
        count, group = 0, None
        for index in self.order():
            for question in self._converted(index):
                full = self.limit is not None and count >= self.limit
                if full and (question.group is None or question.group != group):
                    return
                yield question
                count, group = count + 1, question.group

    def _converted(self, index: int) -> list[Question]:
        row = self.rows[index]
        try:
            if missing := [name for name in self.present.values() if name not in row]:
                raise ValueError(f"no {missing[0]!r}, only {sorted(row)}")
            return list(self.convert(row, index))
        # Rows are anybody's: a text where a list should be, a mapping without its key, a number that no float holds.
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {brief(error)}"
            raise ValueError(f"{self.name}: row {index} of {self.rows.where}: {reason}") from error

    def group_of(self, value: Any) -> Hashable:
        """The group of a row from its value in :attr:`group_column`."""
        return str(value)

    def order(self) -> list[int]:
        """The rows' indices in the order in which they are asked: groups together, otherwise as they are stored."""
        if self.group_column is None:
            return list(range(len(self.rows)))
        groups: dict[Hashable, list[int]] = {}
        for index, value in enumerate(self.rows.column(self.present[self.group_column])):
            groups.setdefault(self.group_of(value), []).append(index)
        return [index for group in groups.values() for index in group]

    def convert(self, row: Mapping[str, Any], index: int) -> Iterator[Question]:
        """The questions of a row.

        Args:
            row: The row.
            index: Its place in the source, for ids and messages.
        """
        raise NotImplementedError

    def question(self, id: str, text: str, images: Sequence[Any] = (), **fields: Any) -> Question:
        """A question of one user turn; ``fields`` are those of :class:`Question`."""
        return Question(id, self.name, user_message(text, images), **fields)

    def label_form(self, question: Question) -> LabelForm | None:
        """How a question that is itself a judge question wants its verdict; None for any other."""
        return None

    def can_be_judged(self, question: Question) -> bool:
        """Whether "is this answer right?" makes sense: not for answers that are themselves judgements."""
        return self.label_form(question) is None

    async def score(self, question: Question, response_text: str) -> Verdict:
        """The verdict on a whole response.

        A judge question's label, or the option that the boxed answer names, must be the right one. Any other boxed
        answer is compared with the ground truth, with the question's tolerance.
        """
        truth, choices = question.ground_truth, question.choices
        form = self.label_form(question)
        if form is not None:
            found = parse_judgement(response_text, form)
            return Verdict(Status.UNPARSABLE if found is None else Status.OK, found == truth, found)
        if choices and isinstance(truth, str) and truth in choices:
            return await score_choice(response_text, truth, choices)
        return await averify(response_text, truth, choices=choices, tolerance=question.tolerance)

    def aggregate(self, scored: Scored) -> dict[str, float]:
        """Figures over all questions.

        Args:
            scored: One verdict per question; of several rounds of sampling, one round at a time.

        Returns:
            The figures of :func:`summary`, ``accuracy/<key>=<value>`` for every key of :attr:`breakdown`, and
            ``mean_accuracy`` where there is :attr:`mean_over`.
        """
        figures = summary(scored) | breakdown(scored, self.breakdown)
        if self.mean_over is not None:
            figures["mean_accuracy"] = mean(breakdown(scored, (self.mean_over,)).values())
        return figures


def summary(scored: Scored) -> dict[str, float]:
    """Plain figures.

    Returns:
        ``accuracy``: right among decided verdicts, NaN when there is none. ``count``: decided verdicts.
        ``undecided``: verdicts with status ``timeout`` or ``error``, which are neither right nor wrong.
        ``unparsable``: share of decided verdicts without an answer; they are wrong.
    """
    decided = [verdict for _, verdict in scored if verdict.decided]
    return {
        "accuracy": mean(verdict.correct for verdict in decided),
        "count": float(len(decided)),
        "undecided": float(len(scored) - len(decided)),
        "unparsable": mean(verdict.status == Status.UNPARSABLE for verdict in decided),
    }


def breakdown(scored: Scored, keys: Sequence[str]) -> dict[str, float]:
    """``accuracy/<key>=<value>`` for every value of the given meta keys; a question with several values counts in each.

    Questions without the key are left out.
    """
    found: dict[str, list[bool]] = defaultdict(list)
    for question, verdict in scored:
        for key in keys if verdict.decided else ():
            values = question.meta.get(key, ())
            for value in values if isinstance(values, list | tuple) else (values,):
                found[f"accuracy/{key}={value}"].append(verdict.correct)
    return {name: mean(found[name]) for name in sorted(found)}


def by_group(scored: Scored, key: Callable[[Question], Hashable] = lambda q: q.group) -> dict[Any, Scored]:
    """Verdicts by group.

    Raises:
        ValueError: A question occurs twice: the rule of a group is about one response to each of its questions.
    """
    groups: dict[Hashable, list[tuple[Question, Verdict]]] = defaultdict(list)
    seen = set()
    for question, verdict in scored:
        if question.id in seen:
            raise ValueError(f"question {question.id!r} was scored twice: aggregate every round of sampling on its own")
        seen.add(question.id)
        groups[key(question)].append((question, verdict))
    return dict(groups)


def mean(values: Iterable[float]) -> float:
    """The mean; NaN of nothing."""
    values = list(values)
    return sum(values) / len(values) if values else float("nan")
