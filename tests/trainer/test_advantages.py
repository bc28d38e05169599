"""Which rows must not teach anything, and where padding stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.trainer.advantages import silent_rows
from spark_verl.trainer.batch import spread_padding


@pytest.mark.parametrize(
    ("rows", "silent"),
    [
        ({"a_0_0": "ok", "a_1_0": "unparsable", "a_2_0": "ok"}, []),
        ({"a_0_0": "ok", "a_1_0": "timeout", "a_2_0": "ok"}, ["a_1_0"]),
        # verl would give the only score of a group mean 0 and deviation 1.
        ({"a_0_0": "ok", "a_1_0": "timeout", "a_2_0": "error"}, ["a_0_0", "a_1_0", "a_2_0"]),
        ({"a_0_0": "ok", "b_0_0": "ok", "b_1_0": "ok"}, ["a_0_0"]),
        ({"a_0_0": "timeout", "a_1_0": "error"}, ["a_0_0", "a_1_0"]),
        # A session with several outputs is verified by its last one, and is one response to compare with.
        ({"a_0_0": None, "a_0_1": "timeout", "a_1_0": "ok", "a_2_0": "ok"}, ["a_0_0", "a_0_1"]),
        ({"a_0_0": None, "a_0_1": "ok", "a_1_0": "timeout"}, ["a_0_0", "a_0_1", "a_1_0"]),
        ({"a_0_0": None, "a_1_0": None}, []),
    ],
)
def test_rows_that_must_not_teach(rows: dict[str, str | None], silent: list[str]) -> None:
    keys = list(rows)
    assert [keys[i] for i in silent_rows(keys, list(rows.values()))] == silent


@given(ranks=st.integers(1, 4), rows=st.integers(1, 48), data=st.data())
def test_padding_is_spread_within_each_rank(ranks: int, rows: int, data: st.DataObject) -> None:
    padding = data.draw(st.lists(st.booleans(), min_size=ranks * rows, max_size=ranks * rows))
    order = spread_padding(padding, ranks)
    assert sorted(order) == list(range(ranks * rows))
    for rank in range(ranks):
        mine = order[rank * rows : (rank + 1) * rows]
        assert {i // rows for i in mine} == {rank}, "rows stay with their rank"
        real = [i for i in mine if not padding[i]]
        assert real == sorted(real), "and in their order"
        count = sum(padding[i] for i in mine)
        for parts in (part for part in range(1, rows + 1) if rows % part == 0):
            size = rows // parts
            held = [sum(padding[i] for i in mine[k * size : (k + 1) * size]) for k in range(parts)]
            assert max(held) - min(held) <= 1, f"{count} padding rows over {parts} mini-batches: {held}"
