"""The loop and the command line that the programs in ``data_preprocess/`` share.

A program is a :class:`Program`: which files, which columns, and a function from a record to a
:class:`spark_verl.data.rows.Sample`. :func:`main` does the rest.

Which records go where is decided before any image is read: the records that pass the program's filter are shuffled by
the seed; the first ``--test_size`` of them are held out (so the test file does not depend on ``--subset``), the next
``--subset`` make the training file. Records that turn out to be unusable are replaced by the next ones, so that the
files have as many rows as were asked for while there are enough records. Rows are written in the order of the source,
replacements after the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tqdm import tqdm

from spark_verl.data.check import check_file
from spark_verl.data.errors import RowError, UsageError
from spark_verl.data.images import DEFAULT_MAX_PIXELS, MIN_PIXELS
from spark_verl.data.report import SplitReport, format_table, write_report
from spark_verl.data.rows import Sample, build_row
from spark_verl.data.sources import Record, check_columns, count_records, fetch, locate, read_records
from spark_verl.data.stores import Images, open_store
from spark_verl.data.writer import RowWriter

TRAIN, TEST = "train", "test"

_CHECKED_ROWS = 20


@dataclass(frozen=True)
class Program:
    """What is particular to a data set.

    Attributes:
        data_source: Value of the column; the hub id unless there is a reason.
        hub: Hub id.
        splits: Output file to glob patterns of source files without suffix; the first that matches counts.
        columns: Sets of columns of which one is needed.
        sample: From a record to a sample; raises RowError.
        archives: Image archives to look for in the data set's folder, as glob patterns.
        image_hub: Hub id from which the archives are fetched when they are not in ``hub``.
        keep: Whether a record passes the filter; sees only ``keep_columns``.
        keep_columns: Columns that ``keep`` needs.
        held_out: Default of ``--test_size`` for a data set without a test split; at most a tenth of it is held out.
        ability: verl's column.
    """

    data_source: str
    hub: str
    splits: Mapping[str, Sequence[str]]
    columns: Sequence[Sequence[str]]
    sample: Callable[[Mapping[str, Any]], Sample]
    archives: Sequence[str] = ()
    image_hub: str | None = None
    keep: Callable[[Mapping[str, Any]], bool] | None = None
    keep_columns: Sequence[str] = ()
    held_out: int = 0
    ability: str = "math"


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """The options that all programs have; a program adds its own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--local_dataset_path", help="folder or file of the data set; without it, it is fetched from the hub")
    add("--local_save_dir", required=True, help="folder for train.parquet, test.parquet and report.json")
    add("--images", nargs="+", default=[], metavar="PATH", help="folders, zip or tar archives with the images")
    add("--max_pixels", type=int, default=DEFAULT_MAX_PIXELS, help="larger images are downscaled (%(default)s)")
    add("--subset", type=int, help="rows of train.parquet, drawn by the seed (all)")
    add("--test_size", type=int, help="rows to hold out where the data set has no test split")
    add("--seed", type=int, default=0, help="fixes --subset and --test_size (%(default)s)")
    add("--data_source", help="value of the column data_source instead of the data set's name")
    add("--strict", action="store_true", help="end with exit code 1 at the first record that cannot be used")
    return parser


