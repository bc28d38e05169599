"""Dump folders and dumps, as runs leave them."""

from __future__ import annotations

import pytest

from spark_verl.runs.dumps import files, rows, spread


def test_files_of_abandoned_steps_and_other_files_are_left_out(tmp_path):
    for name in ("2.jsonl", "10.jsonl", "11.jsonl", "notes.jsonl", "3.json"):
        (tmp_path / name).touch()
    assert list(files(tmp_path, 10)) == [2, 10]
    assert list(files(tmp_path)) == [2, 10, 11]
    assert files(tmp_path / "nowhere", 10) == {}


@pytest.mark.parametrize(
    ("steps", "most", "expected"),
    [(3, 5, [0, 1, 2]), (5, 5, [0, 1, 2, 3, 4]), (9, 3, [0, 4, 8]), (100, 2, [0, 99]), (7, 1, [6])],
)
def test_the_first_and_the_last_are_among_those_that_are_read(tmp_path, steps, most, expected):
    assert list(spread({step: tmp_path / f"{step}.jsonl" for step in range(steps)}, most)) == expected


@pytest.mark.parametrize(
    ("line", "objective", "why"),
    [
        ('{"objective": "pairwise", "score": 1.0}', "pairwise", "a row"),
        ('{"score": 0}', "policy", "a row of plain verl"),
        ('{"objective": "pairwise", "sco', None, "half a line"),
        ('{"objective": "other", "score": 1.0}', None, "of something else"),
        ('{"objective": "policy", "score": null}', None, "was not scored"),
    ],
)
def test_which_lines_are_rows(tmp_path, line, objective, why):
    (tmp_path / "1.jsonl").write_text(line + "\n")
    assert [row["objective"] for row in rows(tmp_path / "1.jsonl")] == [objective] * (objective is not None), why


def test_torn_lines_are_told_once(tmp_path, capsys):
    (tmp_path / "1.jsonl").write_text('{"score": 1}\n{"score": 0, "inp\n\n{"scor')
    for _ in range(2):
        assert len(list(rows(tmp_path / "1.jsonl"))) == 1
    assert capsys.readouterr().err == (
        f"spark_verl: warning: {tmp_path}/1.jsonl: 2 line(s) cannot be read and are left out\n"
    )
