"""Looks into the data files before a run: columns, and a sample of rows with their images.

What is wrong in a row would otherwise end a run in the data loader, hours later, with a stack trace that names no row.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from PIL import Image

from spark_verl.data.images import shape_problem
from spark_verl.data.prompts import IMAGE
from spark_verl.data.sources import open_parquet, parquet_rows
from spark_verl.reward import accepted_answers

COLUMNS = ("data_source", "prompt", "reward_model", "extra_info")

_SHAPES = {
    "tiny_image": "too small to show anything",
    "extreme_ratio": "the model takes sides in proportions up to 1:200",
}


@dataclass(frozen=True)
class Sampled:
    """What was seen in the sampled rows of one file.

    Attributes:
        rows: Rows looked at.
        most_pixels: Pixels of all images of the row that has most of them.
    """

    rows: int
    most_pixels: int


def check_file(path: str | Path, image_key: str = "images", rows: int = 200, unlabelled: bool = False) -> Sampled:
    """Check a parquet file's columns and some of its rows.

    Args:
        path: The file.
        image_key: ``data.image_key``.
        rows: Rows to look at, evenly spread; -1 for all.
        unlabelled: Whether rows without ground truth are legal (``spark.self_reward``).

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A column is missing, or a sampled row cannot be trained on; the message names file, row and reason.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist (data_preprocess/ has the programs to make it)")
    with open_parquet(path) as table:
        names, total = table.schema_arrow.names, table.metadata.num_rows
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]!r}: it has {', '.join(names)} (data_preprocess/ writes verl's columns)"
        )
    if not total:
        raise ValueError(f"{path} has no rows")
    wanted = set(range(total)) if rows < 0 else {i * total // rows for i in range(rows)}
    most_pixels = 0
    for number, row in enumerate(parquet_rows(path, [*COLUMNS, image_key], wanted)):
        if number in wanted:
            pixels = _check_row(row, image_key, f"{path}, row {number}", unlabelled)
            most_pixels = max(most_pixels, pixels)
    return Sampled(len(wanted), most_pixels)


def check_images(config: DictConfig, pixels: int) -> None:
    """The images of a row must leave room for its question.

    Args:
        config: The whole config.
        pixels: Pixels of all images of the row that has most.

    Raises:
        ValueError: They alone fill ``data.max_prompt_length``, and such rows are not filtered out.
    """
    patch = int(config.data.get("image_patch_size", 14)) * 2
    tokens = pixels // patch**2
    if tokens >= config.data.max_prompt_length and not config.data.filter_overlong_prompts:
        raise ValueError(
            f"data.max_prompt_length={config.data.max_prompt_length} is too small: a row has images of {pixels:,}"
            f" pixels, which are {tokens:,} tokens; raise it, write the data with a smaller --max_pixels, or leave such"
            " rows out (data.filter_overlong_prompts=true)"
        )


def _check_row(row: Mapping[str, Any], image_key: str, where: str, unlabelled: bool) -> int:
    """Check one row; return the pixels of all its images."""
    messages = row["prompt"]
    if not isinstance(messages, list) or not messages or not all("role" in m and "content" in m for m in messages):
        raise ValueError(
            f"{where}: prompt must be a list of messages with role and content, got {str(messages)[:80]!r}"
        )
    if not any(message["role"] == "user" and str(message["content"]).strip() for message in messages):
        raise ValueError(f"{where}: prompt has no user message with text")
    reward_model = row["reward_model"]
    truth = reward_model.get("ground_truth") if isinstance(reward_model, Mapping) else None
    missing = truth is None or (isinstance(truth, str | list) and not accepted_answers(truth))
    if missing and not (truth is None and unlabelled):
        raise ValueError(f"{where}: reward_model.ground_truth is missing or empty, so no answer can be verified")
    images = row.get(image_key) or []
    placeholders = sum(str(message["content"]).count(IMAGE) for message in messages)
    if placeholders != len(images):
        raise ValueError(
            f"{where}: {placeholders} {IMAGE} in the prompt, but {len(images)} image(s) in column {image_key!r}"
        )
    return sum(_check_image(image, f"{where}, image {i}") for i, image in enumerate(images))


def _check_image(image: Any, where: str) -> int:
    """Decode one image; return its pixels."""
    source = image
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
    if problem := shape_problem(width, height):
        raise ValueError(f"{where} is {width}x{height} pixels: {_SHAPES[problem]}")
    return width * height
