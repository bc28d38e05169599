"""Looks into the data files before a run: their types, and a sample of rows, as verl's own dataset class reads them.

What is wrong in a row would otherwise end a run in the data loader, hours later, with a stack trace that names no row,
or would teach nothing and say nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig, ListConfig, OmegaConf

from spark_verl.data.errors import RowError, said
from spark_verl.data.rows import MEDIA, Columns, compare_images, look
from spark_verl.data.samples import existing_file, open_sample
from spark_verl.data.sources import python_row
from spark_verl.data.verl_class import VerlRows
from spark_verl.options import brief


@dataclass
class Sampled:
    """What was seen in the sampled rows of one file.

    Attributes:
        total: Rows of the file.
        rows: Rows looked at.
        most_pixels: Pixels of all images of the row that has most of them.
        unlabelled: Rows looked at that have no ground truth.
        too_long: Rows looked at whose prompt is above the limit, and will be filtered out.
    """

    total: int
    rows: int = 0
    most_pixels: int = 0
    unlabelled: int = 0
    too_long: int = 0

    @property
    def left(self) -> int:
        """Rows that may be left when those that are too long are filtered out."""
        return self.total - self.too_long if self.too_long < self.rows else 0


def check_file(path: str | Path, image_key: str = "images", rows: int = 200, prompt_key: str = "prompt") -> Sampled:
    """Check a file's columns and some of its rows, without a model.

    Args:
        path: A .parquet, .json or .jsonl file.
        image_key: ``data.image_key``.
        rows: Rows to look at, evenly spread; -1 for all.
        prompt_key: ``data.prompt_key``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A column is missing, or a sampled row cannot be trained on; for each kind of finding a line that
            names file, row, field and remedy.
    """
    data = DictConfig({"prompt_key": prompt_key, "image_key": image_key})
    return _Check(data, Columns(prompt_key, {**Columns().media, "image": image_key}), rows).check(existing_file(path))


def data_files(config: DictConfig, key: str) -> list[str]:
    """The files of a list, each of which verl can read or will fetch.

    Args:
        config: The whole config.
        key: ``train_files`` or ``val_files``.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The list is empty, or something else than a file is named.
    """
    value = config.data[key]
    files = [str(file) for file in (value if isinstance(value, ListConfig) else [value]) if file is not None]
    if not files:
        raise ValueError(f"data.{key} names no file (data_preprocess/ has the programs to make one)")
    for file in files:
        try:
            if "://" not in file:
                existing_file(file)
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"data.{key}: {error}") from error
    return files


def check_data(config: DictConfig, rows: int, unlabelled: bool = False) -> None:
    """Check the files of a run, with the model's processor where the model is at hand. Imports verl.

    Args:
        config: The whole config, ready for verl.
        rows: Rows of each file to look at; -1 for all, 0 for none.
        unlabelled: Whether training rows without a ground truth are wanted.

    Raises:
        FileNotFoundError, ValueError: See :func:`check_file` and :func:`data_files`; also where files of one list do
            not fit together, where prompts are too long, or where the rows do not fill a batch.
    """
    if not rows:
        return
    data = DictConfig(OmegaConf.to_container(config.data, resolve=True))
    model = _load_model(config)
    for key in ("train_files", "val_files"):
        columns = Columns(
            prompt=data.prompt_key,
            media={kind: data.get(f"{kind}_key", f"{kind}s") for kind in MEDIA},
            truths=not OmegaConf.select(config, "reward.custom_reward_function.path"),
            unlabelled=unlabelled and key == "train_files",
        )
        check = _Check(data, columns, rows, model)
        files = data_files(config, key)
        seen = [check.check(Path(file)) for file in files if "://" not in file]
        if len(seen) < len(files):  # how many rows the others have is not known
            continue
        if model is None:
            check_images(config, max(each.most_pixels for each in seen))
        left, least = sum(each.left for each in seen), 1
        if key == "train_files":
            batch = "gen_batch_size" if data.get("gen_batch_size") else "train_batch_size"
            most, least = data.get("train_max_samples", -1), data[batch]
            left = min(left, most) if most > 0 else left
        if left >= least:
            continue
        if not left:
            raise ValueError(
                f"data.{key}: every one of the {sum(each.rows for each in seen):,} prompts looked at is longer than"
                f" data.max_prompt_length={data.max_prompt_length}: raise it, or write the data with a smaller"
                " --max_pixels"
            )
        raise ValueError(
            f"data.{key} have {left:,} rows for training, fewer than data.{batch}={least}: verl drops the last,"
            " incomplete batch, so no step would be left; lower it or give more rows"
        )


def known_truths(config: DictConfig) -> list[bool] | None:
    """Whether each training row has a ground truth; None where a file is no parquet file of this machine."""
    files = [Path(file).expanduser() for file in data_files(config, "train_files")]
    if not all(file.is_file() and file.suffix == ".parquet" for file in files):
        return None
    columns = [pq.read_table(file, columns=["reward_model"])["reward_model"].to_pylist() for file in files]
    return [(cell or {}).get("ground_truth") is not None for column in columns for cell in column]


def check_images(config: DictConfig, pixels: int) -> None:
    """The images of a row must leave room for its question, as far as that is known without the model's processor.

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
            f" pixels, which are {tokens:,} tokens; {_SHORTER}"
        )


