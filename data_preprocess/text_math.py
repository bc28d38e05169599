"""Text-only mathematics as parquet files in verl's schema: SimpleRL-Zoo, GSM8K, MATH and data sets like them.

    python data_preprocess/text_math.py --dataset simplerl_zoo --local_save_dir ~/data/text_math
    python data_preprocess/text_math.py --local_dataset_path my.jsonl --local_save_dir ~/data/mine

writes train.parquet and, where the data set has a test split, test.parquet (without one, ``--test_size`` holds rows
out). What a file on disk holds is recognized by its columns:

- ``simplerl_zoo``: ``reward_model.ground_truth`` and ``extra_info.question``, the question without the prompt that
  ``prompt`` has around it. hkust-nlp/SimpleRL-Zoo-Data, which has three levels in two prompt formats: easy (GSM8K and
  MATH level 1), medium (MATH levels 1 to 4), hard (levels 3 to 5; the one that Qwen2.5-7B was trained on). Two of its
  questions have no answer. A file in verl's schema without ``extra_info.question``, such as DAPO-Math-17k, gives the
  last message of ``prompt``.
- ``problem`` or ``question`` with a bare ``answer``, as MATH-500 and DeepScaleR have them.
- ``gsm8k``: ``question`` and ``answer``, a solution that ends in ``#### 18``. openai/gsm8k (verl's
  ``examples/data_preprocess/gsm8k.py``).
- ``math``: ``problem`` and ``solution`` with the answer in its last ``\\boxed{}``, ``level`` and ``type``.
  DigitalLearningGmbH/MATH-lighteval (verl's ``examples/data_preprocess/math_dataset.py``).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from spark_verl.data.convert import Program, make_parser
from spark_verl.data.convert import main as run
from spark_verl.data.errors import RowError
from spark_verl.data.sample import Sample, id_field, mapping_field, refuse_images, text_field
from spark_verl.reward import extract_answer

COLUMNS = (
    ("prompt", "reward_model"),
    ("problem", "answer"),
    ("question", "answer"),
    ("problem", "solution"),
)


def to_sample(record: Mapping[str, Any]) -> Sample:
    """One question of any of the schemas; each record is recognized by itself. One with an image is refused."""
    refuse_images(record)
    if "reward_model" in record:
        return _verl_sample(record)
    name = "problem" if "problem" in record else "question"
    kind = text_field(record, "subject", "") or text_field(record, "type", "")
    source = text_field(record, "source", "")
    if "answer" in record:
        answer = record["answer"]
    else:
        # The boxes inside the solution's steps do not matter: the last one is the result. Without any, the solution
        # must not be taken for the answer.
        answer = extract_answer(text_field(record, "solution"))
    if isinstance(answer, str) and "####" not in answer and len(answer) > 500:
        raise RowError("unverifiable_answer", f"{len(answer)} characters without ####")  # a solution, not an answer
    return Sample(text_field(record, name), answer, id=id_field(record, "unique_id"), kind=kind, source=source)


def _verl_sample(record: Mapping[str, Any]) -> Sample:
    question = mapping_field(record, "extra_info").get("question") or _last_message(record.get("prompt"))
    if not isinstance(question, str):
        raise RowError("missing_field", "neither extra_info.question nor a message with text")
    truth = mapping_field(record, "reward_model").get("ground_truth")
    return Sample(question, truth, source=text_field(record, "data_source", ""))


def _last_message(prompt: Any) -> Any:
    if isinstance(prompt, list) and prompt and isinstance(prompt[-1], Mapping):
        return prompt[-1].get("content")
    return prompt


LEVELS = {"easy": "gsm8k_level1", "medium": "level1to4", "hard": "level3to5"}


def choose(args: argparse.Namespace) -> Program:
    """The data set that the options name."""
    anywhere = {"train": ("train*", "**/train*"), "test": ("test*", "**/test*")}
    hub, folder = {
        "simplerl_zoo": ("hkust-nlp/SimpleRL-Zoo-Data", f"simplelr_qwen_{LEVELS[args.level]}"),
        "gsm8k": ("openai/gsm8k", "main"),
        "math": ("DigitalLearningGmbH/MATH-lighteval", "data"),
    }[args.dataset or "simplerl_zoo"]
    inside = {split: (f"{folder}/{split}*",) for split in anywhere}
    # The repositories hold other versions of the same questions in other folders, so from the hub only this one counts.
    remote = args.local_dataset_path is None
    splits = inside if remote else {split: (*inside[split], *anywhere[split]) for split in anywhere}
    named = args.dataset is not None or remote
    return Program(data_source=hub if named else "text_math", hub=hub, splits=splits, columns=COLUMNS, sample=to_sample)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = make_parser(__doc__)
    names = ("simplerl_zoo", "gsm8k", "math")
    parser.add_argument("--dataset", choices=names, help="what to fetch or what the folder holds (simplerl_zoo)")
    parser.add_argument("--level", choices=LEVELS, default="hard", help="of SimpleRL-Zoo (%(default)s)")
    return run(parser, choose, argv)


if __name__ == "__main__":
    sys.exit(main())
