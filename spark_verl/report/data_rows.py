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

from spark_verl.runs.config import RunConfig

LARGEST_SIDE = 448
"""Pixels; larger images are shown smaller."""

_MEDIA = re.compile(r"<(?:image|video)>")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class RowRef:
    """Where a row is: its file and its number in it."""

    path: Path
    position: int


@dataclass(frozen=True)
class Row:
    """What tells a row: its place, ``extra_info.index``, the question as :func:`_plain` text and its answer."""

    ref: RowRef
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
                path = Path(str(name)).expanduser()
                moved = folder / "data" / path.name
                chosen = next((p for p in (moved, path) if p.suffix == ".parquet" and p.is_file()), None)
                if chosen is None:
                    absent.append(str(name))
                else:
                    files[split].append(chosen)
        if not config.values and (folder / "data").is_dir():
            for path in sorted((folder / "data").glob("*.parquet")):
                files["train" if path.stem.startswith("train") else "val"].append(path)
        return cls(files, absent)

    def source_counts(self, split: str) -> Counter[str]:
        """``{data source: rows}``."""
        counts: Counter[str] = Counter()
        for path in self.files[split]:
            counts.update(_column(path, "data_source"))
        return counts

    @cached_property
    def _rows(self) -> dict[str, list[Row]]:
        """``{split: its rows, without images}``."""
        found: dict[str, list[Row]] = {}
        for split, paths in self.files.items():
            found[split] = []
            for path in paths:
                columns = (_column(path, name) for name in ("prompt", "reward_model", "extra_info"))
                for position, (prompt, reward, extra) in enumerate(zip(*columns, strict=True)):
                    truth = reward.get("ground_truth") if isinstance(reward, dict) else None
                    index = extra.get("index") if isinstance(extra, dict) else None
                    found[split].append(Row(RowRef(path, position), index, _question(prompt), str(truth)))
        return found

    @cached_property
    def _by_index(self) -> dict[str, dict[str, list[Row]]]:
        found: dict[str, dict[str, list[Row]]] = {}
        for split, members in self._rows.items():
            found[split] = defaultdict(list)
            for row in members:
                found[split][str(row.index)].append(row)
        return found

    @cached_property
    def _by_question(self) -> dict[str, dict[str, list[Row]]]:
        found: dict[str, dict[str, list[Row]]] = {}
        for split, members in self._rows.items():
            found[split] = defaultdict(list)
            for row in members:
                found[split][row.question].append(row)
        return found

    def row_of(self, split: str, prompt_text: str, ground_truth: str | None, index: Any = None) -> RowRef | None:
        """The row that a dumped prompt was made of, if exactly one can be it.

        Args:
            split: "train" or "val".
            prompt_text: The decoded prompt: chat roles, the question, no image placeholders.
            ground_truth: Of the question; None when it is not known (a judge prompt has another).
            index: ``extra_info.index`` of the row, where the dump tells; goes before the text.
        """
        if index is not None:
            matches = self._by_index.get(split, {}).get(str(index), [])
            if len(matches) == 1:
                return matches[0].ref
            question = _plain(user_text(prompt_text))
            matches = [row for row in matches if row.question == question]
        else:
            matches = self._by_question.get(split, {}).get(_plain(user_text(prompt_text)), [])
        if ground_truth is not None:
            matches = [row for row in matches if row.truth == ground_truth]
        return matches[0].ref if len(matches) == 1 else None

    def source_of(self, ref: RowRef) -> str | None:
        """Data source of a row."""
        if ref.path not in self._sources:
            self._sources[ref.path] = _column(ref.path, "data_source")
        return self._sources[ref.path][ref.position]

    @cached_property
    def _sources(self) -> dict[Path, list[Any]]:
        return {}

    def images(self, ref: RowRef, most: int = 4) -> list[str]:
        """A row's images as ``data:`` URIs, decoded and encoded anew, so that nothing but pixels gets through."""
        uris = []
        for image in (_cell(ref, "images") or [])[:most]:
            uri = _image_uri(image)
            if uri:
                uris.append(uri)
        return uris


def user_text(prompt_text: str) -> str:
    """The last user turn of a prompt that was decoded without special tokens (Qwen's ``role\\ntext`` lines)."""
    text = re.sub(r"\n?assistant\n?\Z", "", prompt_text.rstrip())
    _, found, last = text.rpartition("\nuser\n")
    if found:
        return last
    return text.removeprefix("user\n")


def _question(prompt: Any) -> str:
    """The text of the last user message, without placeholders and runs of white space."""
    if not isinstance(prompt, list):
        return ""
    for message in reversed(prompt):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                content = "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
            return _plain(str(content or ""))
    return ""


def _plain(text: str) -> str:
    return _SPACE.sub(" ", _MEDIA.sub("", text)).strip()


def _column(path: Path, name: str) -> list[Any]:
    file = pq.ParquetFile(path)
    if name not in file.schema_arrow.names:
        return [None] * file.metadata.num_rows
    return file.read(columns=[name]).column(name).to_pylist()


def _cell(ref: RowRef, name: str) -> Any:
    file = pq.ParquetFile(ref.path)
    if name not in file.schema_arrow.names:
        return None
    first = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if ref.position < first + size:
            # In small batches: a row group of a file of images can be larger than the memory.
            for batch in file.iter_batches(batch_size=32, row_groups=[group], columns=[name]):
                if ref.position < first + batch.num_rows:
                    return batch.column(0)[ref.position - first].as_py()
                first += batch.num_rows
        first += size
    return None


def _image_uri(image: Any) -> str | None:
    content = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(content, bytes):
        path = image.get("path") if isinstance(image, dict) else image
        if not isinstance(path, str) or not Path(path).is_file():
            return None
        content = Path(path).read_bytes()
    try:
        with Image.open(io.BytesIO(content)) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=80, method=4) if max(picture.size) > 160 else picture.save(buffer, "PNG")
    kind = "webp" if max(picture.size) > 160 else "png"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
