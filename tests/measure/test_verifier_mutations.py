"""The mutation benchmark makes other answers, finds a verifier that takes them, and reads ground truths from files."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import verifier_mutations as mutations
from verifier_kinds import kinds

from spark_verl.reward import verify_answer


@pytest.mark.parametrize(
    ("mutator", "gold", "mutant"),
    [
        ("digit", "12", "22"),
        ("digit", r"\frac{3}{7}", r"\frac{4}{7}"),
        ("sign", "-7", "7"),
        ("sign", "x+1", "x-1"),
        ("unit", "5 cm^2", "5 cm^3"),
        ("unit", "4:30 p.m.", "4:30 a.m."),
        ("base", "204_5", "204_6"),
        ("order", "(3, -4)", "( -4,3)"),
        ("order", "1:2:3", "2:1:3"),
        ("order", "GRGR", "RGGR"),
        ("order", "10-20", "20-10"),
        ("name", "x=1, y=2", "x=2, y=1"),
        ("name", "5 km south", "5 km north"),
        ("name", "2<x", "2>x"),
        ("option", "A", "A or B"),
        ("option", "Yes", "Yes or No"),
    ],
)
def test_mutants(mutator: str, gold: str, mutant: str) -> None:
    assert mutant in list(mutations.MUTATORS[mutator](gold))


@pytest.mark.parametrize(
    ("mutator", "gold"),
    [
        ("sign", "0"),
        ("order", r"\{1, 2\}"),
        ("order", "1, 2"),
        ("order", "x+y"),
        ("base", "12"),
        ("unit", "cm"),
        ("option", "x"),
        ("name", r"\right"),
    ],
)
def test_what_would_be_the_same_answer_is_no_mutant(mutator: str, gold: str) -> None:
    assert list(mutations.MUTATORS[mutator](gold)) == []


def test_no_mutant_of_any_kind_is_accepted() -> None:
    golds = [truth for _, _, truth, _ in kinds()]
    found = mutations.mutate(golds, lambda answer, truth: verify_answer(answer, [truth]).correct, most=4)
    assert (found.accepted, found.refused) == ([], [])
    assert all(found.mutants[name] for name in mutations.MUTATORS)


def test_a_generous_verifier_is_found_out() -> None:
    """One that drops signs, letters in their order, and what does not parse."""
    found = mutations.mutate(
        ["12", "GRGR", "-7"], lambda answer, truth: sorted(answer.strip("-")) == sorted(truth.strip("-"))
    )
    assert {kind for kind, _, _ in found.accepted} == {"order", "sign"}
    found = mutations.mutate(["12"], lambda answer, truth: None)
    assert found.refused == ["12"] and found.undecided == found.mutants.total()


def test_ground_truths_of_data_files(tmp_path: Path) -> None:
    rows = [{"reward_model": {"ground_truth": truth}} for truth in ("12", r"\boxed{x}")]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [{"answer": "so\n#### 12"}, {"answer": ["x"]}])))
    (tmp_path / "rows.json").write_text(json.dumps([{"label": 12}, {"label": "x"}, {}]))
    assert mutations.read_golds(tmp_path / "rows.parquet") == ["12", "x"]
    assert mutations.read_golds(tmp_path / "rows.jsonl") == ["12", "x"]
    assert mutations.read_golds(tmp_path / "rows.json", "label") == ["12", "x"]
    with pytest.raises(ValueError, match="--field"):
        mutations.read_golds(tmp_path / "rows.json")
