"""A run folder, loaded: what of it is there, and what is missing and how to get it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from spark_verl.report import heldout
from spark_verl.report.data_rows import DataRows
from spark_verl.report.heldout import HeldOut
from spark_verl.runs import config as run_config
from spark_verl.runs import dumps
from spark_verl.runs import metrics as metrics_file
from spark_verl.runs.config import RunConfig
from spark_verl.runs.dumps import Dump
from spark_verl.runs.metrics import Metrics


@dataclass(frozen=True)
class Missing:
    """A part of the report that could not be made.

    Attributes:
        what: The part.
        why: The file that is not there, or what is wrong with it.
        remedy: The option that produces it.
    """

    what: str
    why: str
    remedy: str


@dataclass
class Run:
    """Everything that a report reads of a run.

    Attributes:
        folder: The run folder.
        name: How the report calls the run.
        metrics: Of its log.
        summary: ``summary.json``; empty without it.
        config: What it was started with.
        missing: Filled while sections are built.
    """

    folder: Path
    name: str
    metrics: Metrics
    summary: dict[str, Any]
    config: RunConfig
    missing: list[Missing] = field(default_factory=list)

    @classmethod
    def load(cls, folder: Path, metrics_path: Path | None = None, name: str | None = None) -> Run:
        """Load a run folder.

        Args:
            folder: As ``run_scripts/quickstart.sh`` or ``run_scripts/train.sh`` leaves it.
            metrics_path: The log, where it is not ``folder/metrics.jsonl``.
            name: Default: the folder's name.

        Raises:
            NotADirectoryError: There is no such folder.
        """
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is no folder: give the folder that a run wrote (OUTPUT_DIR)")
        return cls(
            folder=folder,
            name=name or folder.resolve().name,
            metrics=metrics_file.read(metrics_path or folder / "metrics.jsonl"),
            summary=run_config.read_object(folder / "summary.json"),
            config=run_config.load(folder),
        )

    def lacks(self, what: str, why: str, remedy: str) -> Missing:
        """Note a missing part once and return the note."""
        note = Missing(what, why, remedy)
        if note not in self.missing:
            self.missing.append(note)
        return note

    # ------------------------------------------------------------------ dumps

    def _folder_of(self, key: str, default: str) -> Path:
        configured = self.config.values.get(key)
        inside = self.folder / default
        if not inside.is_dir() and isinstance(configured, str) and "${" not in configured:
            return Path(configured).expanduser()
        return inside

    @cached_property
    def rollout_files(self) -> dict[int, Path]:
        """Rollout dump of each step."""
        return dumps.files(self._folder_of("trainer.rollout_data_dir", "rollouts"), self.metrics.last_step)

    @cached_property
    def validation_files(self) -> dict[int, Path]:
        """Validation dump of each validated step."""
        return dumps.files(self._folder_of("trainer.validation_data_dir", "validation"), self.metrics.last_step)

    @cached_property
    def rollouts(self) -> list[Dump]:
        """Figures of the rollout dumps, of at most :data:`dumps.MOST_FILES` steps."""
        read = [dumps.read(step, path) for step, path in dumps.spread(self.rollout_files).items()]
        return [dump for dump in read if dump.scores]

    @cached_property
    def validations(self) -> list[Dump]:
        """Figures of the validation dumps, of at most :data:`dumps.MOST_FILES` steps."""
        read = [dumps.read(step, path) for step, path in dumps.spread(self.validation_files).items()]
        return [dump for dump in read if dump.scores]

    @cached_property
    def data(self) -> DataRows:
        """The run's data files, as far as they are on this machine."""
        return DataRows.find(self.folder, self.config)

    # ------------------------------------------------------------------ held-out accuracy

    @cached_property
    def held_out(self) -> dict[str, list[HeldOut]]:
        """Validated quantities over the steps, with intervals where the number of prompts is known."""
        dumped: dict[str, int] = {}
        sources: dict[str, int] = {}
        if self.validations:
            dumped, sources = self.validations[-1].prompts, self.validations[-1].sources
        sizes = heldout.source_sizes(self.metrics, self._validation_rows(), dumped, sources)
        return heldout.held_out(self.metrics, sizes)

    def _validation_rows(self) -> Counter[str]:
        return self.data.source_counts("val")
