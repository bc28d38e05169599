"""Chat messages as the OpenAI protocol wants them: text merged, images inlined as data URLs."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from spark_verl.vocabulary import Message


def to_openai(messages: list[Message]) -> list[Message]:
    """Convert messages of a :class:`spark_verl.evaluation.question.Question`.

    Neighbouring text parts become one: some servers put a line break between parts and others do not, and a judge
    prompt must read as it did in training, where its text follows the question's directly.

    Raises:
        ValueError: A part is neither text nor image, or an image cannot be read; the message says which.
    """
    return [{"role": message["role"], "content": _content(message["content"])} for message in messages]


def _content(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    parts: list[dict[str, Any]] = []
    for number, part in enumerate(content):
        kind = part["type"]
        if kind == "text" and parts and parts[-1]["type"] == "text":
            parts[-1] = {"type": "text", "text": parts[-1]["text"] + part["text"]}
        elif kind == "text":
            parts.append({"type": "text", "text": part["text"]})
        elif kind == "image":
            try:
                parts.append({"type": "image_url", "image_url": {"url": data_url(part["image"])}})
            except (OSError, ValueError) as error:
                raise ValueError(f"content part {number}: the image cannot be read ({error})") from error
        else:
            raise ValueError(f"content part {number} has type {kind!r}; only text and image can be asked")
    return parts


def data_url(image: Image.Image | bytes | str) -> str:
    """An image as a URL.

    Args:
        image: ``PIL.Image`` (sent as PNG), the bytes of an image file, or its path (both sent as they are).
    """
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        # PNG has no CMYK or YCbCr.
        (image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else image.convert("RGB")).save(buffer, "PNG")
        data, mime = buffer.getvalue(), "image/png"
    else:
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        try:
            with Image.open(io.BytesIO(data)) as opened:
                mime = opened.get_format_mimetype()
        except UnidentifiedImageError:
            raise ValueError(f"{len(data)} bytes that are no image") from None
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
