"""Files of a data set: found in a folder or fetched from the hub, checked for their columns, read record by record."""

from __future__ import annotations

import codecs
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spark_verl.data.errors import RowError, UsageError, said
from spark_verl.options import brief

SUFFIXES = (".parquet", ".jsonl", ".json")

BATCH_ROWS = 16
"""Rows decoded at once. Images in the columns make a row a megabyte."""


@dataclass(frozen=True)
class Record:
    """One record of a data set.

    Attributes:
        position: Its number over all files of the split, from 0.
        where: File and row, for messages.
        value: Column to value, or what is wrong.
    """

    position: int
    where: str
    value: Mapping[str, Any] | RowError


def locate(
    path: str | None, splits: Mapping[str, Sequence[str]], hub: str, also: Sequence[str] = ()
) -> tuple[Path, dict[str, list[Path]]]:
    """Find the files of each split.

    Args:
        path: A folder, one file, or None to fetch the data set from the hub.
        splits: Split to glob patterns without suffix; the first pattern that matches something counts.
        hub: Hub id.
        also: Patterns of further files that are needed from the hub, such as image archives.

    Returns:
        The folder that relative paths in the records belong to, and the files of each split that has any. A single
        file belongs to the split that it is named like, else to the first one.

    Raises:
        UsageError: Nothing is there, it is ambiguous, or it cannot be fetched.
    """
    if path is None:
        wanted = [f"{pattern}{suffix}" for patterns in splits.values() for pattern in patterns for suffix in SUFFIXES]
        folder = fetch(hub, [*wanted, *also])
    else:
        folder = Path(path).expanduser()
        if folder.is_file():
            if folder.suffix not in SUFFIXES:
                raise UsageError(f"{folder} is none of {', '.join(SUFFIXES)}")
            named = [split for split, patterns in splits.items() if _named_like(folder, patterns)]
            return folder.parent, {(named or list(splits))[0]: [folder]}
        if not folder.is_dir():
            raise UsageError(f"--local_dataset_path: {folder} does not exist")
    found = {split: _match(folder, patterns) for split, patterns in splits.items()}
    if not any(found.values()):
        patterns = ", ".join(pattern for patterns in splits.values() for pattern in patterns)
        raise UsageError(f"{folder} has no file ({' '.join(SUFFIXES)}) named like any of: {patterns}")
    return folder, {split: files for split, files in found.items() if files}


