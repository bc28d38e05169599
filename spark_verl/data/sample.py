"""One sample of any data set as one row in verl's schema, checked on the way.

Columns are those of verl's documentation ("Prepare Data for Post-Training") and ``examples/data_preprocess``. Every row
of every program has the same ones, so the files can be concatenated with each other and with the digits task's
(``datasets`` merges the fields of ``extra_info``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets

from spark_verl.data.errors import RowError
from spark_verl.data.images import prepare_image
from spark_verl.data.prompts import build_prompt, remove_instructions, written_options
from spark_verl.data.stores import Images
from spark_verl.data.truth import ground_truth, written_value
from spark_verl.options import brief
from spark_verl.qwen import MIN_PIXELS
from spark_verl.reward.choices import option_letter
from spark_verl.vocabulary import HIDDEN_TRUTH

TEXT, NUMBER, SHARE = datasets.Value("string"), datasets.Value("int64"), datasets.Value("float64")


def features(**extra_info: Any) -> datasets.Features:
    """Columns of a file in verl's schema.

    Args:
        extra_info: Fields of ``extra_info`` besides ``split``, ``index`` and ``hidden_truth``.
    """
    return datasets.Features(
        {
            "data_source": TEXT,
            "prompt": datasets.List({"role": TEXT, "content": TEXT}),
            "images": datasets.List(datasets.Image()),
            "ability": TEXT,
            "reward_model": {"style": TEXT, "ground_truth": TEXT},
            "extra_info": {"split": TEXT, "index": NUMBER, HIDDEN_TRUTH: TEXT, **extra_info},
        }
    )


FEATURES = features(
    id=TEXT, kind=TEXT, source=TEXT, choices=datasets.List(TEXT), pass_rate_7b=SHARE, pass_rate_32b=SHARE
)
"""Columns of every file. Text that a data set does not have is empty, a pass rate that it does not have is null."""


@dataclass(frozen=True)
class Sample:
    """What a program takes from a record of its data set.

    Attributes:
        question: With or without ``<image>`` placeholders and answer instructions.
        answer: In any form that :func:`spark_verl.reward.verify` takes as a ground truth.
        images: As :func:`spark_verl.data.images.prepare_image` takes them, in the order of the placeholders.
        system: System message; empty for none.
        id: The data set's own name for it.
        kind: Subject or category; evaluation reports accuracy for each.
        source: Data set that it was taken from, where the data set is a collection.
        pass_rate_7b: Share of right answers of a 7B model; None when unknown.
        pass_rate_32b: The same of a 32B model.
        max_pixels: A limit that the record itself states for its images.
        data_source: Instead of the program's, for a collection whose parts are reported apart.
        free: The response itself is what a reward function checks: the prompt stays as it is, and so does the answer,
            the text that the function takes as its ground truth.
    """

    question: str
    answer: Any
    images: Sequence[Any] = ()
    system: str = ""
    id: str = ""
    kind: str = ""
    source: str = ""
    pass_rate_7b: float | None = None
    pass_rate_32b: float | None = None
    max_pixels: int | None = None
    data_source: str | None = None
    free: bool = False


def build_row(
    sample: Sample,
    *,
    data_source: str,
    split: str,
    index: int,
    images: Images,
    max_pixels: int,
    done: Counter[str],
    labelled: bool = True,
) -> dict[str, Any]:
    """Build one row, matching :data:`FEATURES`.

    Args:
        sample: What the data set has.
        data_source: verl groups validation metrics by it.
        split: ``train`` or ``test``.
        index: Number of the row in its file.
        images: Where image paths are looked up.
        max_pixels: Larger images are downscaled.
        done: Counts what was done to images.
        labelled: False hides the truth from training; a sample may then be without one.

    Raises:
        RowError: The sample cannot be used. Text is checked before any image is read.
    """
    prompt = build_prompt(sample.question, len(sample.images), free=sample.free)
    if sample.free:
        truth, system = sample.answer, sample.system
    else:
        truth = ground_truth(sample.answer) if labelled else _hidden_truth(sample.answer)
        system = remove_instructions(sample.system)
    try:
        "".join((prompt, truth or "", system, sample.id, sample.kind, sample.source, data_source)).encode()
    except UnicodeEncodeError as error:  # JSON can have one half of a surrogate pair; parquet and tokenizers cannot
        raise RowError("bad_text", error.reason) from error
    limit = min(max_pixels, max(MIN_PIXELS, sample.max_pixels or max_pixels))
    return {
        "data_source": data_source,
        "prompt": [{"role": "system", "content": system}] * bool(system) + [{"role": "user", "content": prompt}],
        "images": [prepare_image(image, images, limit, done) for image in sample.images],
        "ability": "instructions" if sample.free else "math",
        "reward_model": {"style": "rule", "ground_truth": truth if labelled else None},
        "extra_info": {
            "split": split,
            "index": index,
            HIDDEN_TRUTH: None if labelled else truth,
            "id": sample.id,
            "kind": sample.kind,
            "source": sample.source,
            "choices": [] if sample.free else _choices(prompt, truth),
            "pass_rate_7b": sample.pass_rate_7b,
            "pass_rate_32b": sample.pass_rate_32b,
        },
    }


def _hidden_truth(answer: Any) -> str | None:
    """The truth where there is one: a row that is not labelled needs none."""
    try:
        return ground_truth(answer)
    except RowError:
        return None


def _choices(prompt: str, truth: str | None) -> list[str]:
    """Options where the truth is one of them, or not known: the verifier takes a letter and its text for the same."""
    options = written_options(prompt) or {}
    named = truth is None or option_letter(truth) in options or truth in options.values()
    return list(options.values()) if named else []


# -- records of data sets ----------------------------------------------------------------------------------------------


def text_field(record: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """A text of a record.

    Args:
        record: The record.
        name: Its field.
        default: Instead of one that is missing or null; None when it has to be there.

    Raises:
        RowError: It is missing or no text.
    """
    value = record.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise RowError("missing_field", f"{name} is {type(value).__name__}, not a text" if value is not None else name)
    return value


def id_field(record: Mapping[str, Any], name: str) -> str:
    """A name or number of a record as a text; empty when it has none."""
    value = record.get(name)
    return str(value) if isinstance(value, str | int) else ""


def mapping_field(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A nested record; an empty one when it is missing or null.

    Raises:
        RowError: It is something else.
    """
    value = record.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise RowError("missing_field", f"{name} is {type(value).__name__}, not a record")
    return value or {}


