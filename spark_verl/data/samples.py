"""A sample of the rows of a file that verl is to read, and what is wrong with a file before any row is looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from spark_verl.data.errors import said
from spark_verl.data.sources import open_parquet, parquet_batches
from spark_verl.options import brief

SUFFIXES = (".parquet", ".json", ".jsonl")
"""What verl reads, by the end of the name."""

CHUNK_ROWS = 128
"""Rows that verl's class gets at once: with images in them they are a hundred megabytes."""

GROUP_BYTES = 2**31 - 1
"""What Arrow holds of one column at once."""


def existing_file(path: str | Path) -> Path:
    """The path of a file that verl can read.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is something else.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        inside = sorted(each.name for each in file.iterdir() if each.name.endswith(SUFFIXES))
        raise ValueError(
            f"{path} is a folder: name its files, [a,b,..] for several (it has {brief(', '.join(inside))})"
        )
    if not file.is_file():
        if any(sign in str(path) for sign in "*?["):
            raise ValueError(f"{path} is a pattern, which verl does not expand: name the files, [a,b,..] for several")
        raise FileNotFoundError(f"{path} does not exist (data_preprocess/ has the programs to make it)")
    if not str(path).endswith(SUFFIXES):
        raise ValueError(f"{path}: verl reads {', '.join(SUFFIXES)} (the end of the name decides)")
    return file


def open_sample(path: Path, rows: int) -> tuple[pa.Schema, int, Iterator[tuple[Sequence[int], pa.Table]]]:
    """A file's schema, its number of rows, and a sample of them: numbers and table, a chunk at a time."""
    if path.suffix == ".parquet":
        with open_parquet(path) as parquet:
            schema, total = parquet.schema_arrow, parquet.metadata.num_rows
            _check_groups(parquet.metadata)
    else:
        try:
            table = datasets.load_dataset("json", data_files=str(path), split="train").with_format("arrow")
        except Exception as error:  # pandas, Arrow and datasets each have their own
            with path.open("rb") as file:
                if not any(line.strip() for line in file):
                    raise ValueError("it has no rows") from error
            raise ValueError(f"verl cannot read it: {said(error.__cause__ or error)}") from error
        schema, total = table.features.arrow_schema, len(table)
    if not total:
        raise ValueError("it has no rows")
    wanted = sorted(range(total) if rows < 0 else {i * total // rows for i in range(rows)})
    if path.suffix == ".parquet":
        return schema, total, _chunks(path, schema, wanted)
    parts = (wanted[start : start + CHUNK_ROWS] for start in range(0, len(wanted), CHUNK_ROWS))
    return schema, total, ((part, table[part]) for part in parts)


def _chunks(path: Path, schema: pa.Schema, wanted: Sequence[int]) -> Iterator[tuple[Sequence[int], pa.Table]]:
    numbers: list[int] = []
    taken: list[pa.Table] = []
    asked = frozenset(wanted)
    for start, batch in parquet_batches(path, wanted=asked):
        here = [number for number in range(start, start + len(batch)) if number in asked]
        table = pa.Table.from_batches([batch], schema)
        try:
            # A copy: a slice would keep its neighbours in memory.
            taken.append(table.take([number - start for number in here]))
        except pa.ArrowNotImplementedError:  # of views
            taken += [table.slice(number - start, 1) for number in here]
        numbers += here
        if len(numbers) >= CHUNK_ROWS or numbers[-1] == wanted[-1]:
            yield numbers, pa.concat_tables(taken)
            numbers, taken = [], []


def _check_groups(metadata: Any) -> None:
    for number, column in ((i, j) for i in range(metadata.num_row_groups) for j in range(metadata.num_columns)):
        chunk = metadata.row_group(number).column(column)
        if chunk.total_uncompressed_size > GROUP_BYTES:
            raise ValueError(
                f"row group {number} holds {chunk.total_uncompressed_size / 2**30:.1f} GiB of {chunk.path_in_schema},"
                " and Arrow reads at most 2: write it in smaller ones (row_group_size=256)"
            )
