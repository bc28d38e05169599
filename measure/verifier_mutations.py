"""Mutated ground truths that the verifier must refuse: another digit, sign, unit, base, order, name or option.

    python measure/verifier_mutations.py                                # own and generated ground truths
    python measure/verifier_mutations.py --data train.parquet           # those of a data file
    python measure/verifier_mutations.py --data rows.jsonl --field answer --limit 5000

A ground truth is changed in one place, by one kind of change, and given as the answer. Nearly every mutant is another
answer by construction; in a data file a few may mean the same after all (``1^3`` and ``1^4``), so each one that was
accepted is listed. The exit code is 1 if there is any, or if a ground truth is not accepted as its own answer.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from verifier_kinds import kinds
from verifier_pairs import make_pairs

_UNITS = [
    ("km/h", "m/s"), ("m/s^2", "m/s"), ("cm^2", "cm^3"), ("m}^3", "m}^2"), (" cm", " mm"), (" km", " miles"),
    (" N", " J"), (" kg", " g"), ("hours", "minutes"), ("minutes", "seconds"), ("square inches", "square feet"),
    ("cubic", "square"), ("°C", "°F"), ("¢", " dollars"), ("€", "£"), (" am", " pm"), (" p.m.", " a.m."),
    (" PM", " AM"), (" ft", " yd"), (" in", " cm"), ("meters", "feet"), (" g", " mg"),
]  # fmt: skip
_WORDS = [
    ("south", "north"), ("right", "left"), ("fewer", "more"), ("more", "less"), ("square", "hexagon"), ("Mike", "Jake"),
    ("July", "June"), ("Monday", "Tuesday"), ("red", "blue"), ("Yes", "No"), ("No", "Yes"), ("True", "False"),
    ("and II", "and III"), ("I.", "III."), ("white", "green"), ("Area", "Perimeter"),
]  # fmt: skip
_RELATIONS = [
    ("<", ">"),
    (">", "<"),
    ("<", r"\le "),
    (r"\ge", ">"),
    (r"\ge", r"\le"),
    ("[", "("),
    (")", "]"),
    ("''", "'"),
]

Mutator = Callable[[str], Iterator[str]]


def _replaced(pairs: list[tuple[str, str]], text: str) -> Iterator[str]:
    for old, new in pairs:
        for match in re.finditer(re.escape(old) + ("(?![a-z])" if old[-1].isalpha() else ""), text):
            before = text[: match.start()][-1:]
            if not (old[0].isalpha() and (before.isalpha() or before == "\\")):
                yield text[: match.start()] + new + text[match.end() :]


def digit(text: str) -> Iterator[str]:
    """One digit is another; names of variables keep theirs."""
    for match in re.finditer(r"(?<![_{A-Za-z\d])\d+|(?<=[=({,])\d+", text):
        for place in {match.start(), match.end() - 1}:
            other = str(int(text[place]) % 9 + 1)
            yield text[:place] + other + text[place + 1 :]


def sign(text: str) -> Iterator[str]:
    """A minus in front, or none; a plus for a minus and the other way round."""
    if re.fullmatch(r"-?(?:\d[\d.,]*|\\frac\{\d+\}\{\d+\}|\d*\\sqrt\{\d+\}|\d*\\pi)", text) and text.strip("0.,"):
        yield text[1:] if text[0] == "-" else f"-{text}"
    for match in re.finditer(r"(?<=[\w)}!])(\+|-)(?=[\w\\(])", text):
        if not re.search(r"\d-\d", text[match.start() - 1 : match.end() + 1]):
            yield text[: match.start()] + ("-" if match[1] == "+" else "+") + text[match.end() :]


def unit(text: str) -> Iterator[str]:
    """Another unit, or another half of the day."""
    return _replaced(_UNITS, text) if re.search(r"\d", text) else iter(())


def base(text: str) -> Iterator[str]:
    """Another base."""
    if match := re.fullmatch(r"(\(?[\d.]{2,}\)?(?:_\{?| in base ))(\d+)(\}?)", text):
        yield f"{match[1]}{int(match[2]) + 1}{match[3]}"
        yield f"{match[1]}{int(match[2]) + 2}{match[3]}"


def order(text: str) -> Iterator[str]:
    """Two neighbours change places, in whatever has an order: tuples, ratios, ranges, names, dates."""
    inner = re.fullmatch(r"(\(|\\langle |\\angle |\\triangle )?(.*?)(\)|\\rangle)?", text, re.DOTALL)
    before, middle, after = (part or "" for part in inner.groups()) if inner else ("", text, "")
    if before and "," in middle:
        parts, glue = middle.split(","), ","
    elif re.fullmatch(r"[^:]+(:[^:]+)+", middle) and not re.search(r"\d:\d\d\b", middle):
        parts, glue = middle.split(":"), ":"
    elif re.fullmatch(r"[\d.%]+(-[\d.%]+)+", middle):
        parts, glue = middle.split("-"), "-"
    elif re.fullmatch(r"[A-Z]{3,12}", middle):
        parts, glue = list(middle), ""
    else:
        return
    for place in range(len(parts) - 1):
        if parts[place].strip() != parts[place + 1].strip():
            swapped = [*parts[:place], parts[place + 1], parts[place], *parts[place + 2 :]]
            if not (before == "\\angle " and swapped == parts[::-1]):
                yield before + glue.join(swapped) + after


def name(text: str) -> Iterator[str]:
    """Values change their names, a word is another, a relation turns round."""
    named = re.fullmatch(r"(\S+ ?= ?)(\S+?)(, | \\text\{ and \} )(\S+ ?= ?)(\S+)", text)
    if named and named[2] != named[5]:
        yield named[1] + named[5] + named[3] + named[4] + named[2]
    counted = re.fullmatch(r"(\d+ )(\w+)( and \d+ )(\w+)", text)
    if counted:
        yield counted[1] + counted[4] + counted[3] + counted[2]
    yield from _replaced(_WORDS, text)
    if re.search(r"[<>]|\\[gl]e|[\[(].*,.*[)\]]|''", text):
        yield from _replaced(_RELATIONS, text)
    if re.search("[<>]", text):
        yield from _replaced([(" or ", " and ")], text)


def option(text: str) -> Iterator[str]:
    """Another letter, or more than one; both answers of a question with two."""
    if match := re.fullmatch(r"\(?([A-J])\)?(?:\.? .*)?", text):
        others = [letter for letter in "ABCDE" if letter != match[1]]
        for form in (
            "{1}",
            "({1})",
            "{0}, {1}",
            "({0}) and ({1})",
            "[{0}][{1}]",
            "{0} or {1}",
            "{0}: {1}",
            "{0}) {1})",
        ):
            for other in others[:2]:
                yield form.format(match[1], other)
        yield "(A), (B), (C), (D)"
    if text in ("Yes", "No", "True", "False"):
        yield from (f"{text} or {other}" for other in ("No", "Yes", "False") if other != text)


MUTATORS: dict[str, Mutator] = {
    function.__name__: function for function in (digit, sign, unit, base, order, name, option)
}


@dataclass
class Findings:
    """What became of the mutants.

    Attributes:
        mutants: How many there were, by mutation.
        accepted: (mutation, mutant, ground truth) of those that were taken for right.
        undecided: How many had no verdict.
        refused: Ground truths that are not accepted as their own answer.
    """

    mutants: Counter[str] = field(default_factory=Counter)
    accepted: list[tuple[str, str, str]] = field(default_factory=list)
    undecided: int = 0
    refused: list[str] = field(default_factory=list)


def mutate(golds: Iterable[str], verify: Callable[[str, str], bool | None], most: int = 12) -> Findings:
    """Try mutants of every ground truth.

    Args:
        golds: Ground truths.
        verify: Whether an answer is right for a ground truth; None where it cannot say.
        most: Mutants of one kind per ground truth, chosen at random where there are more.
    """
    found, rng = Findings(), random.Random(0)
    for gold in dict.fromkeys(golds):
        if verify(gold, gold) is not True:
            found.refused.append(gold)
        for kind, mutator in MUTATORS.items():
            mutants = [mutant for mutant in dict.fromkeys(mutator(gold)) if mutant != gold]
            for mutant in rng.sample(mutants, min(most, len(mutants))):
                found.mutants[kind] += 1
                verdict = verify(mutant, gold)
                if verdict:
                    found.accepted.append((kind, mutant, gold))
                found.undecided += verdict is None
    return found


def own_golds() -> list[str]:
    """The ground truths of the table of kinds and of the generated pairs."""
    return [truth for _, _, truth, _ in kinds()] + [
        pair.truth for pair in make_pairs(2400, seed=0) if pair.choices is None
    ]


def read_golds(path: Path, column: str | None = None) -> list[str]:
    """Ground truths of a data file.

    Args:
        path: Parquet, JSON lines, or a JSON list.
        column: Where they are, with dots for what is nested; None to look at the usual places.

    Raises:
        ValueError: No row has one there.
    """
    from spark_verl.reward import accepted_answers

    places = [column] if column else ["reward_model.ground_truth", "ground_truth", "answer", "final_answer", "target"]
    golds = []
    for row in _rows(path):
        values = [value for value in (_at(row, place) for place in places) if value is not None]
        golds += accepted_answers(values[0]) if values else []
    if not golds:
        raise ValueError(f"{path}: no row has a ground truth at {' or '.join(places)}; name its place with --field")
    return golds


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    elif path.suffix == ".json":
        yield from json.loads(path.read_text(encoding="utf-8-sig"))
    else:
        for line in path.open(encoding="utf-8-sig"):
            if line.strip():
                yield json.loads(line)


def _at(row: Any, place: str) -> Any:
    for key in place.split("."):
        row = row.get(key) if isinstance(row, dict) else None
    return row


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="parquet, jsonl or json file with ground truths")
    parser.add_argument("--field", help="their place in a row, with dots (reward_model.ground_truth)")
    parser.add_argument("--limit", type=int, help="different ground truths that are tried")
    parser.add_argument("--show", type=int, default=50, help="mutants listed")
    arguments = parser.parse_args()
    from spark_verl.reward import verify_answer

    def verdict(answer: str, truth: str) -> bool | None:
        found = verify_answer(answer, [truth])
        return found.correct if found.decided else None

    try:
        golds = read_golds(arguments.data, arguments.field) if arguments.data else own_golds()
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    golds = list(dict.fromkeys(golds))[: arguments.limit]
    found = mutate(golds, verdict)
    accepted = Counter(kind for kind, _, _ in found.accepted)
    print(f"{'mutation':<10}{'mutants':>9}{'accepted':>10}")
    for kind in MUTATORS:
        print(f"{kind:<10}{found.mutants[kind]:>9}{accepted[kind]:>10}")
    print(f"{'all':<10}{found.mutants.total():>9}{accepted.total():>10}   of {len(golds)} ground truths")
    print(f"undecided: {found.undecided}; ground truths not accepted as their own answer: {len(found.refused)}")
    for kind, mutant, gold in found.accepted[: arguments.show]:
        print(f"  {kind:<8} {mutant[:60]!r} accepted for {gold[:60]!r}")
    for gold in found.refused[: arguments.show]:
        print(f"  refused  {gold[:60]!r}")
    sys.exit(1 if found.accepted or found.refused else 0)


if __name__ == "__main__":
    main()
