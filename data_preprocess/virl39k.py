"""ViRL39K (TIGER-Lab/ViRL39K), the training data of the SPARK paper, as parquet files in verl's schema.

    python data_preprocess/virl39k.py --subset 19000 --local_save_dir ~/data/virl19k
    python data_preprocess/virl39k.py --difficulty hard --subset 24000 --local_save_dir ~/data/virl24k_hard

writes train.parquet and test.parquet (500 questions held out: the data set has no test split). The paper trains its 7B
model on 19k of the 38,870 questions and its 32B model on 24k harder ones; which ones, internlm/Spark-Data has
(``spark_data.py``), and how they were chosen is not stated.

The data set is ``39Krelease.parquet`` and ``images.zip``, which need not be unpacked. Columns, as its card lists them:

- ``question``, with ``<image>`` placeholders, and ``answer``, always in a ``\\boxed{}``;
- ``image``: list of paths such as ``images/Processed-....jpg``; questions without any image are text-only;
- ``category``, ``source`` (the data set it was taken from), ``qid``;
- ``PassRate_32BTrained``: share of right answers of a trained 32B model;
- ``PassRate_7BBase``: of an untrained 7B model, measured where the 32B model is always right, else -1.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from spark_verl.data.convert import Program, make_parser
from spark_verl.data.convert import main as run
from spark_verl.data.errors import UsageError
from spark_verl.data.sample import Sample, id_field, image_list, text_field

RATES = ("PassRate_7BBase", "PassRate_32BTrained")


def to_sample(record: Mapping[str, Any]) -> Sample:
    """One question."""
    small, large = (pass_rate(record, name) for name in RATES)
    return Sample(
        text_field(record, "question"),
        record.get("answer"),
        image_list(record, "image"),
        id=id_field(record, "qid"),
        kind=text_field(record, "category", ""),
        source=text_field(record, "source", ""),
        pass_rate_7b=small,
        pass_rate_32b=large,
    )


def pass_rate(record: Mapping[str, Any], name: str) -> float | None:
    """A pass rate, from 0 to 1; None where it was not measured."""
    value = record.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else None


def is_hard(record: Mapping[str, Any]) -> bool:
    """Whether one of the two models is known to fail at times; a question that both always solve teaches nothing."""
    return any(rate is not None and rate < 1 for rate in (pass_rate(record, name) for name in RATES))


PROGRAM = Program(
    hub="TIGER-Lab/ViRL39K",
    splits={"train": ("39Krelease*", "train*", "**/39Krelease*")},
    columns=[("question", "answer", "image")],
    sample=to_sample,
    archives=("images.zip",),
    held_out=500,
)


def choose(args: argparse.Namespace) -> Program:
    """The program with the filters that the options ask for."""
    low, high = args.pass_rate_32b
    if not 0 <= low <= high <= 1:
        raise UsageError(f"--pass_rate_32b {low} {high}: must be two numbers between 0 and 1, the lower one first")
    if args.difficulty == "all" and (low, high) == (0, 1):
        return PROGRAM

    def keep(record: Mapping[str, Any]) -> bool:
        rate = pass_rate(record, RATES[1])
        inside = (low, high) == (0, 1) or (rate is not None and low <= rate <= high)
        return inside and (args.difficulty == "all" or is_hard(record))

    columns = [(*PROGRAM.columns[0], *RATES)]
    return dataclasses.replace(PROGRAM, keep=keep, keep_columns=RATES, columns=columns)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "--difficulty",
        choices=("all", "hard"),
        default="all",
        help="hard: only questions at which the 7B or the 32B model failed at least once (%(default)s)",
    )
    parser.add_argument(
        "--pass_rate_32b",
        nargs=2,
        type=float,
        default=(0, 1),
        metavar=("LOW", "HIGH"),
        help="only questions whose pass rate is between these, both included (0 1)",
    )
    return run(parser, choose, argv)


if __name__ == "__main__":
    sys.exit(main())