def fetch(hub: str, patterns: Sequence[str]) -> Path:
    """Fetch those files of a data set on the Hugging Face hub that match; return the folder.

    Raises:
        UsageError: It cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub, repo_type="dataset", allow_patterns=list(patterns)))
    except Exception as error:  # no common base: the hub's own errors, OSError, and those of its HTTP client
        raise UsageError(
            f"{hub} cannot be fetched from the hub ({_first_line(error)}); fetch it where there is a network and name"
            " the folder with --local_dataset_path"
        ) from error


def _named_like(file: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch(file.name, f"{Path(pattern).name}.*") for pattern in patterns)


def _match(folder: Path, patterns: Sequence[str]) -> list[Path]:
    for pattern in patterns:
        found = sorted(file for file in folder.glob(f"{pattern}.*") if file.suffix in SUFFIXES and file.is_file())
        if len({file.suffix for file in found}) > 1:
            raise UsageError(f"{folder} has {pattern} in several formats ({found[0].name}, {found[-1].name}): name one")
        if len({file.parent for file in found}) > 1:  # configurations of a data set, often of the very same questions
            both = f"{found[0].parent.name}, {found[-1].parent.name}"
            raise UsageError(f"{folder} has {Path(pattern).name} in several folders ({both}): name one of them")
        if found:
            return found
    return []


def check_columns(files: Sequence[Path], alternatives: Sequence[Sequence[str]]) -> None:
    """Check that each file has one of several sets of columns.

    Raises:
        UsageError: A file cannot be read or lacks a column; the message names both.
    """
    for file in files:
        names = set(_columns(file))
        if not any(names.issuperset(needed) for needed in alternatives):
            absent = (", ".join(repr(name) for name in needed if name not in names) for needed in alternatives)
            has = ", ".join(sorted(names)) or "no rows"
            raise UsageError(f"{file} has no column {' or '.join(absent)}: it has {has}")


def _columns(file: Path) -> Iterable[str]:
    if file.suffix == ".parquet":
        return open_parquet(file).schema_arrow.names
    return {name for value in _json_values(file) if isinstance(value, dict) for name in value}


def count_records(files: Sequence[Path]) -> int:
    """Number of records, bad ones included."""
    return sum(
        open_parquet(file).metadata.num_rows if file.suffix == ".parquet" else sum(1 for _ in _json_values(file))
        for file in files
    )


def read_records(
    files: Sequence[Path], columns: Sequence[str] | None = None, wanted: Container[int] | None = None
) -> Iterator[Record]:
    """Read records in order, a few at a time.

    Args:
        files: Files of one split.
        columns: Columns to read from parquet files, if they exist; None for all.
        wanted: Positions to return; None for all.

    Raises:
        UsageError: A file is damaged.
    """
    start = 0
    for file in files:
        if file.suffix == ".parquet":
            values, end = parquet_rows(file, columns, wanted, start), start + count_records([file])
        else:
            values, end = enumerate(_json_values(file), start), start
        for position, value in values:
            if wanted is None or position in wanted:
                yield Record(position, f"{file.name}, row {position - start}", value)
            end = max(end, position + 1)
        start = end


def open_parquet(file: Path) -> pq.ParquetFile:
    """Open a parquet file.

    Raises:
        UsageError: It is none.
    """
    try:
        # Not memory-mapped and not pre-buffered: either would keep whole row groups of images in memory.
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{file} is no parquet file that can be read: {_first_line(error)}") from error


def parquet_rows(
    file: Path, columns: Sequence[str] | None = None, wanted: Container[int] | None = None, start: int = 0
) -> Iterator[tuple[int, Mapping[str, Any] | RowError]]:
    """Rows of a parquet file in order, each with its number; an error where a value is none in Python.

    Args:
        file: The file.
        columns: Columns to read, if they exist; None for all.
        wanted: Numbers of the rows to read; None for all.
        start: Number of the first row.

    Raises:
        UsageError: The file is damaged.
    """
    for first, batch in parquet_batches(file, columns, wanted, start):
        for number in range(first, first + len(batch)):
            if wanted is None or number in wanted:
                yield number, python_row(batch.slice(number - first, 1))


def python_row(row: pa.RecordBatch | pa.Table) -> Mapping[str, Any] | RowError:
    """One row of Arrow in Python's types."""
    try:
        return row.to_pylist()[0]
    except (ValueError, OverflowError, pa.ArrowException) as error:
        # Text in another encoding; a date that Python does not have.
        return RowError("bad_text", said(error))


def parquet_batches(
    file: Path, columns: Sequence[str] | None = None, wanted: Container[int] | None = None, start: int = 0
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The few rows at a time in which a parquet file is read, each batch with the number of its first row.

    Row groups and batches without a wanted row are left out; arguments and errors are those of :func:`parquet_rows`.
    """
    with open_parquet(file) as table:
        names = None if columns is None else [name for name in columns if name in table.schema_arrow.names]
        for group in range(table.num_row_groups):
            rows = range(start, start + table.metadata.row_group(group).num_rows)
            start = rows.stop
            if wanted is not None and not any(row in wanted for row in rows):
                continue
            try:
                for batch in table.iter_batches(BATCH_ROWS, row_groups=[group], columns=names, use_threads=False):
                    here, rows = rows[: len(batch)], rows[len(batch) :]
                    if wanted is None or any(row in wanted for row in here):
                        yield here.start, batch
            except (pa.ArrowException, OSError) as error:
                raise UsageError(f"{file} is damaged: {_first_line(error)}") from error


def _json_values(file: Path) -> Iterator[Mapping[str, Any] | RowError]:
    """Objects of a JSON list or of JSON lines; the content decides, for many ``.json`` files have lines.

    A list is read as a whole: these data sets name images in JSON, they do not put them in. Lines end at ``\\n`` only:
    JSON allows in its texts what Python takes for other ends of lines. A byte-order mark is no part of the text.
    """
    try:
        with file.open("rb") as content:
            is_list = content.read(1024).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
            content.seek(0)
            values = _parse(content.read()) if is_list else (_parse(line) for line in content if line.strip())
            if isinstance(values, RowError):
                raise UsageError(f"{file} is not valid JSON: {values.detail}")
            for value in values:
                yield value if isinstance(value, dict | RowError) else RowError("bad_record", brief(value))
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not text in UTF-8: {error}") from error
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:  # also an integer of thousands of digits
        return RowError("bad_record", str(error))


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
