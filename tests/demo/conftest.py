"""Two questions with images, as a data set prepared for verl has them."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def data_uri():
    """``data_uri(image, **options)``: an image as the page sends it."""

    def encode(image: Image.Image, **options) -> str:
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **options)
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    return encode


@pytest.fixture(scope="session")
def rows(data_uri) -> list[dict]:
    """2+2, whose truth is 4, and 3+3."""

    def row(number: int) -> dict:
        picture = data_uri(Image.new("RGB", (8, 8), (90 * number, 0, 0)))
        return {
            "data_source": "sums",
            "prompt": [{"role": "user", "content": f"<image>{number}+{number}=?"}],
            "images": [{"bytes": base64.b64decode(picture.partition(",")[2]), "path": None}],
            "reward_model": {"ground_truth": str(2 * number)},
            "extra_info": {"index": number},
        }

    return [row(2), row(3)]
