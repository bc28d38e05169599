"""Rows into a parquet file, a row group at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spark_verl.data.sample import FEATURES

GROUP_ROWS = 256
GROUP_BYTES = 16 * 2**20
"""A row group ends at so many rows or bytes of images. It is what every reader holds in memory; writing takes up to
nine times as much for a moment: the rows, arrow's copy, which doubles as it grows, and the encoded pages."""

_COMPRESSION = {"prompt.list.element.content": "ZSTD", "extra_info.choices.list.element": "ZSTD"}
"""What is long and can be compressed, by its path in parquet; images are compressed already, the rest is short."""


class RowWriter:
    """Writes rows that match :data:`spark_verl.data.sample.FEATURES`; used in a ``with`` block.

    Args:
        path: The parquet file.

    Raises:
        OSError: From every method: the disk is full or gone.
    """

    def __init__(self, path: Path) -> None:
        self.rows = 0
        self._schema = FEATURES.arrow_schema
        self._writer = pq.ParquetWriter(
            path, self._schema, compression=_COMPRESSION, use_dictionary=["data_source", "ability"]
        )
        self._pending: list[dict[str, Any]] = []
        self._bytes = 0

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """Add one row."""
        self._pending.append(row)
        self._bytes += sum(len(image["bytes"]) for image in row["images"])
        self.rows += 1
        if len(self._pending) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
        self._pending, self._bytes = [], 0
