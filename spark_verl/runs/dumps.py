"""Rollout and validation dumps (``<step>.jsonl``): figures per objective, and rows for the gallery.

The texts in them were written by a policy: every field is taken for what it might be, not for what it should be.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

OBJECTIVES = ("policy", "pointwise", "pairwise", "reflection")
POSITIVE = ("Yes", "A")
VERDICTS = (*POSITIVE, "No", "B")
MOST_FILES = 60
"""Dumps of a long run that are read: a figure needs no more, and each can have megabytes."""


@dataclass
class Dump:
    """One step's rows, by objective.

    Attributes:
        step: Training step.
        scores: Rewards, ``{objective: shape (rows,)}``.
        lengths: Of the responses, ``{objective: shape (rows,)}``: tokens if the dump has ``response_length``, else
            characters.
        group_scores: Mean reward of each group, ``{objective: shape (groups,)}``.
        in_tokens: Whether ``lengths`` are tokens.
        sources: ``{data source: prompts}`` where the dump has that column.
        yes_excess: Share of Yes among the pointwise verdicts minus its share among their labels; None without any.
    """

    step: int
    scores: dict[str, np.ndarray] = field(default_factory=dict)
    lengths: dict[str, np.ndarray] = field(default_factory=dict)
    group_scores: dict[str, np.ndarray] = field(default_factory=dict)
    in_tokens: bool = False
    sources: dict[str, int] = field(default_factory=dict)
    yes_excess: float | None = None

    @property
    def prompts(self) -> dict[str, int]:
        """``{objective: number of groups}``."""
        return {objective: len(groups) for objective, groups in self.group_scores.items()}


def files(folder: Path, last_step: int | None = None) -> dict[int, Path]:
    """``{step: file}`` of a dump folder, ascending, up to ``last_step``."""
    if not folder.is_dir():
        return {}
    found = {int(path.stem): path for path in folder.glob("*.jsonl") if path.stem.isascii() and path.stem.isdecimal()}
    return {step: found[step] for step in sorted(found) if last_step is None or step <= last_step}


def spread(found: dict[int, Path], most: int = MOST_FILES) -> dict[int, Path]:
    """At most ``most`` of the files, evenly spread, the first and the last among them."""
    steps = list(found)
    if len(steps) <= most:
        return found
    chosen = sorted({round(i * (len(steps) - 1) / (most - 1)) for i in range(most)})
    return {steps[i]: found[steps[i]] for i in chosen}


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a dump that can be read, in its order; broken lines are passed over."""
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row


def objective_of(row: dict[str, Any]) -> str | None:
    """One of :data:`OBJECTIVES`, or None. A dump of plain verl has no such column: its rows are the policy's."""
    objective = row.get("objective", "policy")
    return objective if objective in OBJECTIVES else None


def group_of(row: dict[str, Any]) -> str:
    """The id of a row's prompt: its uid without the sample's number."""
    return str(row.get("uid", "")).split("_")[0]


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    value = float(value)
    return value if math.isfinite(value) else None


def read(step: int, path: Path) -> Dump:
    """The figures of one dump."""
    scores: dict[str, list[float]] = defaultdict(list)
    characters: dict[str, list[float]] = defaultdict(list)
    tokens: dict[str, list[float]] = defaultdict(list)
    groups: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    sources: dict[str, set[str]] = defaultdict(set)
    said: list[bool] = []
    labelled: list[bool] = []
    for position, row in enumerate(rows(path)):
        objective, score = objective_of(row), number(row.get("score"))
        if objective is None or score is None:
            continue
        # Without an id, which plain verl does not always write, a row is a group of its own.
        group = group_of(row) or f"row {position}"
        scores[objective].append(score)
        groups[objective][group].append(score)
        characters[objective].append(len(str(row.get("output", ""))))
        if (length := number(row.get("response_length"))) is not None:
            tokens[objective].append(length)
        if objective == "pointwise" and row.get("answer") in VERDICTS and row.get("gts") in VERDICTS:
            said.append(row["answer"] in POSITIVE)
            labelled.append(row["gts"] in POSITIVE)
        if isinstance(row.get("data_source"), str):
            sources[row["data_source"]].add(group)
    # One unit per dump: tokens only if every row has them.
    in_tokens = all(len(tokens[name]) == len(values) for name, values in characters.items())
    return Dump(
        step=step,
        scores={name: np.array(values) for name, values in scores.items()},
        lengths={name: np.array(values) for name, values in (tokens if in_tokens else characters).items() if values},
        group_scores={
            name: np.array([np.mean(values) for values in members.values()]) for name, members in groups.items()
        },
        in_tokens=in_tokens,
        yes_excess=float(np.mean(said) - np.mean(labelled)) if said else None,
        sources={name: len(uids) for name, uids in sources.items()},
    )
