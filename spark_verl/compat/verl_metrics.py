"""A resumed run goes on in its metrics file: verl's file logger starts an empty one with every start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from spark_verl.compat.replace import replaces

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
    """Let verl's file logger write behind the lines that are there."""

    class KeepingFileLogger(logger):
        """``FileLogger`` that does not lose the file's lines."""

        def __init__(self, project_name: str, experiment_name: str) -> None:
            file = _metrics_file(project_name, experiment_name)
            earlier = file.read_bytes() if file.is_file() else b""
            super().__init__(project_name, experiment_name)
            # Half a line, left by a kill, would spoil the next one.
            self.fp.write(earlier[: earlier.rfind(b"\n") + 1])

    return KeepingFileLogger


def _metrics_file(project_name: str, experiment_name: str) -> Path:
    """Where verl's file logger writes, as it finds it out itself."""
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE])
    root = os.path.expanduser(os.getenv("VERL_FILE_LOGGER_ROOT", "."))
    return Path(root, project_name, f"{experiment_name}.jsonl")
