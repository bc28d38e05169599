"""An image as verl and Qwen2.5-VL take it: decodable, opaque, upright, not larger than asked for.

What is already fine is stored byte for byte as the data set has it. Three kinds of files are not fine although they
open without an error:

- transparent ones: verl converts to RGB by dropping the alpha channel, which turns a diagram drawn in black on a
  transparent background all black. They are put on white.
- rotated ones (EXIF orientation): ``datasets`` rotates them and other readers do not. They are stored upright.
- ones with more than 8 bits per value: the conversion to RGB cuts values off at 255, which turns them white. They are
  scaled, by the number of bits that their values need.

:func:`shown_otherwise` tells whether verl would show a file otherwise than :func:`plain` does.
"""

from __future__ import annotations

import base64
import contextlib
import io
import math
import re
import warnings
from collections import Counter
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from spark_verl.data.errors import RowError
from spark_verl.data.stores import Images
from spark_verl.options import brief
from spark_verl.qwen import MAX_RATIO

MIN_SIDE = 2
"""A one-pixel image shows nothing; it is a placeholder of a broken download."""

DEFAULT_MAX_PIXELS = 1048576
"""The reference's (SPARK, ``max_pixels`` in every message it builds)."""

_FORMATS = ("JPEG", "PNG", "WEBP")
"""What is stored as it is; other formats (GIF, BMP, TIFF, ...) are stored as PNG."""

_TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""

_BITS = (1, 2, 4, 8, 10, 12, 14, 16, 32)
"""Bits per value that cameras and scanners have; files with more bits per pixel have them, too."""

_VISIBLE = 32
"""Difference, in steps of 255, at which a pixel is another one: above what rounding and resampling make."""

_BASE64 = re.compile(r"(?:iVBORw0KGgo|/9j/|R0lGOD|UklGR|Qk)[A-Za-z0-9+/=\s]{50,}|[A-Za-z0-9+/=\s]{1000,}")
"""An encoded PNG, JPEG, GIF, WEBP or BMP; whatever else is so long is no path."""


def shape_problem(width: int, height: int) -> str | None:
    """Why the model cannot take an image of this size in pixels, as a key of :data:`REASONS`; None when it can."""
    if min(width, height) < MIN_SIDE:
        return "tiny_image"
    return "extreme_ratio" if max(width, height) > MAX_RATIO * min(width, height) else None


def prepare_image(source: Any, images: Images, max_pixels: int, done: Counter[str]) -> dict[str, Any]:
    """Read one image and make it fit.

    Args:
        source: A path as the data set gives it, encoded bytes, or ``{"bytes": ..., "path": ...}`` as ``datasets``
            stores images.
        images: Where paths are looked up.
        max_pixels: Larger images are downscaled to at most this many pixels, keeping the aspect ratio.
        done: Counts what was done: ``kept`` or ``re-encoded``, and ``downscaled``.

    Returns:
        ``{"bytes": ..., "path": None}``, the storage of :class:`datasets.Image`.

    Raises:
        RowError: The image is missing, broken, one pixel wide or high, or its ratio is above ``MAX_RATIO``.
    """
    source = encoded_image(source, images)
    if not source:
        raise RowError("missing_image", "the row names none")
    try:
        with warnings.catch_warnings():
            # The warning comes at half the size of the error, and what is below the error is downscaled anyway.
            warnings.simplefilter("ignore")
            return {"bytes": _fit(source, max_pixels, done), "path": None}
    except RowError:
        raise
    except Exception as error:  # files are untrusted: PIL's decoders raise anything from SyntaxError to struct.error
        raise RowError("broken_image", decoder_error(error)) from error


def encoded_image(source: Any, images: Images) -> bytes | None:
    """The bytes of an image file that a cell holds or names; None where it does neither.

    Args:
        source: See :func:`prepare_image`; also a data URI.
        images: Where paths are looked up.

    Raises:
        RowError: The image does not exist, or the cell holds something else.
    """
    if isinstance(source, dict):
        source = source.get("bytes") or source.get("path") or source.get("image") or source.get("image_url")
    if isinstance(source, str) and source.startswith("data:"):
        with contextlib.suppress(ValueError):
            if decoded := base64.b64decode(source.partition("base64,")[2]):
                return decoded
        raise RowError("broken_image", f"{brief(source)} is no data URI in base64")
    if isinstance(source, str) and _BASE64.fullmatch(source):
        raise RowError(
            "missing_image", f"looks like base64, not like a path: put data:image/png;base64, before {brief(source)}"
        )
    if isinstance(source, str) and source.strip():
        return images.read(source)
    return source if isinstance(source, bytes) else None


