"""Two FSDP ranks with two vLLM replicas: a run taken away in mid-epoch goes on exactly as one that was not.

Responses are scripted, so that both runs train on the same rows, if they plan and order the same. Judge prompts are
sampled a step late, which ``test_next_step.py`` looks at.
"""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

STEPS = 4
"""Three steps an epoch: the run goes on in the middle of the first one."""

EXACT = re.compile(
    r"actor/(?!perf/)|critic/|spark/(balance|judge|policy|alarm)/(?!.*seconds|dropped)|spark/(padding|silent)_rows|response_length|prompt_"
)
"""Losses, gradients, learning rate, advantages, plans and what the planning learned; no times, no memory, and not what
the last step drops, which is not the last of both runs."""


def test_losses_advantages_and_plans_are_those_of_an_unbroken_run(unbroken, resumed):
    for step in range(1, STEPS + 1):
        expected = {name: value for name, value in unbroken.metrics[step].items() if EXACT.match(name)}
        found = resumed.metrics[step]
        assert {"actor/pg_loss", "actor/grad_norm", "critic/advantages/mean"} <= expected.keys()
        assert {name: found.get(name) for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-6), step


def test_the_rows_are_those_of_an_unbroken_run(unbroken, resumed):
    columns = ("input", "output", "gts", "score", "objective", "source", "label_form", "about", "index")

    def rows(run, step):
        found = [(*(str(row.get(name)) for name in columns), round(row["advantage"], 5)) for row in run.rollouts(step)]
        return Counter(found)

    for step in range(resumed.kept + 1, STEPS + 1):
        assert rows(resumed, step) == rows(unbroken, step)
    assert any(row["advantage"] for row in unbroken.rollouts(STEPS))


def test_what_is_remembered_is_that_of_an_unbroken_run(unbroken, resumed):
    states = [
        json.loads((run.folder / "checkpoints" / f"global_step_{STEPS}" / "spark.json").read_text())
        for run in (unbroken, resumed)
    ]
    for state in states:  # the last step of a run is validated out of turn
        state["alarm"]["held_out"] = [(step, accuracy) for step, accuracy in state["alarm"]["held_out"] if step < STEPS]
    # uids are drawn anew; which prompts are kept is in the rows of the next step.
    prompts = [[request["text"] for request in state.pop("deferred")["requests"]] for state in states]
    assert sorted(prompts[0]) == sorted(prompts[1])
    assert states[0] == states[1]


def test_two_ranks_saved_sharded_state(resumed):
    saved = resumed.folder / "checkpoints" / f"global_step_{resumed.kept}" / "actor"
    assert len(list(saved.glob("model_world_size_2_rank_*.pt"))) == 2
    assert len(list(saved.glob("optim_world_size_2_rank_*.pt"))) == 2


def test_judge_data_goes_on_after_the_resume(resumed):
    for step in (3, 4):
        assert resumed.metrics[step]["spark/judge_row_share"] > 0
        assert resumed.metrics[step]["spark/leaked_keys"] == 0
        assert resumed.metrics[step]["spark/policy/count"] == 16