def image_list(record: Mapping[str, Any], name: str, required: bool = False) -> list[Any]:
    """The images of a record: a list (also one that was written as text), one image, or none.

    Args:
        record: The record.
        name: Its field.
        required: Whether a question without an image cannot be answered.

    Raises:
        RowError: There is none where one is required.
    """
    value = record.get(name)
    if isinstance(value, str):
        value = written_value(value)
    if isinstance(value, list | tuple):
        found = list(value)
    else:
        found = [value] if _holds_something(value) else []
    if required and not found:
        raise RowError("missing_image", f"{name} is empty")
    return found


_PICTURE = re.compile(
    r"(?:decoded|base64)?_?(?:image|img|picture|photo|figure|diagram|video|audio)s?"
    r"(?:_?(?:path|file|file_?name|name|url|byte|base64|\d+)s?)?",
    re.IGNORECASE,
)


def refuse_images(record: Mapping[str, Any]) -> None:
    """Refuse a record of whose images a program for texts would say nothing.

    Raises:
        RowError: A field holds or names an image, a video or a sound.
    """
    for name, value in record.items():
        if _holds_something(value) and (_PICTURE.fullmatch(name) or isinstance(value, bytes)):
            raise RowError("unread_image", f"{name} is {brief(value)}; geo3k.py, mmk12.py and virl39k.py read images")


def _holds_something(value: Any) -> bool:
    """Whether a cell has a text, bytes, or a list or struct of these; flags and counts are none."""
    if isinstance(value, Mapping | list | tuple):
        return any(map(_holds_something, value.values() if isinstance(value, Mapping) else value))
    return bool(value.strip()) if isinstance(value, str | bytes) else False
