"""docs/metrics.md has an entry for every metric that the code can write, and no entry for one that it cannot."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
from metric_docs import PAGE, patterns, undocumented

from spark_verl.config.schema import SelfRewardConfig, SparkConfig
from spark_verl.judge.balance import BalanceController
from spark_verl.rollout.tags import put_row
from spark_verl.runs.advice import DOCS_MARK, as_markdown
from spark_verl.self_reward import SelfReward
from spark_verl.self_reward.gate import Measured
from spark_verl.trainer.alarm import SelfConfirmationAlarm
from spark_verl.trainer.colocate_async import staleness
from spark_verl.trainer.metrics import _objective_metrics
from spark_verl.vocabulary import Objective, RowTag

PACKAGE = Path(__file__).resolve().parents[2] / "spark_verl"
WRITTEN = Path(__file__).with_name("metric_names.txt").read_text(encoding="utf-8").split()
"""What real runs wrote: the quickstart, one with self-reward, one that computes old log-probabilities, one that filters
groups."""


def of_functions() -> set[str]:
    """Names that the functions of the package give when they are called."""
    row = {"uid": "a", "score": 1.0, "info": {"answer": "Yes", "status": "ok"}, "label": "Yes", "length": 3}
    names = set()
    for objective in Objective:
        prefix = "spark/policy" if objective is Objective.POLICY else f"spark/judge/{objective}"
        names |= {f"{prefix}/{name}" for name in _objective_metrics(objective, [row], 3)}
    names |= {f"spark/balance/{name}" for name in BalanceController(SparkConfig()).shares(8)}
    alarm = SelfConfirmationAlarm(2)
    step = {f"spark/judge/pointwise/{name}": 0.5 for name in ("yes_rate", "label_yes_rate")} | {"spark/policy/acc": 0.5}
    names |= {f"spark/alarm/{name}" for _ in range(4) for name in alarm.update(1, step)}
    names |= set(SelfReward(SelfRewardConfig()).step({}, 1).metrics)
    rows = [{"min_global_steps": 1, "max_global_steps": 1}, {"min_global_steps": 1, "max_global_steps": 1}]
    rows[1] = put_row(rows[1], RowTag(parent="a"))
    names |= set(staleness(rows, 2))
    return names | {f"spark/self_reward/audit/{one.name}" for one in fields(Measured)}


def of_source() -> set[str]:
    """Names that stand in the source of what writes metrics; what is put in when it runs is "any"."""
    names = set()
    for room in ("trainer", "rollout", "self_reward"):
        for path in (PACKAGE / room).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                parts = node.values if isinstance(node, ast.JoinedStr) else [node]
                text = "".join(str(p.value) if isinstance(p, ast.Constant) else "any" for p in parts)
                if isinstance(node, ast.JoinedStr | ast.Constant) and re.fullmatch(r"spark/[\w/]*\w", text):
                    names.add(text)
    # Beginnings of names, a data source, and names that are put together from words: of_functions has these.
    return {name for name in names if "any" not in name and name not in ("spark/policy",)}


@pytest.mark.parametrize("names", [of_functions, of_source], ids=["functions", "source"])
def test_what_the_code_can_write_has_an_entry(names):
    found = names()
    assert len(found) >= 10
    assert undocumented(found) == []


def test_what_runs_wrote_has_an_entry():
    assert len(WRITTEN) > 200 and undocumented(WRITTEN) == []


def test_every_entry_is_about_something():
    names = {*WRITTEN, *of_functions(), *of_source()}
    assert [entry for entry, pattern in patterns().items() if not any(map(pattern.match, names))] == []


def test_every_entry_says_what_is_normal():
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            cells = line.strip("|").split(" | ")
            assert len(cells) == 4 and all(cell.strip() for cell in cells), line


def test_a_metric_without_an_entry_is_found_out():
    assert undocumented(["spark/policy/acc", "spark/policy/happiness", "actor/mood"]) == [
        "actor/mood",
        "spark/policy/happiness",
    ]


def test_the_table_of_advice_is_that_of_the_rules():
    written = PAGE.read_text(encoding="utf-8").partition(DOCS_MARK)[2].strip()
    assert written == as_markdown().strip(), "python -m spark_verl.runs.advice writes it"


def test_advice_is_about_metrics_that_have_an_entry():
    source = (PACKAGE / "runs" / "advice.py").read_text(encoding="utf-8")
    named = re.findall(r"\"((?:spark|training|actor)/[\w/]+)\"", source)
    assert named and undocumented(name for name in named if name not in ("spark/policy",)) == []
