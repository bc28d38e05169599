"""Rules for several values: sets, tuples, matrices, equations and inequalities."""

from __future__ import annotations

import re

from spark_verl.reward.certainty import all_of, any_of, one_to_one
from spark_verl.reward.intervals import read_intervals, same_intervals
from spark_verl.reward.points import constant, same_function
from spark_verl.reward.relations import Relations, same_statements
from spark_verl.reward.rules import all_equal, equal, rule
from spark_verl.reward.values import Kind, Sequence, Value, read

_FUNCTION_OF_X = re.compile(r"[fgh]\(x\)")
_MAX_SLOW = 8


# -- sets, tuples, matrices --------------------------------------------------------------------------------------------


@rule("intervals", "intervals")
@rule("intervals", "sequence", swapped=True)
def _intervals(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    a, t = (v.content if v.kind is Kind.INTERVALS else read_intervals(v.text) for v in (answer, truth))
    return bool(a and t) and same_intervals(a, t)


@rule("matrix", "matrix")
def _matrices(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    if list(map(len, answer.content)) != list(map(len, truth.content)):
        return False
    return all_equal(sum(answer.content, ()), sum(truth.content, ()), tolerance)


@rule("matrix", "sequence", swapped=True)
def _vectors(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    """A row or a column, and a tuple."""
    matrix, other = (answer, truth) if answer.kind is Kind.MATRIX else (truth, answer)
    rows = matrix.content
    if other.content.form not in ("(", "[") or not (len(rows) == 1 or all(len(row) == 1 for row in rows)):
        return False
    a, t = (sum(rows, ()) if value is matrix else value.content.items for value in (answer, truth))
    return all_equal(a, t, tolerance)


@rule("matrix", "expression", swapped=True)
@rule("malformed", "expression")
def _only_algebra(answer: Value, truth: Value, tolerance: float | None) -> None:
    return None


@rule("sequence", "sequence")
def _sequences(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    a, t = answer.content, truth.content
    if a.form != t.form and "{" in (a.form, t.form) and "" not in (a.form, t.form):
        return False
    if a.ordered and t.ordered and a.form != t.form:
        return False  # what is open on one side is closed on the other
    if a.ordered or t.ordered or (a.form == t.form == "" and (_in_order(t) or _counts(t) and not _counts(a))):
        return all_equal(a.items, t.items, tolerance)
    return _same_items(a, t, tolerance)


def _in_order(truth: Sequence) -> bool:
    """Letters that are not in alphabetical order are an order, and so are the numbers from 1 to n, and signs."""
    texts = [item.text for item in truth.items]
    if all(re.fullmatch("[A-Z]", text) for text in texts):
        return texts != sorted(texts)
    numbered = [str(number) for number in range(1, len(texts) + 1)]
    if len(texts) > 2 and sorted(texts) == numbered:
        return len(texts) > 3 or texts != numbered
    return any(item.kind is Kind.EXPRESSION and same_function(item.text, item.text) is None for item in truth.items)


def _counts(sequence: Sequence) -> bool:
    """Whether its numbers are told apart by what they count: ``40 white and 41 black``."""
    return len({item.content.unit for item in sequence.items if item.kind is Kind.NUMBER}) > 1


def _same_items(a: Sequence, t: Sequence, tolerance: float | None) -> bool | None:
    """Whether two lists are equal in some order; as sets, where both stand in braces."""
    as_sets = a.form == t.form == "{"
    if len(a.items) != len(t.items) and not as_sets:
        return False
    slow = any(item.kind not in (Kind.NUMBER, Kind.WORDS) for item in (*a.items, *t.items))
    if slow and len(t.items) > _MAX_SLOW:
        return None
    if as_sets:
        found = [[equal(x, y, tolerance) for x in a.items] for y in t.items]
        return all_of(any_of(row) for row in (*found, *zip(*found, strict=True)))
    return one_to_one(a.items, t.items, lambda item, wanted: equal(item, wanted, tolerance))


# -- equations and inequalities ----------------------------------------------------------------------------------------


@rule("relation", "relation")
def _relations(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    a: Relations = answer.content
    t: Relations = truth.content
    sets = a.solution(), t.solution()
    if sets[0] and sets[1]:
        return sets[0][0] == sets[1][0] and same_intervals(sets[0][1], sets[1][1])
    named, wanted = a.values(), t.values()
    if named and wanted:
        if named.keys() == wanted.keys():
            return all_of(_one_value(named[name], wanted[name], tolerance) for name in wanted)
        if len(named) == len(wanted) == 1 and _same_left(*named, *wanted):
            return _one_value(*named.values(), *wanted.values(), tolerance)
        if any(constant(text) is not None for texts in wanted.values() for text in texts):
            return False
    elif wanted and all(constant(text) is not None for texts in wanted.values() for text in texts):
        return False  # "2x = 10" is not yet "x = 5"
    return a.any_of == t.any_of and same_statements(a.atoms, t.atoms)


def _same_left(a: str, t: str) -> bool:
    return all(name == "y" or _FUNCTION_OF_X.fullmatch(name) for name in (a, t))


def _one_value(a: list[str], t: list[str], tolerance: float | None) -> bool | None:
    return equal(read(", ".join(a)), read(", ".join(t)), tolerance)


@rule("relation", "intervals sequence", swapped=True)
def _solutions(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    """An inequality and the interval that it describes."""
    relation, other = (answer, truth) if answer.kind is Kind.RELATION else (truth, answer)
    solution = relation.content.solution()
    found = other.content if other.kind is Kind.INTERVALS else read_intervals(other.text)
    if solution is None or not found:
        return None
    return same_intervals(solution[1], found)


def _adds_up(relations: Relations) -> bool:
    """Whether no two sides of a chain are different numbers: ``3+4 = 8`` is no way to 8."""
    sides = [side for side in relations.chains[0][0] if constant(side) is not None]
    approximate = "\\approx" in relations.chains[0][1]
    return approximate or all(same_function(sides[0], side) is not False for side in sides[1:])


@rule("relation", " ".join(kind.value for kind in Kind if kind is not Kind.RELATION), swapped=True)
def _value_of_relation(answer: Value, truth: Value, tolerance: float | None) -> bool | None:
    """``x = 5`` for 5, ``3 + 4 = 7`` for 7, ``x=1, y=2`` for (1, 2)."""
    is_answer = answer.kind is Kind.RELATION
    relation, other = (answer, truth) if is_answer else (truth, answer)

    def against(text: str) -> bool | None:
        value = read(text)
        return equal(value, other, tolerance) if is_answer else equal(other, value, tolerance)

    named = relation.content.values()
    if not named:
        result = relation.content.result if is_answer and _adds_up(relation.content) else None
        return False if result is None else against(result)
    if len(named) == 1:
        return against(", ".join(*named.values()))
    items = other.content.items if other.kind is Kind.SEQUENCE and other.content.form in ("", "(") else ()
    if len(items) != len(named) or any(len(texts) > 1 for texts in named.values()):
        return False
    written = [read(texts[0]) for texts in named.values()]
    by_name = [read(named[name][0]) for name in sorted(named)]
    found = []
    for values in (written, by_name):
        pair = (tuple(values), items) if is_answer else (items, tuple(values))
        found.append(all_equal(*pair, tolerance))
    return any_of(found)
