"""The loop and the command line that the programs in ``data_preprocess/`` share.

A program is a :class:`Program`: which files, which columns, and a function from a record to a
:class:`spark_verl.data.sample.Sample`. :func:`main` does the rest.

Which records go where is decided before any image is read: the records that pass the program's filter are shuffled by
the seed; the first ``--test_size`` of them are held out (so the test file does not depend on ``--subset``), the next
``--subset`` make the training file. Records that turn out to be unusable are replaced by the next ones, so that the
files have as many rows as were asked for while there are enough records. Rows are written in the order of the source,
replacements after the others.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tqdm import tqdm

from spark_verl.data.errors import RowError, UsageError
from spark_verl.data.images import DEFAULT_MAX_PIXELS
from spark_verl.data.sample import Sample, build_row
from spark_verl.data.sources import check_columns, count_records, fetch, locate, read_records
from spark_verl.data.stores import Images, open_store
from spark_verl.data.tally import Tally, format_table
from spark_verl.data.writer import RowWriter
from spark_verl.qwen import MIN_PIXELS

TRAIN, TEST = "train", "test"

HUB_SPLITS = {split: (f"data/{split}*", f"{split}*", f"**/{split}*") for split in (TRAIN, TEST)}
"""Where most data sets of the hub have their splits."""


@dataclass(frozen=True)
class Program:
    """What is particular to a data set.

    Attributes:
        hub: Hub id.
        columns: Sets of columns of which one is needed.
        sample: From a record to a sample; raises RowError.
        splits: Output file to glob patterns of source files without suffix; the first that matches counts.
        data_source: Value of the column; None for the hub id.
        archives: Image archives to look for in the data set's folder, as glob patterns.
        image_hub: Hub id from which the archives are fetched when they are not in ``hub``.
        keep: Whether a record passes the filter; sees only ``keep_columns``.
        keep_columns: Columns that ``keep`` needs.
        held_out: Default of ``--test_size`` for a data set without a test split; at most a tenth of it is held out.
    """

    hub: str
    columns: Sequence[Sequence[str]]
    sample: Callable[[Mapping[str, Any]], Sample]
    splits: Mapping[str, Sequence[str]] = field(default_factory=lambda: HUB_SPLITS)
    data_source: str | None = None
    archives: Sequence[str] = ()
    image_hub: str | None = None
    keep: Callable[[Mapping[str, Any]], bool] | None = None
    keep_columns: Sequence[str] = ()
    held_out: int = 0


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
    add(
        "--unlabelled",
        type=float,
        nargs="?",
        const=1.0,
        default=0.0,
        metavar="SHARE",
        help="share of train.parquet's rows whose truth is hidden from training, for spark.self_reward (all)",
    )
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
        tallies = convert(choose(args), args)
    except (UsageError, StrictError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1 if isinstance(error, StrictError) else 2
    print(format_table(tallies))
    for tally in tallies:
        print(f"{tally.split}: {Path(args.local_save_dir).expanduser() / tally.split}.parquet")
    return 0


class StrictError(Exception):
    """The first bad record, with ``--strict``."""


def convert(program: Program, args: argparse.Namespace) -> list[Tally]:
    """Write the parquet files and ``report.json``.

    Everything is written to a folder ``.partial`` first, and moved when all of it is complete.

    Raises:
        UsageError: The call cannot work. No file is left behind, and earlier ones are untouched.
        StrictError: A record is bad and ``--strict`` is set; the same holds.
    """
    _check_options(args)
    folder, sources = locate(args.local_dataset_path, program.splits, program.hub, program.archives)
    files = [file for split_files in sources.values() for file in split_files]
    check_columns(files, program.columns)
    save_dir = Path(args.local_save_dir).expanduser()
    plan = _plan(program, args, sources)
    for split in plan:
        _refuse_overwriting(save_dir / f"{split}.parquet", files)
    run = _Run(program, args, _open_images(program, args, folder), save_dir / ".partial")
    shutil.rmtree(run.folder, ignore_errors=True)  # of a run that was killed
    try:
        run.folder.mkdir(parents=True)
        for split, (split_files, limit) in plan.items():
            run.write(split, split_files, limit)
        tallies = [run.tallies[split] for split in (TRAIN, TEST) if split in run.tallies]
        options = {name: value for name, value in vars(args).items() if name != "local_save_dir"}
        report = {
            "data_source": args.data_source or program.data_source or program.hub,
            "source": [str(file) for file in files],
            "options": options,
            "files": {tally.split: tally.as_dict() for tally in tallies},
        }
        text = json.dumps(report, indent=2, ensure_ascii=False)
        (run.folder / "report.json").write_text(text + "\n", encoding="utf-8")
        for file in sorted(run.folder.iterdir()):
            file.replace(save_dir / file.name)
    except OSError as error:
        raise UsageError(f"{save_dir} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(run.folder, ignore_errors=True)
    if TEST not in run.tallies and (save_dir / f"{TEST}.parquet").exists():
        print(f"note: {save_dir / TEST}.parquet is from an earlier run and may overlap", file=sys.stderr)
    return tallies


def _plan(
    program: Program, args: argparse.Namespace, sources: Mapping[str, Sequence[Path]]
) -> dict[str, tuple[Sequence[Path], int | None]]:
    """Where the records of each output file come from, and how many rows it may have.

    The test file is first: what it holds out is taken before the training file draws.
    """
    plan: dict[str, tuple[Sequence[Path], int | None]] = {}
    if TEST in sources:
        plan[TEST] = sources[TEST], None
    else:
        held_out = args.test_size
        if held_out is None:
            held_out = min(program.held_out, count_records(sources[TRAIN]) // 10)
        if held_out:
            plan[TEST] = sources[TRAIN], held_out
    if TRAIN in sources:
        plan[TRAIN] = sources[TRAIN], args.subset
    return plan


def _check_options(args: argparse.Namespace) -> None:
    for name, least in (("subset", 1), ("test_size", 0), ("max_pixels", MIN_PIXELS)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} {value}: must be at least {least}")
    if not 0 <= args.unlabelled <= 1:
        raise UsageError(f"--unlabelled {args.unlabelled}: must be a share between 0 and 1")


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


class _Run:
    """One call: what its output files share.

    Args:
        program: What is particular to the data set.
        args: The options.
        images: Where image paths are looked up.
        folder: Where the files are written.
    """

    def __init__(self, program: Program, args: argparse.Namespace, images: Images, folder: Path) -> None:
        self.program, self.args, self.images, self.folder = program, args, images, folder
        self.tallies: dict[str, Tally] = {}
        self._drawn: Counter[Path] = Counter()
        """Records of a source, named by its first file, that earlier output files went through."""

    def write(self, split: str, files: Sequence[Path], limit: int | None) -> None:
        """Write one file from the records, in their shuffled order, that no earlier file went through.

        Args:
            split: Name of the file.
            files: Its source.
            limit: Rows that it may have; None for all.

        Raises:
            UsageError: No record can be used.
            StrictError: A record cannot be used, and ``--strict`` is set.
        """
        tally = self.tallies[split] = Tally(split, read=count_records(files))
        order = self._order(files, tally)
        start = end = self._drawn[files[0]]
        most = len(order) if limit is None else limit
        path = self.folder / f"{split}.parquet"
        with RowWriter(path) as writer:
            while end < len(order) and writer.rows < most:
                drawn = order[end : end + most - writer.rows]
                self._add(files, frozenset(drawn), writer, tally)
                end += len(drawn)
        self._drawn[files[0]] = end
        tally.written, tally.not_drawn = writer.rows, len(order) - (end - start)
        if limit is not None and tally.written < limit:
            print(f"{split}: only {tally.written:,} of the {limit:,} rows asked for", file=sys.stderr)
        if not tally.written:
            reasons = "; ".join(tally.lines()) or "none passed the filter"
            raise UsageError(f"no record is left for {path.name}: {reasons}")

    def _order(self, files: Sequence[Path], tally: Tally) -> list[int]:
        """Positions that pass the filter, shuffled by the seed."""
        order = list(range(tally.read))
        if keep := self.program.keep:
            records = read_records(files, self.program.keep_columns)
            # A record that cannot even be read passes: it is to be counted as bad, not as filtered.
            order = [r.position for r in records if isinstance(r.value, RowError) or keep(r.value)]
            tally.filtered = tally.read - len(order)
        # The seed alone: both files of one source must see the same order.
        Random(self.args.seed).shuffle(order)
        return order

    def _add(self, files: Sequence[Path], wanted: frozenset[int], writer: RowWriter, tally: Tally) -> None:
        records = read_records(files, wanted=wanted)
        for record in tqdm(records, desc=tally.split, total=len(wanted), unit="row", disable=None):
            try:
                if isinstance(record.value, RowError):
                    raise record.value
                sample = self.program.sample(record.value)
                row = build_row(
                    sample,
                    data_source=self.args.data_source
                    or sample.data_source
                    or self.program.data_source
                    or self.program.hub,
                    split=tally.split,
                    index=writer.rows,
                    images=self.images,
                    max_pixels=self.args.max_pixels,
                    done=tally.images,
                    labelled=tally.split != TRAIN or not self._hidden(record.position),
                )
            except RowError as error:
                if self.args.strict:
                    raise StrictError(f"{record.where}: {error}") from error
                tally.drop(record.where, error)
            else:
                writer.add(row)
                tally.text_only += not row["images"]
                tally.unlabelled += row["reward_model"]["ground_truth"] is None

    def _hidden(self, position: int) -> bool:
        """Whether a record's truth is hidden: by the seed and the record, whatever else is drawn."""
        return Random(f"{self.args.seed}/unlabelled/{position}").random() < self.args.unlabelled
