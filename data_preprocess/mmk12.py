"""MMK12 (FanqingM/MMK12, the data of MM-Eureka) as parquet files in verl's schema.

    python data_preprocess/mmk12.py --local_save_dir ~/data/mmk12

writes train.parquet (15,616 questions, answers to fill in) and test.parquet (2,000 multiple-choice questions, 500 each
of mathematics, physics, chemistry and biology). Columns of the data set, as its card lists them: ``id``, ``question``
(options on lines of their own), ``answer`` (a value or a letter), ``subject`` and ``image`` (one image in the file).
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
        text_field(record, "question"),
        record.get("answer"),
        image_list(record, "image", required=True),
        id=id_field(record, "id"),
        kind=text_field(record, "subject", ""),
    )


PROGRAM = Program(
    hub="FanqingM/MMK12",
    columns=[("question", "answer", "image")],
    sample=to_sample,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return the exit code."""
    return run(make_parser(__doc__), lambda args: PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
