"""A run folder, read once: its log and the figures of its dumps as pandas frames, and what else it left.

    metrics.jsonl ──► metrics: a row per step, a column per metric, NaN where a step has none
    rollouts/*.jsonl, validation/*.jsonl ──► rollouts, validations: a row per sequence
    summary.json, config.yaml, run.json, the data files ──► summary, config, data

Everything on the page is drawn from a :class:`Run`; nothing goes back to the files except the gallery, for its texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from spark_verl.report.data_rows import DataRows
from spark_verl.report.heldout import HeldOut, held_out, source_sizes
from spark_verl.runs import config as run_config
from spark_verl.runs import dumps
from spark_verl.runs import metrics as log_reader
from spark_verl.runs.metrics import Metrics
from spark_verl.runs.validation import accuracies
from spark_verl.vocabulary import POSITIVE_LABELS, LabelForm, Objective, Supervision

Frame = TypeVar("Frame", pd.Series, pd.DataFrame)

MOST_DUMPS = 60
"""Dumps of a long run that are read: a figure needs no more, and each can have megabytes."""

LABELS = frozenset(label for form in LabelForm for label in form.labels)

FIGURES = ("step", "objective", "group", "score", "characters", "tokens", "data_source", "yes_excess")
"""Columns of :func:`read_dumps`."""


class Run:
    """A run folder, read; what is not there is empty.

    Args:
        folder: As ``run_scripts/quickstart.sh`` or ``run_scripts/train.sh`` leaves it.
        metrics_path: The log, where it is not ``folder/metrics.jsonl``.
        name: How the page calls the run; by default the folder's name.

    Attributes:
        log: What was odd about the log.
        metrics: Its numbers, a row per step.
        summary: ``summary.json``; empty without it.
        config: What the run was started with.
        rollout_files, validation_files: ``{step: dump}``.
        rollouts, validations: Figures of at most :data:`MOST_DUMPS` of them each, as :func:`read_dumps` has them.
        data: The run's data files, as far as they are on this machine.
        held_out: Validated quantities over the steps, with intervals where the number of prompts is known.

    Raises:
        NotADirectoryError: There is no such folder.
        UnreadableFile: A config in it cannot be read.
    """

    def __init__(self, folder: Path, metrics_path: Path | None = None, name: str | None = None) -> None:
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is no folder: give the folder that a run wrote (OUTPUT_DIR)")
        self.folder, self.name = folder, name or folder.resolve().name
        path = metrics_path or folder / "metrics.jsonl"
        self.log = log_reader.read(path) if path.is_file() else Metrics()
        self.metrics = pd.DataFrame.from_dict(self.log.steps, orient="index", dtype=float)
        self.summary = run_config.read_object(folder / "summary.json")
        self.config = run_config.load(folder)
        self.rollout_files = self._dumps("trainer.rollout_data_dir", "rollouts")
        self.validation_files = self._dumps("trainer.validation_data_dir", "validation")
        self.rollouts, self.validations = read_dumps(self.rollout_files), read_dumps(self.validation_files)
        self.data = DataRows.find(folder, self.config)
        self.held_out = _held_out(self.log, self.validations, self.data)

    def _dumps(self, key: str, default: str) -> dict[int, Path]:
        """The dumps in the run folder, or where the config had them written."""
        place, configured = self.folder / default, self.config.values.get(key)
        if not place.is_dir() and configured:
            place = Path(configured).expanduser()
        return dumps.files(place, max(self.log.steps, default=None))

    @property
    def trained(self) -> pd.Index:
        """Steps that were trained, ascending."""
        return self.metrics.reindex(columns=["timing_s/step", "training/global_step"]).dropna(how="all").index

    def series(self, key: str) -> pd.Series:
        """A metric over the steps that have it."""
        return self.metrics[key].dropna() if key in self.metrics else pd.Series(dtype=float)

    def of(self, objective: Objective, *names: str) -> pd.DataFrame:
        """Metrics of an objective over the steps that have the first of them, a column each."""
        return self.under("spark/policy" if objective == Objective.POLICY else f"spark/judge/{objective}", *names)

    def under(self, prefix: str, *names: str) -> pd.DataFrame:
        """Metrics ``prefix/name`` over the steps that have the first of them, a column each."""
        found = self.metrics.reindex(columns=[f"{prefix}/{name}" for name in names])
        return found.set_axis(list(names), axis=1).dropna(subset=list(names[:1]))

    def curve(self, objective: Objective, name: str, weight: str = "count", window: int | None = None) -> pd.DataFrame:
        """A metric of an objective and its moving average, columns ``value``, ``weight`` and ``mean``.

        Args:
            objective: What is trained.
            name: Of the metric.
            weight: The metric by which steps are weighted, so that one with few rows counts little; 1 where absent.
            window: Steps up to each one that are averaged. None: steps around it, see :attr:`width`.
        """
        found = self.of(objective, name, weight).set_axis(["value", "weight"], axis=1)
        found["weight"] = found["weight"].fillna(1.0)
        columns = (found.index.to_numpy(), found["value"].to_numpy(), found["weight"].to_numpy())
        found["mean"] = rolling(*columns, window or self.width, trailing=window is not None)
        return found

    @property
    def width(self) -> int:
        """Steps of a moving average: an eighth of the run, between 3 and 25."""
        return min(25, max(3, round(len(self.trained) / 8)))


def rolling(
    steps: np.ndarray, values: np.ndarray, weights: np.ndarray, width: int, *, trailing: bool = False
) -> np.ndarray:
    """Weighted mean over a window of steps around (or up to) each step.

    Args:
        steps, values, weights: Shape (n,).
        width: Window in steps.
        trailing: The window ends at the step instead of being centred on it.

    Returns:
        Shape (n,).
    """
    if trailing:
        inside = (steps[None, :] <= steps[:, None]) & (steps[None, :] > steps[:, None] - width)
    else:
        inside = 2 * np.abs(steps[None, :] - steps[:, None]) <= width
    mass = inside * np.maximum(weights, 1e-12)[None, :]
    return (mass * values[None, :]).sum(axis=1) / mass.sum(axis=1)


def read_dumps(files: Mapping[int, Path]) -> pd.DataFrame:
    """The figures of dumps, a row per sequence.

    Columns: ``step``; ``objective``; ``group``, the id of its prompt; ``score``; its response's length in
    ``characters`` and, where the dump tells, in ``tokens``; ``data_source``; and of a pointwise row with a verdict
    ``yes_excess``, Yes said minus Yes right (-1, 0 or 1).
    """
    rows = []
    for step, path in dumps.spread(dict(files), MOST_DUMPS).items():
        for position, row in enumerate(dumps.rows(path)):
            if row.get("supervision") == Supervision.UNLABELLED:
                continue  # its score is no finding
            said, right = row.get("answer"), row.get("gts")
            judged = row["objective"] == Objective.POINTWISE and said in LABELS and right in LABELS
            rows.append(
                (
                    step,
                    row["objective"],
                    # Without an id, which plain verl does not always write, a row is a group of its own.
                    dumps.group_of(row) or f"row {position}",
                    row["score"],
                    len(str(row.get("output"))),
                    row.get("response_length"),
                    row.get("data_source"),
                    (said in POSITIVE_LABELS) - (right in POSITIVE_LABELS) if judged else None,
                )
            )
    numbers = {"score": float, "characters": float, "tokens": float, "yes_excess": float}
    return pd.DataFrame(rows, columns=pd.Index(FIGURES)).astype(numbers).dropna(subset="score")


def first_and_last_third(steps: Frame) -> tuple[Frame, Frame]:
    """Beginning and end of what has a row per step; never empty, so with one step both are that step."""
    size = max(1, len(steps) // 3)
    return steps.head(size), steps.tail(size)


def _held_out(log: Metrics, validations: pd.DataFrame, data: DataRows) -> dict[str, list[HeldOut]]:
    last = validations[validations["step"] == validations["step"].max()]
    dumped, dumped_sources = (last.groupby(column)["group"].nunique() for column in ("objective", "data_source"))
    sources = {source for values in log.steps.values() for source in accuracies(values)}
    sizes = source_sizes(sources, data.source_counts("val"), dumped.to_dict(), dumped_sources.to_dict())
    return held_out(log.steps, sizes)
