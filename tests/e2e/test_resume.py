"""Two FSDP ranks with two vLLM replicas train and checkpoint; a run killed in mid-step goes on from its checkpoint.

The checkpoint it resumes from lies exactly at an epoch boundary. The run (``resumed`` in ``conftest.py``) has its judge
prompts sampled a step late, which ``test_next_step.py`` looks at.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def test_two_ranks_saved_sharded_state(resumed):
    saved = resumed.folder / "checkpoints" / "global_step_2" / "actor"
    assert len(list(saved.glob("model_world_size_2_rank_*.pt"))) == 2
    assert len(list(saved.glob("optim_world_size_2_rank_*.pt"))) == 2


def test_label_balance_goes_on_from_its_checkpoint(resumed):
    states = {
        step: json.loads((resumed.folder / "checkpoints" / f"global_step_{step}" / "spark.json").read_text())["balance"]
        for step in (2, 4)
    }
    groups = {
        step: sum(v for k, v in state["seen"].items() if k.startswith("groups/")) for step, state in states.items()
    }
    # 4 groups a step with a decay of 0.9: a controller that started afresh after the resume would stand at groups[2].
    assert groups[2] == pytest.approx(4 * (0.9 + 1))
    assert groups[4] == pytest.approx(4 * (0.9**3 + 0.9**2 + 0.9 + 1))


def test_goes_on_from_the_last_checkpoint(resumed):
    lines = (resumed.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = Counter(json.loads(line)["step"] for line in lines)
    # The kill may come before step 2 is logged: a step is saved first.
    assert {1: steps[1], 3: steps[3], 4: steps[4]} == {1: 1, 3: 1, 4: 1}, "1 is kept and not repeated, 3 and 4 are done"
    assert [resumed.metrics[step]["training/epoch"] for step in (3, 4)] == [1, 1]
    assert (resumed.folder / "checkpoints" / "global_step_4").is_dir()


def test_judge_data_goes_on_after_the_resume(resumed):
    for step in (3, 4):
        assert resumed.metrics[step]["spark/judge_row_share"] > 0
        assert resumed.metrics[step]["spark/leaked_keys"] == 0
        assert resumed.metrics[step]["spark/policy/count"] == 16


def test_the_second_epoch_covers_the_data_again(resumed):
    def rows_of(*steps):
        return {row["index"] for step in steps for row in resumed.rollouts(step) if row["role"] == "policy"}

    # The kill may come before the rows of step 2 are dumped: a step is saved first.
    assert len(rows_of(3, 4)) == 8, "all of data.train_max_samples, each once"
    assert rows_of(1) < rows_of(3, 4)
