"""Rows of a benchmark: from a file, a folder or the hub, decoded one by one and only when they are asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub import hf_hub_download

from spark_verl.data.sources import open_parquet
from spark_verl.data.stores import ImageStore, open_store
from spark_verl.evaluation.question import images_of
from spark_verl.options import brief

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
        stores: Where images are looked up that are not there, see :class:`spark_verl.data.stores.Images`.
    """

    table: datasets.Dataset | Sequence[Mapping[str, Any]]
    where: str
    folder: Path | None = None
    stores: tuple[ImageStore, ...] = ()

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

    def images(self, value: Any) -> list[Any]:
        """The images that a column's value names, see :func:`spark_verl.evaluation.question.images_of`."""
        return images_of(value, self.folder, self.stores)


def read(source: Source, local_path: str | Path | None = None, images: Sequence[str | Path] = ()) -> Rows:
    """Open a benchmark's rows.

    Args:
        source: What to read from the hub, and which split and configuration to take from a folder.
        local_path: A .parquet, .json, .jsonl or .ndjson file, a folder written by ``save_to_disk``, a folder that
            ``datasets.load_dataset`` can read, or one with the benchmark's own JSON files. None reads the hub.
        images: Folders, zip or tar archives with images that are not where the rows expect them.

    Raises:
        FileNotFoundError: ``local_path`` does not exist.
        ValueError: The file has another format, or the folder has no such split or configuration.
        OSError: The hub cannot be read.
    """
    path = None if local_path is None else Path(local_path).expanduser()
    try:
        table, where, folder = _read_hub(source) if path is None else _read_path(source, path)
    except DatasetsError as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise ValueError(f"{path or source.path} cannot be read: {brief(reason)}") from error
    return Rows(table, where, folder, tuple(map(open_store, [*([folder] if folder else []), *images])))


_Found = tuple["datasets.Dataset | Sequence[Mapping[str, Any]]", str, "Path | None"]
"""Rows, where they are from, and what their image paths are relative to."""


def _read_path(source: Source, path: Path) -> _Found:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: give a file or a folder (--benchmark NAME=PATH)")
    if path.is_file():
        return _read_files([path]), str(path), path.parent
    if named := [path / name for name in source.files if (path / name).is_file()]:
        return _read_files(named), str(path), path
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        found = datasets.load_from_disk(str(path))
        found = found if isinstance(found, datasets.DatasetDict) else {"train": found}
    else:
        configurations = datasets.get_dataset_config_names(str(path))
        config = _present([source.config], configurations, "configuration", path)[0] if source.config else None
        found = datasets.load_dataset(str(path), config)
    splits = _present(source.splits, list(map(str, found)), "split", path)
    return _table({name: found[name] for name in splits}), str(path), path


def _read_hub(source: Source) -> _Found:
    if source.path is None:
        raise ValueError("this benchmark has no copy on the hub: give its file or folder (--benchmark NAME=PATH)")
    try:
        if not source.splits:
            files = [Path(hf_hub_download(source.path, name, repo_type="dataset")) for name in source.files]
            return _read_files(files), source.path, files[0].parent
        tables = {split: datasets.load_dataset(source.path, source.config, split=split) for split in source.splits}
    except OSError as error:
        raise OSError(
            f"cannot read {source.path} from the hub ({error}): check the network, or download it and give its folder "
            "(--benchmark NAME=PATH)"
        ) from error
    return _table(tables), source.path, None


def _present(wanted: Sequence[str], known: Sequence[str], what: str, path: Path) -> Sequence[str]:
    """Those that are wanted; the only one that is there stands in: one unnamed file is a split "train"."""
    missing = [name for name in wanted if name not in known]
    if not missing:
        return wanted
    if len(known) == 1 and len(missing) == len(wanted):
        logger.warning(f"{path} has no {what} {missing[0]!r}: reading its only {what} {known[0]!r}")
        return known
    raise ValueError(f"{path} has no {what} {missing[0]!r}, only {sorted(known)}")


def _read_files(paths: Sequence[Path]) -> datasets.Dataset | list[Any]:
    if len(paths) > 1:
        return [row for path in paths for row in _json_rows(path)]
    kind = paths[0].suffix.lower()
    if kind == ".parquet":
        with open_parquet(paths[0]) as file:
            if not file.metadata.num_rows:
                raise ValueError(f"{paths[0]} has no rows")
        return _table({"train": datasets.load_dataset("parquet", data_files=str(paths[0]), split="train")})
    if kind in (".json", ".jsonl", ".ndjson"):
        return _json_rows(paths[0])
    raise ValueError(f"{paths[0]} has an unknown format: give a .parquet, .json, .jsonl or .ndjson file, or a folder")


def _json_rows(path: Path) -> list[Any]:
    """JSON lines, a list of rows as it is, or of a mapping from ids to rows the rows with their id added.

    The json module, not datasets: these files mix strings and numbers in one column, which a table cannot hold.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}") from error
    if path.suffix.lower() == ".json":
        content: Any = _parse(text, path)
        if isinstance(content, Mapping) and all(isinstance(row, Mapping) for row in content.values()):
            content = [{"id": key, **row} for key, row in content.items()]
    else:
        # Only "\n" ends a line: what else str.splitlines takes for an end may stand inside a JSON text.
        content = [_parse(line, path, above) for above, line in enumerate(text.split("\n")) if line.strip()]
    rows = content if isinstance(content, list) else [None]
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise ValueError(
                f"{path} must hold a list of rows or a mapping from ids to rows: row {number} is no mapping"
            )
    return rows


def _parse(text: str, path: Path, above: int = 0) -> Any:
    """JSON, of which so many lines of its file stand above."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {above + error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets a thousand deep
        raise ValueError(f"{path}, line {above + 1}: {error}") from error


def _table(splits: Mapping[str, datasets.Dataset]) -> datasets.Dataset:
    """The splits as one table, whose images stay bytes: thousands of decoded ones would not fit into memory."""
    if len(splits) == 1:
        (table,) = splits.values()
    else:
        named = [table.add_column(SPLIT_COLUMN, [split] * len(table)) for split, table in splits.items()]
        table = datasets.concatenate_datasets(named)
    return table.with_format("arrow")