def main(
    parser: argparse.ArgumentParser,
    choose: Callable[[argparse.Namespace], Program],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse, convert, report.

    Args:
        parser: From :func:`make_parser`, with the program's own options.
        choose: The program, given the parsed options.
        argv: Command line; None for the process's own.

    Returns:
        Exit code: 0 when files were written, 1 for a bad record with ``--strict``, 2 for what the caller has to change.
    """
    args = parser.parse_args(argv)
    try:
        reports = convert(choose(args), args)
    except UsageError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    except StrictError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    print(format_table(reports))
    for report in reports:
        print(f"{report.split}: {Path(args.local_save_dir).expanduser() / report.split}.parquet")
    return 0


class StrictError(Exception):
    """The first bad record, with ``--strict``."""


def convert(program: Program, args: argparse.Namespace) -> list[SplitReport]:
    """Write the parquet files and ``report.json``.

    Raises:
        UsageError: The call cannot work. No file is left behind, and earlier ones are untouched.
        StrictError: A record is bad and ``--strict`` is set; the same holds.
    """
    _check_options(args)
    folder, sources = locate(args.local_dataset_path, program.splits, program.hub, program.archives)
    files = [file for split in sources.values() for file in split]
    for split in sources.values():
        check_columns(split, program.columns)
    save_dir = Path(args.local_save_dir).expanduser()
    parts = _plan(program, args, sources)
    for part in parts:
        _refuse_overwriting(save_dir / f"{part.split}.parquet", files)
    run = _Run(program, args, _open_images(program, args, folder))
    writers: dict[str, RowWriter] = {}
    try:
        for part in parts:
            writers[part.split] = RowWriter(save_dir / f"{part.split}.parquet")
        used = 0
        for part in parts:
            used = run.write(part, writers[part.split], used if part.shared else 0)
        for split, writer in writers.items():
            writer.finish()
            _check_output(run.reports[split], writer)
        for writer in writers.values():
            writer.commit()
    finally:
        for writer in writers.values():
            writer.discard()
    reports = [run.reports[split] for split in (TRAIN, TEST) if split in run.reports]
    if TEST not in writers and (save_dir / f"{TEST}.parquet").exists():
        print(f"note: {save_dir / TEST}.parquet is from an earlier run and may overlap", file=sys.stderr)
    facts = {"data_source": args.data_source or program.data_source, "source": [str(file) for file in files]}
    options = {name: value for name, value in vars(args).items() if name != "local_save_dir"}
    write_report(save_dir / "report.json", reports, facts | {"options": options})
    return reports


@dataclass(frozen=True)
class _Part:
    """One output file: where its records come from, how many rows it may have, and whether another one drew first."""

    split: str
    files: Sequence[Path]
    limit: int | None
    shared: bool = False


def _plan(program: Program, args: argparse.Namespace, sources: Mapping[str, Sequence[Path]]) -> list[_Part]:
    """The output files, the test file first: what it holds out is taken before the training file draws."""
    if TEST in sources:
        test = [_Part(TEST, sources[TEST], None)]
        return test + [_Part(TRAIN, sources[TRAIN], args.subset)] if TRAIN in sources else test
    held_out = args.test_size
    if held_out is None:
        held_out = min(program.held_out, count_records(sources[TRAIN]) // 10)
    test = [_Part(TEST, sources[TRAIN], held_out)] if held_out else []
    return [*test, _Part(TRAIN, sources[TRAIN], args.subset, shared=bool(test))]


def _check_options(args: argparse.Namespace) -> None:
    for name, least in (("subset", 1), ("test_size", 0), ("max_pixels", MIN_PIXELS)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} {value}: must be at least {least}")


def _refuse_overwriting(target: Path, files: Iterable[Path]) -> None:
    if target.resolve() in {file.resolve() for file in files}:
        raise UsageError(f"{target} is a file of the data set itself: name another --local_save_dir")
    if target.is_dir():
        raise UsageError(f"{target} is a folder: remove it or name another --local_save_dir")


def _open_images(program: Program, args: argparse.Namespace, folder: Path) -> Images:
    if args.images:
        return Images([open_store(path) for path in args.images])
    archives = [path for pattern in program.archives for path in sorted(folder.glob(pattern))]
    if not archives and program.image_hub and args.local_dataset_path is None:
        other = fetch(program.image_hub, program.archives)
        archives = [path for pattern in program.archives for path in sorted(other.glob(pattern))]
    return Images([open_store(path) for path in (folder, *archives)])


def _check_output(report: SplitReport, writer: RowWriter) -> None:
    if not writer.rows:
        reasons = format_table([report]).splitlines()[2:]
        raise UsageError(f"no record is left for {writer.path.name}: {'; '.join(reasons) or 'none passed the filter'}")
    try:
        check_file(writer.partial, rows=_CHECKED_ROWS)
    except ValueError as error:
        raise UsageError(f"what was written would not train, which is a bug here: {error}") from error


class _Run:
    """One call: what its splits share."""

    def __init__(self, program: Program, args: argparse.Namespace, images: Images):
        self.program, self.args, self.images = program, args, images
        self.reports: dict[str, SplitReport] = {}

    def write(self, part: _Part, writer: RowWriter, skip: int) -> int:
        """Write one file from what follows the first ``skip`` records of the shuffled order; return where it ended."""
        report = self.reports[part.split] = SplitReport(part.split, read=count_records(part.files))
        order = self._order(part.files, report)
        end = min(skip, len(order))
        while end < len(order) and (part.limit is None or report.written < part.limit):
            missing = len(order) if part.limit is None else part.limit - report.written
            start, end = end, min(end + missing, len(order))
            self._write(part.files, frozenset(order[start:end]), writer, report)
        report.not_drawn = min(skip, len(order)) + len(order) - end
        if part.limit is not None and report.written < part.limit:
            print(f"{part.split}: only {report.written:,} of the {part.limit:,} rows asked for", file=sys.stderr)
        return end

    def _order(self, files: Sequence[Path], report: SplitReport) -> list[int]:
        """Positions that pass the filter, shuffled by the seed."""
        order = list(range(report.read))
        if self.program.keep is not None:
            keep = self.program.keep
            records = read_records(files, self.program.keep_columns)
            # A record that cannot even be read passes: it is to be counted as bad, not as filtered.
            order = [r.position for r in records if isinstance(r.value, RowError) or keep(r.value)]
            report.filtered = report.read - len(order)
        # The seed alone: both files of one source must see the same order.
        Random(self.args.seed).shuffle(order)
        return order

    def _write(self, files: Sequence[Path], wanted: frozenset[int], writer: RowWriter, report: SplitReport) -> None:
        records = read_records(files, wanted=wanted)
        for record in tqdm(records, desc=report.split, total=len(wanted), unit="row", disable=None):
            try:
                writer.add(self._row(record, report, writer.rows))
            except RowError as error:
                if self.args.strict:
                    raise StrictError(f"{record.where}: {error}") from error
                report.drop(record.where, error)
        report.written = writer.rows

    def _row(self, record: Record, report: SplitReport, index: int) -> dict[str, Any]:
        if isinstance(record.value, RowError):
            raise record.value
        sample = self.program.sample(record.value)
        return build_row(
            sample,
            data_source=self.args.data_source or sample.data_source or self.program.data_source,
            split=report.split,
            index=index,
            images=self.images,
            ability=self.program.ability,
            max_pixels=self.args.max_pixels,
            done=report.images,
        )
