"""Rows and files as a user may have them, for the tests of the check."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(width: int = 28, height: int = 28) -> bytes:
    return encoded(Image.new("RGB", (width, height), "white"))


def message(content: Any, role: Any = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": content}]


def row(**changes: Any) -> dict[str, Any]:
    return {
        "data_source": "math",
        "prompt": message("<image>What is 3 + 4?"),
        "images": [{"bytes": picture(), "path": None}],
        "reward_model": {"style": "rule", "ground_truth": "7"},
        "extra_info": {"index": 0},
        **changes,
    }


def text_row(text: str = "3 + 4?") -> dict[str, Any]:
    return row(prompt=message(text), images=[])


def write(
    folder: Path, rows: list[dict[str, Any]], drop: Sequence[str] = (), name: str = "train", features: Any = None
) -> str:
    path = folder / f"{name}.parquet"
    if features:
        datasets.Dataset.from_list(rows, features=features).to_parquet(path)
    else:
        pq.write_table(pa.Table.from_pylist(rows).drop_columns(list(drop)), path, row_group_size=2)
    return str(path)


def truth(value: Any) -> dict[str, Any]:
    return {"reward_model": {"style": "rule", "ground_truth": value}}


TEXT = datasets.Value("string")
FEATURES = datasets.Features(
    {
        "data_source": TEXT,
        "prompt": datasets.List({"role": TEXT, "content": TEXT}),
        "images": datasets.List(datasets.Image()),
        "reward_model": {"style": TEXT, "ground_truth": TEXT},
        "extra_info": {"index": datasets.Value("int64")},
    }
)
"""The columns of :func:`row` as ``datasets`` writes them, with images that it knows as such."""
