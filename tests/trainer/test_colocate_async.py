"""What is said of the age of rows."""

from __future__ import annotations

import pytest

from spark_verl.rollout.tags import put_row
from spark_verl.trainer.colocate_async import staleness
from spark_verl.vocabulary import LabelForm, Objective, RowTag, Source

JUDGE = RowTag(Objective.POINTWISE, Source.ANSWER, LabelForm.YES_NO, "right", "a", True)


def row(began: int, ended: int, **more) -> dict:
    return {"min_global_steps": began, "max_global_steps": ended, **more}


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([row(4, 4)], {"policy/mean": 0.0, "policy/max": 0.0, "policy/continued": 0.0}),
        ([row(4, 4), row(2, 4)], {"policy/mean": 1.0, "policy/max": 2.0, "policy/continued": 0.5}),
        ([put_row(row(3, 4), JUDGE)], {"judge/mean": 1.0, "judge/max": 1.0, "judge/continued": 1.0}),
        ([row(4, 4), row(0, 0, is_padding=True)], {"policy/mean": 0.0, "policy/max": 0.0, "policy/continued": 0.0}),
        ([], {}),
    ],
    ids=["of this step", "one went on", "a judge's", "padding has no age", "nothing"],
)
def test_staleness(tags, expected):
    assert staleness(tags, step=5) == {f"spark/staleness/{name}": value for name, value in expected.items()}
