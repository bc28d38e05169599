"""The SPARK authors' own training data (internlm/Spark-Data) as parquet files in verl's schema.

    python data_preprocess/spark_data.py --part 19k --local_save_dir ~/data/spark19k
    python data_preprocess/spark_data.py --part hard_24k --benchmarks --images ~/data/images --local_save_dir ~/data/out

``--part 19k`` is what Spark-VL-7B was trained on, ``hard_24k`` is Spark-VL-32B's. test.parquet has questions that are
held out or, with ``--benchmarks``, the combined benchmarks. The data set has no images: those of the training parts are
ViRL39K's ``images.zip``, which is fetched from TIGER-Lab/ViRL39K unless ``--images`` names a folder or an archive; the
benchmarks' images have to be named. Paths are those of the authors' machine, so their ends are looked up.

Files and columns (the data set's card; InternLM/Spark, ``Lmm_XC/README.md`` and ``Evaluation/evaluation.py``):

- ``infer_data_ViRL_19k_h.json``, ``infer_data_ViRL_hard_24k_h.json``: a list of objects with ``message``, the chat
  messages as a JSON text, and ``answer``. A message has ``role`` and ``content``, a text or a list of
  ``{"type": "image", "image": path, "max_pixels": 1048576}`` and ``{"type": "text", "text": ...}``.
- ``benchmark_combine.json``, ``benchmark_combine_v2.json``: a list of objects with ``dataset``, ``problem``, ``answer``
  (a text or a number) and ``image_path`` (null for none).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from spark_verl.data.convert import Program, make_parser
from spark_verl.data.convert import main as run
from spark_verl.data.errors import RowError
from spark_verl.data.prompts import IMAGE
from spark_verl.data.sample import Sample, image_list, text_field
from spark_verl.options import brief

HUB = "internlm/Spark-Data"


def to_sample(record: Mapping[str, Any]) -> Sample:
    """One question of either kind of file."""
    if "message" in record:
        return _from_message(record)
    name = text_field(record, "dataset", "")
    return Sample(
        text_field(record, "problem"),
        record.get("answer"),
        image_list(record, "image_path"),
        kind=name,
        source=name,
        data_source=f"{HUB}/{name}" if name else None,
    )


def _from_message(record: Mapping[str, Any]) -> Sample:
    messages = _parse(record["message"])
    roles = [message.get("role") for message in messages]
    if roles not in (["user"], ["system", "user"]):
        raise RowError("bad_message", f"roles {brief(roles)}, not a question")
    texts, images, limits = _parts(messages[-1].get("content"))
    system, system_images, _ = _parts(messages[0].get("content")) if len(messages) > 1 else ([], [], [])
    if system_images:
        raise RowError("bad_message", "an image in the system message")
    # The text came from ViRL39K and may have its placeholders still; then these say where the images belong.
    if sum(text.count(IMAGE) for text in texts if text is not None):
        texts = [text for text in texts if text is not None]
    question = "".join(IMAGE if text is None else text for text in texts)
    return Sample(
        question,
        record.get("answer"),
        images,
        system="".join(text for text in system if text),
        max_pixels=min(limits, default=None),
    )


def _parse(message: Any) -> list[dict]:
    try:
        messages = json.loads(message) if isinstance(message, str) else message
    except (ValueError, RecursionError) as error:  # also an integer of thousands of digits
        raise RowError("bad_message", str(error)) from error
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        raise RowError("bad_message", "not a list of messages")
    return messages


def _parts(content: Any) -> tuple[list[str | None], list[Any], list[int]]:
    """Texts in order with None for an image, the images, and their limits in pixels."""
    if isinstance(content, str):
        return [content], [], []
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise RowError("bad_message", "content is neither a text nor a list of parts")
    texts: list[str | None] = []
    images: list[Any] = []
    limits: list[int] = []
    for part in content:
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif part.get("type") == "image" and part.get("image"):
            texts.append(None)
            images.append(part["image"])
            if isinstance(part.get("max_pixels"), int) and part["max_pixels"] > 0:
                limits.append(part["max_pixels"])
        else:
            raise RowError("bad_message", f"a part that is neither a text nor an image: {brief(part)}")
    return texts, images, limits


def choose(args: argparse.Namespace) -> Program:
    """The files that the options name."""
    name = f"infer_data_ViRL_{args.part}*"
    splits = {"train": (name, f"**/{name}")}
    if args.benchmarks:
        splits["test"] = ("benchmark_combine*", "**/benchmark_combine*")
    return Program(
        hub=HUB,
        splits=splits,
        columns=[("message", "answer"), ("problem", "answer", "image_path")],
        sample=to_sample,
        archives=("images.zip",),
        image_hub="TIGER-Lab/ViRL39K",
        held_out=500,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("--part", choices=("19k", "hard_24k"), default="19k", help="training file (%(default)s)")
    parser.add_argument("--benchmarks", action="store_true", help="the combined benchmarks as test.parquet")
    return run(parser, choose, argv)


if __name__ == "__main__":
    sys.exit(main())
