"""The rows of the check: questions with a picture each, and rows in the words of the judge prompts about them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from PIL import Image, ImageDraw

from gpu_check.sizes import SIDE, Size
from spark_verl.data.sample import FEATURES
from spark_verl.judge.templates import JUDGE_SEPARATOR, VARIABLES, TemplateSet
from spark_verl.vocabulary import LabelForm, Objective, Source

QUESTION = (
    "<image>How many circles are in the picture, and which of them lies nearest to the upper left corner? Put the final"
    r" answer in \boxed{}."
)
KINDS = (
    (Objective.PAIRWISE, LabelForm.A_B),
    (Objective.REFLECTION, LabelForm.FREE),
    (Objective.POINTWISE, LabelForm.YES_NO),
    (Objective.REFLECTION, LabelForm.FREE),
)
"""Kinds of judge prompts in turn, half of them reflections as in the recipe."""


def picture(rng: np.random.Generator, size: Size) -> bytes:
    """A JPEG of coloured tiles and circles, no two alike, so that no cache finds one that it has not seen."""
    width, height = (int(rng.integers(low, high + 1)) for low, high in (size.widths, size.heights))
    image = Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
    image = image.resize((width * SIDE, height * SIDE))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = (int(rng.integers(0, side)) for side in image.size)
        draw.ellipse([x, y, x + 40, y + 40], outline=(255, 0, 0))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def row(index: int, image: bytes, text: str) -> dict[str, Any]:
    """A row in verl's schema."""
    nothing = dict.fromkeys(("id", "kind", "source"), "") | {"choices": [], "pass_rate_7b": None, "pass_rate_32b": None}
    return {
        "data_source": "circles",
        "prompt": [{"role": "user", "content": text}],
        "images": [{"bytes": image, "path": None}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "7"},
        "extra_info": {"split": "train", "index": index, **nothing},
    }


def judge_text(number: int, templates: TemplateSet) -> str:
    """The question with a judge prompt behind it, about a made-up answer as long as the reward's (``schedules.py``)."""
    kind = KINDS[number % len(KINDS)]
    shown = dict.fromkeys(VARIABLES[kind], "3141592653") | {"source": Source.ANSWER}
    return QUESTION + JUDGE_SEPARATOR + templates.render(*kind, number, **shown)


def write(folder: Path, size: Size, steps: int) -> dict[str, Path]:
    """Write the training files.

    Args:
        folder: Created when missing.
        size: Of pictures and batches.
        steps: Steps that the files have rows for.

    Returns:
        ``train``: the questions; ``mixed``: each step's questions, and as many judge prompts about the same pictures;
        ``test``: a few questions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    count = size.questions * steps
    pictures = [picture(rng, size) for _ in range(count)]
    train = [row(i, image, QUESTION) for i, image in enumerate(pictures)]
    templates = TemplateSet.load()
    judge = [row(count + i, image, judge_text(i, templates)) for i, image in enumerate(pictures)]
    mixed = []
    for first in range(0, count, size.questions):
        step = slice(first, first + size.questions)
        mixed += train[step] + judge[step]
    files = {}
    for name, rows in (("train", train), ("mixed", mixed), ("test", train[: size.questions])):
        files[name] = folder / f"{name}.parquet"
        datasets.Dataset.from_list(rows, features=FEATURES).to_parquet(files[name])
    return files
