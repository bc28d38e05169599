"""Which judge prompts stand beside which group."""

from __future__ import annotations

import json

import pytest

from spark_verl.report.frame import Run
from spark_verl.report.gallery import collect


def a_step_late(folder, steps: int) -> None:
    """Turn the dumps into those of ``spark.judge_step: next``: a group's id is that of its step."""
    for step in range(1, steps + 1):
        path, rows = folder / "rollouts" / f"{step}.jsonl", []
        for line in path.read_text().splitlines():
            row = json.loads(line)
            if row.get("role") == "policy":
                rows.append(row | {"uid": f"step{step}-{row['uid']}"})
            elif row.get("role") == "judge" and step > 1:
                rows.append(row | {"parent": f"step{step - 1}-{row['parent']}", "shown_step": step - 1})
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("late", [False, True], ids=["same", "next"])
@pytest.mark.parametrize("validated", [True, False])
def test_a_group_stands_beside_the_judge_prompts_about_it(make_run, late, validated):
    folder = make_run()
    if late:
        a_step_late(folder, steps=6)
    if not validated:
        for path in (folder / "validation").iterdir():
            path.unlink()
    found = collect(Run(folder))
    assert [family.step for family in found.families] == [1, 3, 6]
    for family in found.families:
        # Nobody asks about the last step any more.
        expected = set() if late and family.step == 6 else {"pointwise", "pairwise", "reflection"}
        assert {child.objective for child in family.children} == expected
        assert all(family.question.prompt in child.prompt for child in family.children) and family.question.images
    assert found.without_image == 0


def test_a_dump_that_is_gone_stops_nothing(make_run):
    folder = make_run()
    a_step_late(folder, steps=6)
    for step in (3, 5):
        (folder / "rollouts" / f"{step}.jsonl").unlink()
    found = collect(Run(folder))
    assert [(family.step, bool(family.children)) for family in found.families] == [(1, True), (4, False), (6, False)]
