"""A resumed run goes on in its metrics file: verl's file logger starts an empty one with every start."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from spark_verl.compat.replace import replaces

log = logging.getLogger(__name__)

VARIABLE = "VERL_FILE_LOGGER_PATH"
"""Where verl's file logger writes; ``spark_verl.main`` sets it to ``metrics.jsonl`` in the run's folder."""


def prepare_metrics_file(keep: bool) -> None:
    """Make the folder of ``VERL_FILE_LOGGER_PATH``; with ``keep``, let verl's file logger keep what its file holds.

    Must run in the process that trains, before its logger is made. Steps that are done again after a resume stand in
    the file twice; the later line counts.
    """
    if VARIABLE in os.environ:
        # The driver's folder may be on another node.
        Path(os.environ[VARIABLE]).parent.mkdir(parents=True, exist_ok=True)
    if keep:
        keep_earlier_lines()


@replaces("verl.utils.tracking", "FileLogger")
def keep_earlier_lines(logger: Any) -> type:
    """Let verl's file logger write behind the lines that are there, and whole lines only."""

    class KeepingFileLogger(logger):
        """``FileLogger`` that does not lose the file's lines."""

        def __init__(self, project_name: str, experiment_name: str) -> None:
            file = _metrics_file(project_name, experiment_name)
            if file.is_file():
                # verl would empty it, and a kill right then would lose what earlier starts have written.
                self.project_name, self.experiment_name, self.filepath = project_name, experiment_name, str(file)
                self.fp = file.open("r+b", buffering=0)
                # Half a line, left by a kill, would spoil the next one.
                self.fp.truncate(file.read_bytes().rfind(b"\n") + 1)
                self.fp.seek(0, os.SEEK_END)
            else:
                super().__init__(project_name, experiment_name)
            self.fp = _WholeLines(self.fp)

    return KeepingFileLogger


class _WholeLines:
    """A file that lines are added to, each as a whole; those that the disk has no room for wait for the next one."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._waiting: list[bytes] = []

    def write(self, line: bytes) -> None:
        """Write a line, after those that wait."""
        self._waiting.append(line)
        while self._waiting:
            end, reason = self._file.tell(), "no space left"
            try:
                written = self._file.write(self._waiting[0])
            except OSError as error:
                written, reason = 0, str(error)
            if written != len(self._waiting[0]):
                self._file.truncate(end)
                self._file.seek(end)
                log.warning(f"{self._file.name}: {len(self._waiting)} line(s) are not written yet: {reason}")
                return
            self._waiting.pop(0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _metrics_file(project_name: str, experiment_name: str) -> Path:
    """Where verl's file logger writes, as it finds it out itself."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    root = os.path.expanduser(os.getenv("VERL_FILE_LOGGER_ROOT", "."))
    return Path(root, project_name, f"{experiment_name}.jsonl")
