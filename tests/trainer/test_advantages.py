"""Which rows must not teach anything, and where padding stands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from verl import DataProto
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

from spark_verl.checks.rules import GROUP_WISE
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


POLICY = {"a_0_0": 1.0, "a_1_0": 0.0, "a_2_0": 1.0, "b_0_0": 0.0, "b_1_0": 1.0}
BESIDE = {"j_0_0": 1.0, "j_1_0": 1.0, "j_2_0": 0.0, "pad_0_0": 0.0, "pad_1_0": 0.0}
"""Rows of a judge prompt, and padding."""


def of_verl(scores: dict[str, float], estimator: str, by_std: bool, alone: tuple[str, ...] = ()) -> dict[str, float]:
    """verl's advantage of each row; those named are groups of their own, as :func:`isolate_unverified` leaves them."""
    keys = list(scores)
    mask = torch.tensor([[0.0 if key.startswith("pad") else 1.0] * 3 for key in keys])
    rewards = torch.zeros(len(keys), 3)
    rewards[:, -1] = torch.tensor(list(scores.values()))
    batch = DataProto.from_dict(
        tensors={"response_mask": mask, "token_level_rewards": rewards},
        non_tensors={"uid": np.array([key if key in alone else key.split("_")[0] for key in keys], dtype=object)},
    )
    config = OmegaConf.create({"use_pf_ppo": False})
    found = compute_advantage_for_multi_trajectories(
        batch, keys, estimator, norm_adv_by_std_in_grpo=by_std, config=config
    )
    return dict(zip(keys, found.batch["advantages"][:, 0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("estimator", "by_std"), [*((name, True) for name in GROUP_WISE), ("grpo", False)], ids=[*GROUP_WISE, "Dr. GRPO"]
)
def test_a_row_is_compared_with_its_own_group_only(estimator: str, by_std: bool) -> None:
    """Judge rows and padding beside them change nothing for the policy's rows, nor does what was not verified."""
    plain = of_verl(POLICY, estimator, by_std)
    assert plain["a_1_0"] < 0 < plain["a_0_0"] and plain["b_0_0"] < 0 < plain["b_1_0"]
    assert of_verl(BESIDE | POLICY, estimator, by_std) == pytest.approx(of_verl(BESIDE, estimator, by_std) | plain)
    unverified = {"a_3_0": 0.0, "b_2_0": 0.0}
    found = of_verl(POLICY | unverified, estimator, by_std, alone=tuple(unverified))
    assert {key: found[key] for key in POLICY} == pytest.approx(plain)


def test_why_others_are_refused() -> None:
    beside = of_verl(POLICY | BESIDE, "reinforce_plus_plus_baseline", True)
    assert beside["a_0_0"] != pytest.approx(of_verl(POLICY, "reinforce_plus_plus_baseline", True)["a_0_0"])
    assert all(np.isnan(value) for key, value in of_verl(BESIDE, "opo", True).items() if key.startswith("pad"))
    with pytest.raises(ValueError, match="at least 2 samples"):
        of_verl(POLICY | {"a_3_0": 0.0}, "grpo_passk", True, alone=("a_3_0",))
