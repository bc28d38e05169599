"""``python -m spark_verl.report RUN_DIR``: one HTML file about a run, and its charts as PNG."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from spark_verl.report.frame import Run
from spark_verl.report.page import build, write
from spark_verl.runs.config import UnreadableFile


def tell_apart(one: Run, other: Run) -> None:
    """Give runs whose folders have the same name the names of their parents, too."""
    if one.name == other.name:
        for run in (one, other):
            run.name = "/".join(run.folder.resolve().parts[-2:])
    if one.name == other.name:
        other.name += " (2)"


def log_of(folder: Path) -> Path:
    """The log of a run folder.

    Raises:
        FileNotFoundError: It has none, so it is not the folder of a run.
    """
    path = folder / "metrics.jsonl"
    if folder.is_dir() and not path.is_file():
        inside = next(iter(sorted(folder.glob("*/metrics.jsonl"))), None)
        meant = f", did you mean {inside.parent}?" if inside else " (--metrics FILE names a log elsewhere)"
        raise FileNotFoundError(f"{folder} has no metrics.jsonl: give the folder that a run wrote{meant}")
    return path


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m spark_verl.report", description=__doc__)
    parser.add_argument("run_dir", type=Path, help="folder of a run; report.html and report/*.png are written there")
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OTHER_RUN",
        help="a second run, drawn beside the first in report_beside_OTHER_RUN.html",
    )
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="log of the run if not RUN_DIR/metrics.jsonl")
    parser.add_argument("--output_dir", type=Path, help="where to write instead")
    options = parser.parse_args(arguments)
    try:
        runs, name = [Run(options.run_dir, options.metrics or log_of(options.run_dir))], "report"
        if options.compare:
            runs.append(Run(options.compare, log_of(options.compare)))
            name = "report_beside_" + re.sub(r"[^\w.-]", "_", runs[1].name)
            tell_apart(*runs)
        page = build(runs, name=name)
        path = write(page, options.output_dir or options.run_dir)
    except (OSError, UnreadableFile) as error:
        sys.exit(f"spark_verl.report: {error}")
    for note in page.missing:
        print(f"{note.run}: {note}", file=sys.stderr)
    print(f"report  {path}")


if __name__ == "__main__":
    main()
