"""Questions about pairs of real handwritten digits.

scikit-learn ships 1,797 handwritten digits of 8x8 grey levels (Alpaydin and Kaynak, UCI 1998). A question shows two of
them, either side by side in one image or in two separate images, and asks for a number. Each grey level becomes a
7x7 block, so a digit is a 56x56 tile: 4x4 patches of Qwen2.5-VL, merged into 2x2 image tokens.

The digits are split by image: every fifth one is seen in held-out questions only, whatever the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.util import find_spec
from io import BytesIO
from operator import add, mul, sub
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

SIDE = 8
"""Grey levels along each side of a digit."""

BLOCK = 7
"""Pixels along each side of one grey level in an image."""

TILE = SIDE * BLOCK
"""Pixels along each side of one digit in an image."""


@dataclass(frozen=True)
class Kind:
    """One kind of question.

    Attributes:
        text: The question as it stands in the prompt, after the image placeholders.
        compute: The answer, from the left (first) and the right (second) digit.
        confused: What comes out when another operation is carried out.
        working: How the answer is written out, with the fields ``a``, ``b`` (digits) and ``c`` (answer).
        images: 1 if the two digits share an image, 2 if each has its own.
    """

    text: str
    compute: Callable[[int, int], int]
    confused: Callable[[int, int], int]
    working: str
    images: int = 1

    @cached_property
    def answers(self) -> tuple[int, ...]:
        """Every answer that this kind can have, in increasing order."""
        return tuple(sorted({self.compute(a, b) for a in range(10) for b in range(10)}))


KINDS: dict[str, Kind] = {
    "larger": Kind("Which digit is larger?", max, min, "{c} is larger"),
    "sum": Kind("What is the sum of the two digits?", add, mul, "{a}+{b}={c}"),
    "two_images": Kind("What is the sum of the digits in both images?", add, mul, "{a}+{b}={c}", images=2),
    "difference": Kind("What is the left digit minus the right digit?", sub, lambda a, b: b - a, "{a}-{b}={c}"),
    "product": Kind("What is the product of the two digits?", mul, add, "{a}*{b}={c}"),
}
"""The kinds of question, from easy to hard."""


@lru_cache(maxsize=1)
def _load() -> tuple[np.ndarray, np.ndarray]:
    # The file that scikit-learn's load_digits reads. To import scikit-learn for it takes half of the time it takes to
    # make the data.
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("scikit-learn is not installed: the digits are part of it")
    data = np.loadtxt(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",", dtype=np.int64)
    return data[:, :-1].reshape(-1, SIDE, SIDE).astype(np.uint8), data[:, -1]


def levels() -> np.ndarray:
    """All digits as grey levels: uint8 of shape (1797, 8, 8), 0 (paper) to 16 (ink)."""
    return _load()[0]


def labels() -> np.ndarray:
    """The digit that each image shows: int64 of shape (1797,), 0 to 9."""
    return _load()[1]


@lru_cache(maxsize=2)
def pool(split: str) -> tuple[int, ...]:
    """Indices of the digit images of a split.

    Args:
        split: "train" or "test". No index is in both.

    Raises:
        ValueError: Another name.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split is {split!r}; use 'train' or 'test'")
    return tuple(i for i in range(len(labels())) if (i % 5 == 0) == (split == "test"))


def pixels(grey: np.ndarray) -> np.ndarray:
    """Grey levels of shape (..., h, w) as 8-bit pixels of shape (..., 7h, 7w), ink dark on white paper."""
    grey = (255 - np.asarray(grey, dtype=np.int64) * 255 // 16).astype(np.uint8)
    return grey.repeat(BLOCK, axis=-2).repeat(BLOCK, axis=-1)


@dataclass(frozen=True)
class Question:
    """A question about two digit images.

    Attributes:
        kind: A key of :data:`KINDS`.
        tiles: Indices of the two digit images, left (first) before right (second).
        digits: The digits they show.
    """

    kind: str
    tiles: tuple[int, int]
    digits: tuple[int, int]

    @property
    def answer(self) -> str:
        """The right answer, as it stands in the box."""
        return str(KINDS[self.kind].compute(*self.digits))

    @property
    def image_count(self) -> int:
        """1 if the two digits share an image, else 2."""
        return KINDS[self.kind].images

    @property
    def prompt(self) -> str:
        """The question with one ``<image>`` placeholder per image, as verl's data set expects."""
        return "<image>" * self.image_count + KINDS[self.kind].text

    def images(self) -> list[Image.Image]:
        """The images, one per placeholder: 112x56, or two of 56x56; RGB."""
        grey = [levels()[i] for i in self.tiles]
        if self.image_count == 1:
            grey = [np.concatenate(grey, axis=1)]
        return [Image.fromarray(pixels(g)).convert("RGB") for g in grey]

    def png(self) -> list[bytes]:
        """The images as PNG files."""
        buffers = []
        for image in self.images():
            buffers.append(BytesIO())
            image.save(buffers[-1], format="PNG")
        return [buffer.getvalue() for buffer in buffers]


def draw_question(rng: Random, split: str, kind: str | None = None) -> Question:
    """Draw a question from the digit images of a split.

    Args:
        rng: Source of every choice.
        split: "train" or "test".
        kind: A key of :data:`KINDS`; drawn when None.
    """
    kind = kind or rng.choice(tuple(KINDS))
    indices = pool(split)
    tiles = (rng.choice(indices), rng.choice(indices))
    return Question(kind, tiles, (int(labels()[tiles[0]]), int(labels()[tiles[1]])))