def decoder_error(error: Exception) -> str:
    """What a decoder of images says, for a message."""
    # PIL's own words name a memory address there.
    unknown = isinstance(error, UnidentifiedImageError)
    return "no image format that PIL knows" if unknown else f"{type(error).__name__}: {error}"


def shown_otherwise(image: Image.Image, seen: Image.Image) -> str | None:
    """Why the model sees another picture than a file holds.

    Args:
        image: As PIL opens the file.
        seen: What verl made of it, of any size.

    Returns:
        What is wrong, with the remedy's reason in it; None where both look the same.
    """
    right = plain(image)
    if right is image:
        return None
    right, seen = right.convert("RGB"), seen.convert("RGB")
    lies = {size[0] > size[1] for size in (right.size, seen.size) if size[0] != size[1]}
    apart = np.abs(np.asarray(right.resize(seen.size), dtype=int) - np.asarray(seen, dtype=int))
    if len(lies) < 2 and apart.max() < _VISIBLE:
        return None
    if _orientation(image) > 1:
        return "is to be turned (EXIF orientation), and verl does not turn it"
    if image.has_transparency_data:
        return f"is transparent (mode {image.mode}), and verl shows what is transparent in black or as it lies below"
    return f"has values beyond 8 bits (mode {image.mode}), which verl cuts off at 255"


def _fit(encoded: bytes, max_pixels: int, done: Counter[str]) -> bytes:
    image: Image.Image = Image.open(io.BytesIO(encoded))
    stored_as = image.format
    if problem := shape_problem(*image.size):
        raise RowError(problem, f"{image.width} x {image.height}")
    size = fitted_size(*image.size, max_pixels)
    too_large = size != image.size
    if too_large:
        image.draft("RGB", size)  # a JPEG is decoded at a fraction of its size where that is enough
    image.load()
    changed = plain(image)
    if changed is image and not too_large and stored_as in _FORMATS:
        done["kept"] += 1
        return encoded
    done["downscaled"] += too_large
    if too_large:
        # The size follows from the file's own: a draft is rounded to whole pixels, which distorts narrow images.
        size = size[::-1] if _orientation(image) in _TURNED else size
        changed = _colours(changed).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    done["re-encoded"] += 1
    return _encode(changed, "JPEG" if stored_as == "JPEG" else "PNG")


def fitted_size(width: int, height: int, max_pixels: int) -> tuple[int, int]:
    """The size, in pixels, that an image is downscaled to; its own size when that is small enough.

    The shorter side is rounded up and the longer one down, so that an accepted ratio stays accepted.

    >>> fitted_size(4000, 1000, 1048576)
    (2048, 512)
    """
    if width * height <= max_pixels:
        return width, height
    scale = math.sqrt(max_pixels / (width * height))
    short = max(2, math.ceil(min(width, height) * scale))
    long = min(math.floor(max(width, height) * scale), max_pixels // short)
    if long < short:  # a square, or nearly
        short = long = math.isqrt(max_pixels)
    return (long, short) if width >= height else (short, long)


def plain(image: Image.Image) -> Image.Image:
    """The image upright, opaque and with 8 bits per channel; the very same object when it is that already."""
    if _orientation(image) > 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _in_eight_bits(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema()[0] < 255:  # ty: ignore[unsupported-operator]
            white = Image.new("RGBA", rgba.size, "white")
            white.alpha_composite(rgba)
            image = white.convert("RGB")
    return image


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """Grey values of more bits, scaled from the range that they use: 0 to 1, 0 to 255, 12 bits, 16 bits, ..."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0, posinf=0, neginf=0)
    low, high = min(values.min(), 0), values.max()
    ranges = (1, 255) if image.mode == "F" else [2**bits - 1 for bits in _BITS]
    most = high if low < 0 else next((top for top in ranges if high <= top), high)
    return Image.fromarray(np.rint((values - low) / (most - low or 1) * 255).astype(np.uint8))


def _colours(image: Image.Image) -> Image.Image:
    """Modes that cannot be interpolated (palettes, one bit) as ones that can."""
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


def _encode(image: Image.Image, file_format: str) -> bytes:
    buffer = io.BytesIO()
    _colours(image).save(buffer, file_format, quality=95)  # PNG knows no quality and takes no notice
    return buffer.getvalue()
