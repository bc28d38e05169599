"""The drill's verdict: the same run, or where it is another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kill_drill import COMPARED, Drill

STEPS = 2


def write(folder: Path, answer: str = "4", left_out: int | None = None, factor: float = 1.0, seen: int = 3) -> None:
    """A finished run, with what is changed of it."""
    (folder / "rollouts").mkdir(parents=True)
    lines = []
    for step in range(1, STEPS + 1):
        row = {"objective": "policy", "input": f"question {step}", "output": answer, "gts": "4", "index": step}
        (folder / "rollouts" / f"{step}.jsonl").write_text(json.dumps(row | {"score": 1.0}) + "\n")
        if step != left_out:
            data = dict.fromkeys(COMPARED, 0.5 * factor) | {"spark/leaked_keys": 0}
            lines.append(json.dumps({"step": step, "data": data}) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    checkpoint = folder / f"global_step_{STEPS}"
    checkpoint.mkdir()
    (checkpoint / "spark.json").write_text(json.dumps({"seen": seen}))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, {"the same run": True}),
        ({"answer": "5"}, {"steps with other rows": [1, 2], "the same run": False}),
        ({"left_out": 1}, {"steps without metrics": [1], "the same run": False}),
        ({"factor": 1.1}, {"largest relative difference": pytest.approx(0.1), "the same run": False}),
        ({"seen": 4}, {"same balance and alarm": False, "the same run": False}),
    ],
    ids=["the same", "another answer", "a hole", "another loss", "another memory"],
)
def test_what_is_the_same_run(tmp_path: Path, changed: dict, told: dict) -> None:
    drill = Drill(tmp_path, tmp_path, tmp_path, STEPS)
    write(tmp_path / "unbroken")
    write(tmp_path / "killed", **changed)
    found = drill.compare()
    assert {name: found[name] for name in told} == told
