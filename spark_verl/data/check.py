"""Looks into the data files before a run: columns, and a sample of rows with their images.

What is wrong in a row would otherwise end a run in the data loader, hours later, with a stack trace that names no row.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COLUMNS = ("data_source", "prompt", "reward_model", "extra_info")
PLACEHOLDER = "<image>"
MAX_ASPECT_RATIO = 200
"""Qwen2.5-VL's own limit (``smart_resize`` of qwen-vl-utils raises beyond it)."""

MIN_SIDE = 2
"""A one-pixel image shows nothing; it is a placeholder of a broken download."""


@dataclass(frozen=True)
class Sampled:
    """What was seen in the sampled rows of one file.

    Attributes:
        rows: Rows looked at.
        most_pixels: Pixels of all images of the row that has most of them.
    """

    rows: int
    most_pixels: int


def check_file(path: str | Path, image_key: str = "images", rows: int = 200) -> Sampled:
    """Check a parquet file's columns and some of its rows.

    Args:
        path: The file.
        image_key: ``data.image_key``.
        rows: Rows to look at, evenly spread; -1 for all.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A column is missing, or a sampled row cannot be trained on; the message names file, row and reason.
    """
    import pyarrow.parquet as pq

    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist (data_preprocess/ has the programs to make it)")
    try:
        table = pq.ParquetFile(path)
    except Exception as error:  # pyarrow has no common base for what a broken file can raise
        raise ValueError(f"{path} is no parquet file: {error}") from error
    names = table.schema_arrow.names
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}: it has {', '.join(names)} (data_preprocess/ writes verl's columns)"
        )
    most_pixels = seen = 0
    for number, row in _sample(table, [*COLUMNS, *([image_key] if image_key in names else [])], rows):
        pixels = _check_row(row, image_key, f"{path}, row {number}")
        most_pixels, seen = max(most_pixels, sum(pixels)), seen + 1
    if seen == 0:
        raise ValueError(f"{path} has no rows")
    return Sampled(seen, most_pixels)


def _sample(table, columns: list[str], rows: int) -> Iterator[tuple[int, dict[str, Any]]]:
    total = table.metadata.num_rows
    wanted = range(total) if rows < 0 or rows >= total else [i * total // rows for i in range(rows)]
    start, remaining = 0, list(wanted)
    for group in range(table.num_row_groups):
        end = start + table.metadata.row_group(group).num_rows
        here = [number for number in remaining if start <= number < end]
        if here:
            content = table.read_row_group(group, columns=columns)
            for number in here:
                yield number, content.slice(number - start, 1).to_pylist()[0]
        start = end


def _check_row(row: Mapping[str, Any], image_key: str, where: str) -> list[int]:
    """Check one row; return its images' pixels."""
    messages = row["prompt"]
    if not isinstance(messages, list) or not messages or not all("role" in m and "content" in m for m in messages):
        raise ValueError(
            f"{where}: prompt must be a list of messages with role and content, got {str(messages)[:80]!r}"
        )
    if not any(message["role"] == "user" and str(message["content"]).strip() for message in messages):
        raise ValueError(f"{where}: prompt has no user message with text")
    reward_model = row["reward_model"]
    truth = reward_model.get("ground_truth") if isinstance(reward_model, Mapping) else None
    if (
        truth is None
        or (isinstance(truth, str | list) and not len(truth))
        or (isinstance(truth, str) and not truth.strip())
    ):
        raise ValueError(f"{where}: reward_model.ground_truth is missing or empty, so no answer can be verified")
    images = row.get(image_key) or []
    placeholders = sum(str(message["content"]).count(PLACEHOLDER) for message in messages)
    if placeholders != len(images):
        raise ValueError(
            f"{where}: {placeholders} {PLACEHOLDER} in the prompt, but {len(images)} image(s) in column {image_key!r}"
        )
    return [_check_image(image, f"{where}, image {i}") for i, image in enumerate(images)]


def _check_image(image: Any, where: str) -> int:
    """Open an image's header; return its pixels."""
    from PIL import Image

    source: Any = image
    if isinstance(image, Mapping):
        source = io.BytesIO(image["bytes"]) if image.get("bytes") else image.get("path") or image.get("image")
    if isinstance(source, str):
        source = source.removeprefix("file://")
    if source is None:
        raise ValueError(f"{where} is empty")
    try:
        with Image.open(source) as opened:
            width, height = opened.size
            # The header alone does not show that a file was cut off.
            opened.load()
    except FileNotFoundError as error:
        raise ValueError(f"{where}: file {source} does not exist") from error
    except Exception as error:  # PIL's decoders raise anything from SyntaxError to struct.error
        raise ValueError(f"{where} cannot be read: {error}") from error
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"{where} is {width}x{height} pixels: too small to show anything")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise ValueError(f"{where} is {width}x{height} pixels: the model takes sides in proportions up to 1:200")
    return width * height
