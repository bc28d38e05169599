"""The results file: one JSON line per question and strategy, written as the evaluation goes and read when it resumes.

The first line has the options; those that decide what is measured must not change while the file grows.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

FORMAT = 1

Measured = dict[str, dict[str, Any]]
"""Everything that decides what is measured, as JSON values: ``common`` options, and in ``strategies`` those of every
strategy under its name."""

Key = tuple[str, str, str]
"""(benchmark, question id, strategy)."""


class ResultsError(ValueError):
    """A results file cannot be continued; the message says why and what to do."""


def key_of(record: Mapping[str, Any]) -> Key:
    """The key of a line."""
    return record["benchmark"], record["id"], record["strategy"]


@dataclass
class ResultsFile:
    """A results file that is open for writing, see :func:`open_results`.

    Attributes:
        path: The file.
        file: It, open.
        written: The options in it; None for a new file.
        records: What it holds.
    """

    path: Path
    file: IO[str]
    written: Measured | None
    records: dict[Key, dict[str, Any]]

    def __post_init__(self) -> None:
        self._options = self.written or {"common": {}, "strategies": {}}

    def agree(self, options: Measured) -> None:
        """Add options; they are written with the next line.

        Raises:
            ResultsError: They are others than the file was written with. Strategies may be added.
        """
        common, old = self._options["common"], self._options["strategies"]
        changed = _changes(common, options["common"]) if self.written else []
        for strategy, own in options["strategies"].items():
            changed += _changes(old.get(strategy, own), own, f" of {strategy}")
        if changed:
            # Its default follows the other strategies, so adding one may change it.
            majority = old.get("majority", {}).get("samples")
            hint = f" (or --majority_samples {majority})" if any("of majority" in change for change in changed) else ""
            raise ResultsError(
                f"{self.path} was written with other options: {'; '.join(changed)}. Take another --output{hint}"
            )
        self._options = {"common": common | options["common"], "strategies": old | options["strategies"]}

    def done(self, key: Key, digest: str) -> bool:
        """Whether a question has been answered under a strategy; one that failed has not.

        Raises:
            ResultsError: The question has changed.
        """
        record = self.records.get(key)
        if record is not None and record["digest"] != digest:
            raise ResultsError(
                f"{self.path}: question {key[1]!r} of {key[0]} is another one now: the data has changed; take another "
                "--output"
            )
        return record is not None and record["error"] is None

    def write(self, record: dict[str, Any]) -> None:
        """Add a line; it is on its way to the disk when this returns."""
        if self._options != self.written:
            self._line({"format": FORMAT, "options": self._options})
            self.written = self._options
        self._line(record)
        self.records[key_of(record)] = record

    def _line(self, value: dict[str, Any]) -> None:
        self.file.write(json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n")
        self.file.flush()


@contextlib.contextmanager
def open_results(path: Path, options: Measured) -> Generator[ResultsFile]:
    """Open a results file for writing; at most one process has it.

    Args:
        path: The file; made where it does not exist.
        options: What is known before the model is asked; see :meth:`ResultsFile.agree`.

    Raises:
        ResultsError: Another process writes it, it was written with other options, or it is damaged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResultsError(
                f"{path} is being written by another evaluation: wait for it, or take another --output"
            ) from None
        # What a killed process left after the last line break is no line.
        os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        written, records = _read(path) if path.stat().st_size else (None, {})
        results = ResultsFile(path, file, written, records)
        results.agree(options)
        yield results


def read_results(path: Path) -> tuple[Measured, list[dict[str, Any]]]:
    """Read a results file without writing to it.

    Returns:
        The options, and one record per benchmark, question and strategy: the last one. A torn last line is left out.

    Raises:
        FileNotFoundError: There is no such file.
        ResultsError: It is no results file, or is damaged before its end.
    """
    options, records = _read(path)
    return options, list(records.values())


def _read(path: Path) -> tuple[Measured, dict[Key, dict[str, Any]]]:
    options, records = None, {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], 1):  # what follows the last line break is torn
        try:
            value = json.loads(line)
            key = None if "options" in value else key_of(value)
        except (ValueError, KeyError, TypeError) as error:
            raise ResultsError(
                f"{path}, line {number} is damaged ({error}): remove the line or take another --output"
            ) from error
        if key is None:
            if value.get("format") != FORMAT:
                raise ResultsError(f"{path} has format {value.get('format')}, this version reads {FORMAT}")
            options = value["options"]
            # Before it was an option there was none.
            options.get("common", {}).setdefault("repetition_penalty", 1.0)
        else:
            # In the order of the latest line, like a file without repetitions.
            records.pop(key, None)
            records[key] = value
    if options is None:
        raise ResultsError(f"{path} has no options in its first line: is it a results file?")
    return options, records


def _changes(old: dict[str, Any], new: dict[str, Any], whose: str = "") -> list[str]:
    return [
        f"{name}{whose} was {old.get(name)!r} and is {new[name]!r}"
        for name in sorted(new)
        if old.get(name) != new[name]
    ]
