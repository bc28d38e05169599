"""Rows of a benchmark: from a file, a folder or the hub, decoded one by one and only when they are asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from huggingface_hub import hf_hub_download

logger = logging.getLogger(__name__)

SPLIT_COLUMN = "_split"
"""Added where the rows of several splits are joined."""


@dataclass(frozen=True)
class Source:
    """Where a benchmark lives.

    Attributes:
        path: Hub id; None when there is no hub copy in this form.
        splits: Splits that belong to the benchmark; several are joined, see :data:`SPLIT_COLUMN`. None for a hub
            repository of plain files.
        config: Name of the hub configuration.
        files: Files of the benchmark by name; a folder that has them is read by them, and so is a hub repository
            without splits.
    """

    path: str | None
    splits: tuple[str, ...] = ("test",)
    config: str | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rows:
    """Rows with random access.

    Attributes:
        table: A memory-mapped data set in arrow format, or rows of a JSON file.
        where: The path or hub id, for messages.
        folder: What relative image paths are relative to.
    """

    table: datasets.Dataset | Sequence[Mapping[str, Any]]
    where: str
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """A row as plain Python values; an image is what parquet holds, ``{"bytes": .., "path": ..}``."""
        if isinstance(self.table, datasets.Dataset):
            return self.table[index : index + 1].to_pylist()[0]  # ty: ignore[missing-attribute]
        return self.table[index]

    @property
    def columns(self) -> list[str]:
        """Column names; of JSON rows, the names that occur in any row."""
        if isinstance(self.table, datasets.Dataset):
            return list(self.table.column_names)
        return list(dict.fromkeys(name for row in self.table for name in row))

    def column(self, name: str) -> list[Any]:
        """All values of one column; the other columns, images above all, are not read."""
        if isinstance(self.table, datasets.Dataset):
            return self.table.select_columns([name])[:].column(name).to_pylist()
        return [row.get(name) for row in self.table]


def read(source: Source, local_path: str | Path | None = None) -> Rows:
    """Open a benchmark's rows.

    Args:
        source: What to read from the hub, and which split and configuration to take from a folder.
        local_path: A .parquet, .json, .jsonl or .ndjson file, a folder written by ``save_to_disk``, a folder that
            ``datasets.load_dataset`` can read, or one with the benchmark's own JSON files. None reads the hub.

    Raises:
        FileNotFoundError: ``local_path`` does not exist.
        ValueError: The file has another format, or the folder has no such split or configuration.
        OSError: The hub cannot be read.
    """
    if local_path is None:
        return _read_hub(source)
    path = Path(local_path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: local_path must be a file or a folder")
    if path.is_file():
        return _read_file(path)
    if named := [path / name for name in source.files if (path / name).is_file()]:
        return _join([_read_file(file) for file in named], str(path))
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        found = datasets.load_from_disk(str(path))
        found = found if isinstance(found, datasets.DatasetDict) else {"train": found}
    else:
        found = datasets.load_dataset(str(path), _config(source, path))
    splits = _wanted_splits(source.splits, [str(name) for name in found], str(path))
    return Rows(_table({name: found[name] for name in splits}), str(path), path)


def _read_file(path: Path) -> Rows:
    kind = path.suffix.lower()
    if kind == ".parquet":
        table = _table({"train": datasets.load_dataset("parquet", data_files=str(path), split="train")})
    # The json module, not datasets: these files mix strings and numbers in one column, which a table cannot hold.
    elif kind == ".json":
        table = _json_rows(json.loads(path.read_text(encoding="utf-8")), path)
    elif kind in (".jsonl", ".ndjson"):
        table = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        raise ValueError(f"{path} has an unknown format: give a .parquet, .json, .jsonl or .ndjson file, or a folder")
    return Rows(table, str(path), path.parent)


def _json_rows(content: Any, path: Path) -> list[Mapping[str, Any]]:
    """A list of rows as it is; of a mapping from ids to rows, the rows with their id added."""
    if isinstance(content, Mapping) and all(isinstance(row, Mapping) for row in content.values()):
        return [{"id": key, **row} for key, row in content.items()]
    if isinstance(content, list) and all(isinstance(row, Mapping) for row in content):
        return content
    raise ValueError(f"{path} must hold a list of rows or a mapping from ids to rows")


def _read_hub(source: Source) -> Rows:
    if source.path is None:
        raise ValueError("this benchmark has no copy on the hub: give local_path")
    try:
        if not source.splits:
            files = [hf_hub_download(source.path, name, repo_type="dataset") for name in source.files]
            return _join([_read_file(Path(file)) for file in files], source.path)
        tables = {split: datasets.load_dataset(source.path, source.config, split=split) for split in source.splits}
    except OSError as error:
        raise OSError(
            f"cannot read {source.path} from the hub ({error}): check the network, or download it and give local_path"
        ) from error
    return Rows(_table(tables), source.path)


def _join(parts: list[Rows], where: str) -> Rows:
    table = parts[0].table if len(parts) == 1 else [row for part in parts for row in part.table]
    return Rows(table, where, parts[0].folder)


def _config(source: Source, folder: Path) -> str | None:
    known = datasets.get_dataset_config_names(str(folder))
    if source.config is None or source.config in known:
        return source.config
    if len(known) == 1:
        return known[0]
    raise ValueError(f"{folder} has no configuration {source.config!r}, only {sorted(known)}")


def _wanted_splits(wanted: Sequence[str], known: list[str], where: str) -> Sequence[str]:
    missing = [name for name in wanted if name not in known]
    if not missing:
        return wanted
    if len(known) == 1 and len(missing) == len(wanted):
        # A folder with one unnamed file is called "train" by datasets
        logger.warning(f"{where} has no split {missing[0]!r}: reading its only split {known[0]!r}")
        return known
    raise ValueError(f"{where} has no split {missing[0]!r}, only {sorted(known)}")


def _table(splits: Mapping[str, datasets.Dataset]) -> datasets.Dataset:
    """The splits as one table, whose images stay bytes: thousands of decoded ones would not fit into memory."""
    if len(splits) == 1:
        (table,) = splits.values()
    else:
        named = [table.add_column(SPLIT_COLUMN, [split] * len(table)) for split, table in splits.items()]
        table = datasets.concatenate_datasets(named)
    return table.with_format("arrow")