_NO_BYTES = "has no bytes, which verl opens first: store the file's bytes, or its path as text"
_SHORTER = (
    "raise it, write the data with a smaller --max_pixels, or leave such rows out (data.filter_overlong_prompts=true)"
)


class _Check:
    """The check of the files of one list.

    Args:
        data: The ``data`` block.
        columns: What is read of a row.
        rows: Rows of each file to look at; -1 for all.
        model: See :class:`spark_verl.data.verl_class.VerlRows`.
    """

    def __init__(self, data: DictConfig, columns: Columns, rows: int, model: Any = None) -> None:
        self._data, self._columns, self._rows, self._model = data, columns, rows, model
        self._first: dict[str, tuple[Path, pa.Table]] = {}
        """Column to the first file that has it, and a row of it."""

    def check(self, path: Path) -> Sampled:
        """Check one file, and that it can be joined with the first one.

        Raises:
            ValueError: See :func:`check_file`.
        """
        try:
            schema, total, chunks = open_sample(path, self._rows)
            self._columns.check_schema(schema)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        seen, findings = Sampled(total), {}
        try:
            for numbers, table in chunks:
                if not seen.rows:
                    self._check_types(path, table.slice(0, 1))
                self._check_rows(numbers, table, seen, findings)
        except pa.ArrowException as error:
            raise ValueError(f"{path} cannot be read: {said(error)}") from error
        lines = [
            f"{path}, row {number}: {error.detail}"
            + (f" (and {more:,} more of the {seen.rows:,} rows looked at)" if more else "")
            for number, error, more in findings.values()
        ]
        if lines:
            raise ValueError("\n".join(lines))
        return seen

    def _check_rows(
        self, numbers: Sequence[int], table: pa.Table, seen: Sampled, findings: dict[str, tuple[int, RowError, int]]
    ) -> None:
        """Check rows; note the first finding of each kind and how many more there are."""
        try:
            verl_rows, broken = VerlRows(table, self._data, self._model), None
        except Exception as error:  # whatever a user's file makes verl, datasets or Arrow raise
            verl_rows, broken = None, error
        for index, number in enumerate(numbers):
            seen.rows += 1
            try:
                row = python_row(table.slice(index, 1))
                if isinstance(row, RowError):
                    raise row
                self._check_row(row, index, verl_rows, seen)
                if broken:
                    raise RowError("unreadable", f"verl cannot read the file: {said(broken)}")
            except RowError as error:
                before = findings.get(error.reason)
                findings[error.reason] = (*before[:2], before[2] + 1) if before else (number, error, 0)

    def _check_row(self, row: Mapping[str, Any], index: int, verl_rows: VerlRows | None, seen: Sampled) -> None:
        found = look(row, self._columns)
        seen.most_pixels = max(seen.most_pixels, found.pixels)
        seen.unlabelled += not found.labelled
        if verl_rows is None or None in found.images:  # nothing is fetched from a network
            return
        images = self._columns.media["image"]
        try:
            messages = verl_rows.messages(index)
            media = verl_rows.media(messages)
        except Exception as error:  # whatever a user's row makes verl, datasets or PIL raise
            hint = next(
                (f"{images}: image {i} {_NO_BYTES}; " for i, cell in enumerate(row.get(images) or []) if _bare(cell)),
                "",
            )
            raise RowError("unreadable", f"{hint}verl fails with {said(error)}") from error
        compare_images(images, found.images, media[0] or ())
        try:
            tokens = verl_rows.tokens(messages, media)
        except Exception as error:  # chat templates and processors raise anything
            raise RowError(
                "unreadable",
                f"{self._columns.prompt}: the model's chat template or processor fails with {said(error)}",
            ) from error
        limit = self._data.get("max_prompt_length")
        if limit and tokens > limit:
            if not self._data.filter_overlong_prompts:
                raise RowError(
                    "too_long",
                    f"{self._columns.prompt} has {tokens:,} tokens, data.max_prompt_length is {limit}: {_SHORTER}",
                )
            seen.too_long += 1

    def _check_types(self, path: Path, row: pa.Table) -> None:
        """verl joins the files of a list, which needs the same types."""
        for name in row.schema.names:
            first, other = self._first.setdefault(name, (path, row))
            if first == path:
                continue
            one, two = other.schema.field(name).type, row.schema.field(name).type
            if "null" in str(one):  # fits any type: a later file says which
                self._first[name] = path, row
            try:
                parts = [datasets.Dataset(part.select([name])) for part in (other, row)]
            except (ValueError, TypeError, pa.ArrowException):
                continue  # a type that datasets does not know, which verl's class will say
            try:
                datasets.concatenate_datasets(parts)
            except (ValueError, TypeError, pa.ArrowException) as error:
                where, one, two = _difference(name, one, two)
                if one.equals(two):  # the same in Arrow, but an image for one file and a struct for the other
                    one, two = (part.features[name] for part in parts)
                raise ValueError(
                    f"{path}: {where} is {brief(two)}, but {brief(one)} in {first}: verl cannot join the"
                    " files of a list whose types differ; write them alike"
                ) from error


