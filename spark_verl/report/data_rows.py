"""The run's data files: how many rows each source has, and the images of a sample."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from spark_verl.data.errors import RowError
from spark_verl.data.sources import parquet_rows
from spark_verl.runs.config import RunConfig

LARGEST_SIDE = 448
"""Pixels; larger images are shown smaller."""

MOST_IMAGES = 4
"""Of a row that are shown."""

_MEDIA = re.compile(r"<(?:image|video)>")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class DataRow:
    """What tells a row of the data.

    Attributes:
        path, position: Its file and its number in it.
        source: Its data source.
        index: ``extra_info.index``.
        question: As :func:`_plain` text.
        truth: Its ground truth.
    """

    path: Path
    position: int
    source: str
    index: Any
    question: str
    truth: str


@dataclass
class DataRows:
    """Rows of the training and validation files.

    Attributes:
        files: ``{"train" or "val": parquet files that are there}``.
        absent: Configured files that are not.
    """

    files: dict[str, list[Path]]
    absent: list[str]

    @classmethod
    def find(cls, folder: Path, config: RunConfig) -> DataRows:
        """The configured files, or those of the same name in ``folder/data``, where a run folder was moved."""
        files: dict[str, list[Path]] = {"train": [], "val": []}
        absent: list[str] = []
        for split in files:
            configured = config.values.get(f"data.{split}_files") or []
            for name in [configured] if isinstance(configured, str) else configured:
                path = Path(name).expanduser()
                places = [place for place in (folder / "data" / path.name, path) if place.is_file()]
                if places and path.suffix == ".parquet":
                    files[split].append(places[0])
                else:
                    absent.append(name)
        if not config.values:
            for path in sorted((folder / "data").glob("*.parquet")):
                files["train" if path.stem.startswith("train") else "val"].append(path)
        return cls(files, absent)

    @cached_property
    def _rows(self) -> dict[str, list[DataRow]]:
        return {split: [row for path in paths for row in _read(path)] for split, paths in self.files.items()}

    @cached_property
    def _found(self) -> dict[tuple[str, str, str], list[DataRow]]:
        """Rows by ``(split, "index" or "question", its value)``."""
        found: dict[tuple[str, str, str], list[DataRow]] = defaultdict(list)
        for split, rows in self._rows.items():
            for row in rows:
                found[split, "index", str(row.index)].append(row)
                found[split, "question", row.question].append(row)
        return found

    def source_counts(self, split: str) -> Counter[str]:
        """``{data source: rows}``."""
        return Counter(row.source for row in self._rows[split])

    def row_of(self, split: str, prompt_text: str, ground_truth: str, index: Any = None) -> DataRow | None:
        """The row that a dumped prompt was made of, if exactly one can be it.

        Args:
            split: "train" or "val".
            prompt_text: The decoded prompt: chat roles, the question, no image placeholders.
            ground_truth: Of the question.
            index: ``extra_info.index`` of the row, where the dump tells; goes before the text.
        """
        question = _plain(user_text(prompt_text))
        key = (split, "question", question) if index is None else (split, "index", str(index))
        matches = self._found.get(key, [])
        if index is not None and len(matches) == 1:
            return matches[0]
        matches = [row for row in matches if row.question == question and row.truth == ground_truth]
        return matches[0] if len(matches) == 1 else None


def images(row: DataRow) -> list[str]:
    """A row's images as ``data:`` URIs, decoded and encoded anew, so that nothing but pixels gets through."""
    _, found = next(parquet_rows(row.path, ["images"], {row.position}))
    if isinstance(found, RowError):
        return []
    return [uri for image in (found.get("images") or [])[:MOST_IMAGES] if (uri := _image_uri(image))]


def user_text(prompt_text: str) -> str:
    """The last user turn of a prompt that was decoded without special tokens (Qwen's ``role\\ntext`` lines)."""
    text = re.sub(r"\n?assistant\n?\Z", "", prompt_text.rstrip())
    _, found, last = text.rpartition("\nuser\n")
    return last if found else text.removeprefix("user\n")


def _question(messages: list[dict[str, Any]]) -> str:
    """The text of the last user message."""
    content = next((each["content"] for each in reversed(messages) if each["role"] == "user"), "")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content)
    return _plain(content)


def _plain(text: str) -> str:
    """Text without image placeholders and runs of white space."""
    return _SPACE.sub(" ", _MEDIA.sub("", text)).strip()


def _read(path: Path) -> list[DataRow]:
    """The rows of a file, without their images."""
    table = pq.ParquetFile(path).read(columns=["data_source", "prompt", "reward_model", "extra_info"])
    return [
        DataRow(
            path=path,
            position=position,
            source=row["data_source"],
            index=(row.get("extra_info") or {}).get("index"),
            question=_question(row["prompt"]),
            truth=str(row["reward_model"].get("ground_truth")),
        )
        for position, row in enumerate(table.to_pylist())
    ]


def _image_uri(image: dict[str, Any]) -> str | None:
    """An image of the data (its bytes, or the path of its file); None where it cannot be decoded."""
    try:
        content = image.get("bytes") or Path(image.get("path") or "").read_bytes()
        with Image.open(io.BytesIO(content)) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    kind, options = ("webp", {"quality": 80, "method": 4}) if max(picture.size) > 160 else ("png", {})
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
