"""The stages' seconds add up to the whole."""

from __future__ import annotations

import pytest
from quickstart import STAGE, cpu, table

LOG = """\
[   0s] 1/5 environment
[  37s] 2/5 data: handwritten digits
[  42s] 3/5 model: warm start from random weights
[ 120s] 4/5 training: evaluate, 40 SPARK steps, evaluate (log: x)
[ 330s] 5/5 results
"""


def test_stages_add_up() -> None:
    begun = [(found[3].strip(), int(found[1])) for line in LOG.splitlines() if (found := STAGE.search(line))]
    rows = dict(table([*begun, ("end", 340)], {"startup_s": 70.0, "train_s": 125.0}))
    assert rows == {
        "environment": 37,
        "data": 5,
        "model": 78,
        "start-up": 70.0,
        "steps": 125.0,
        "validation before": pytest.approx(15),
        "results": 10,
        "in all": 340,
    }
    assert sum(rows.values()) == 2 * 340


def test_the_cpu_is_named() -> None:
    assert int(cpu()["cores"]) >= 1 and set(cpu()) == {"cpu", "cores", "features"}
