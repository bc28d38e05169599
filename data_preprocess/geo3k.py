"""Geometry3K (hiyouga/geometry3k) as parquet files in verl's schema.

    python data_preprocess/geo3k.py --local_save_dir ~/data/geo3k

writes train.parquet (2,101 questions) and test.parquet (601). Columns of the data set, as its card and verl's own
``examples/data_preprocess/geo3k.py`` have them: ``images`` (list of images in the file), ``problem`` (with ``<image>``
placeholders), ``answer`` (LaTeX, such as ``2 \\sqrt { 221 }``) and, in newer copies, ``id``, a number. Those have
``choices`` and their letter, too, which are not used: the problem does not show them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from spark_verl.data.convert import Program, make_parser
from spark_verl.data.convert import main as run
from spark_verl.data.sample import Sample, id_field, image_list, text_field


def to_sample(record: Mapping[str, Any]) -> Sample:
    """One question."""
    return Sample(
        text_field(record, "problem"),
        record.get("answer"),
        image_list(record, "images", required=True),
        id=id_field(record, "id"),
        kind="geometry",
    )


PROGRAM = Program(
    hub="hiyouga/geometry3k",
    columns=[("images", "problem", "answer")],
    sample=to_sample,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return the exit code."""
    return run(make_parser(__doc__), lambda args: PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