def _bare(cell: Any) -> bool:
    """Whether an image is a struct whose bytes are null."""
    return isinstance(cell, dict) and "bytes" in cell and not cell["bytes"]


def _difference(name: str, one: pa.DataType, two: pa.DataType) -> tuple[str, pa.DataType, pa.DataType]:
    """The innermost field whose types differ."""
    if pa.types.is_list(one) and pa.types.is_list(two):
        return _difference(name, one.value_type, two.value_type)
    if pa.types.is_struct(one) and pa.types.is_struct(two):
        for field in one:
            if two.get_field_index(field.name) >= 0 and not field.type.equals(two.field(field.name).type):
                return _difference(f"{name}.{field.name}", field.type, two.field(field.name).type)
    return name, one, two


def _load_model(config: DictConfig) -> Any:
    """Tokenizer and processor as verl's trainer loads them; None when the model is not on this machine."""
    from huggingface_hub import try_to_load_from_cache
    from verl.utils.config import omega_conf_to_dataclass

    path, name = str(config.actor_rollout_ref.model.path), "tokenizer_config.json"
    folder, why = Path(path), "is not on this machine"
    try:
        if (folder / name).is_file() if folder.is_dir() else isinstance(try_to_load_from_cache(path, name), str):
            return omega_conf_to_dataclass(config.actor_rollout_ref.model)
    except Exception as error:  # transformers raises anything for a folder that is incomplete
        why = f"cannot be loaded: {said(error)}"
    print(f"note: prompts are not measured, the tokenizer of {path} {why}", file=sys.stderr)
    return None
