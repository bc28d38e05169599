"""The reader of rollout and validation dumps: a folder of ``<step>.jsonl``, one row of the batch per line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from spark_verl.vocabulary import Objective

_OBJECTIVES = frozenset(Objective)

Row = dict[str, Any]
"""Columns as :mod:`spark_verl.trainer.dump` writes them; ``objective`` is one of ours, ``score`` a number."""


def files(folder: Path, last_step: int | None = None) -> dict[int, Path]:
    """``{step: file}``, ascending, up to ``last_step``: those of steps abandoned at a resume may still be there."""
    found = {int(path.stem): path for path in folder.glob("*.jsonl") if path.stem.isdecimal()}
    return {step: found[step] for step in sorted(found) if last_step is None or step <= last_step}


def spread(found: dict[int, Path], most: int) -> dict[int, Path]:
    """At most ``most`` of the files, evenly spread, the first and the last among them; the last if it is to be one."""
    steps = list(found)
    if len(steps) <= most:
        return found
    places = [round(i * (len(steps) - 1) / (most - 1)) for i in range(most)] if most > 1 else [-1]
    return {steps[i]: found[steps[i]] for i in places}


def rows(path: Path) -> Iterator[Row]:
    """The rows of a dump in its order; rows of something else are passed over; so are torn lines, which is said once.

    A dump of plain verl tells no objective: its rows are the policy's.
    """
    torn = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                torn += bool(line.strip())
                continue
            row["objective"] = row.get("objective", Objective.POLICY)
            if row["objective"] in _OBJECTIVES and isinstance(row.get("score"), (int, float)):
                yield row
    if torn:
        _say(f"{path}: {torn} line(s) cannot be read and are left out")


@cache
def _say(warning: str) -> None:
    """Several parts of a page read the same dump."""
    print(f"spark_verl: warning: {warning}", file=sys.stderr)


def group_of(row: Row) -> str:
    """The id of a row's prompt: its uid without the sample's number; empty where the dump has no uid."""
    return str(row.get("uid") or "").split("_")[0]
