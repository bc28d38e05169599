"""Images as they are stored: kept byte for byte where they are fine, made to fit where they are not."""

from __future__ import annotations

import base64
import io
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spark_verl.data import stores
from spark_verl.data.check import check_file
from spark_verl.data.errors import RowError
from spark_verl.data.images import fitted_size, prepare_image
from spark_verl.data.stores import Images, open_store
from spark_verl.qwen import MAX_RATIO

NOWHERE = Images([])


def prepared(source, max_pixels: int = 1 << 20, images: Images = NOWHERE) -> tuple[bytes, Image.Image, Counter]:
    done = Counter()
    stored = prepare_image(source, images, max_pixels, done)
    assert stored.keys() == {"bytes", "path"} and stored["path"] is None
    image = Image.open(io.BytesIO(stored["bytes"]))
    image.load()
    return stored["bytes"], image, done


def encoded(image: Image.Image, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(("form", "mode"), [("PNG", "RGB"), ("PNG", "L"), ("JPEG", "RGB"), ("WEBP", "RGB")])
def test_fine_images_are_kept(form, mode, picture) -> None:
    content = picture(1, mode=mode, form=form)
    for source in (content, {"bytes": content, "path": "a.png"}):
        assert prepared(source)[::2] == (content, Counter(kept=1))


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF"])
def test_other_formats_become_png(form, picture) -> None:
    content = picture(1, form=form)
    _, image, done = prepared(content)
    assert image.format == "PNG" and done == Counter({"re-encoded": 1, "downscaled": 0})
    assert np.array_equal(np.asarray(image.convert("RGB")), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
@pytest.mark.parametrize(("size", "limit"), [((400, 300), 30_000), ((1999, 31), 3136), ((31, 1999), 3136)])
def test_large_images_are_downscaled(form, size, limit, picture) -> None:
    _, image, done = prepared(picture(3, size, form=form), limit)
    assert 0.8 * limit < image.width * image.height <= limit and image.format == form
    assert done == Counter({"downscaled": 1, "re-encoded": 1})
    assert image.width / image.height == pytest.approx(size[0] / size[1], rel=0.2)


@given(st.integers(2, 5000), st.integers(2, 5000), st.integers(3136, 2_000_000))
def test_fitted_size(width: int, height: int, limit: int) -> None:
    fitted = fitted_size(width, height, limit)
    assert fitted[0] * fitted[1] <= max(limit, 4) and min(fitted) >= 2
    assert (fitted == (width, height)) == (width * height <= limit)
    if max(width, height) <= MAX_RATIO * min(width, height):
        assert max(fitted) <= MAX_RATIO * min(fitted)


def test_transparency_becomes_white() -> None:
    """A drawing in black on a transparent ground would be all black to verl."""
    drawing = np.zeros((20, 20, 4), dtype=np.uint8)
    drawing[5:10, 5:10, 3] = 255
    shown = np.asarray(prepared(encoded(Image.fromarray(drawing)))[1].convert("RGB"))
    assert (shown[5:10, 5:10] == 0).all() and (shown[15:] == 255).all()
    opaque = encoded(Image.new("RGBA", (20, 20), (1, 2, 3, 255)))
    assert prepared(opaque)[0] == opaque


def test_rotated_images_are_put_upright() -> None:
    image = Image.new("RGB", (400, 200), "red")
    image.paste("blue", (0, 0, 200, 200))
    exif = Image.Exif()
    exif[274] = 6  # to be turned a quarter clockwise: left goes to the top
    for form, limit, size in (("PNG", 1 << 20, (200, 400)), ("JPEG", 1 << 20, (200, 400)), ("JPEG", 5000, (50, 100))):
        shown = prepared(encoded(image, form, exif=exif), limit)[1]
        assert shown.size == size and shown.getexif().get(274, 1) == 1
        assert shown.getpixel((20, 5))[2] > 200 and shown.getpixel((20, size[1] - 5))[0] > 200


@pytest.mark.parametrize(
    ("dtype", "low", "high", "form"),
    [
        (np.uint16, 0, 65535, "PNG"),  # all 16 bits
        (np.uint16, 0, 4095, "PNG"),  # 12 bits of a camera or a scanner
        (np.uint16, 0, 1023, "PNG"),
        (np.uint16, 0, 255, "PNG"),  # 8 bits in a wider file
        (np.uint16, 0, 1, "PNG"),  # a mask
        (np.int32, 0, 65535, "TIFF"),
        (np.int32, -1000, 1047, "TIFF"),  # such as Hounsfield units
        (np.float32, 0, 1, "TIFF"),
        (np.float32, 0, 255, "TIFF"),
        (np.float32, -3, 7000, "TIFF"),
    ],
)
def test_values_of_more_than_eight_bits_are_scaled(dtype, low, high, form) -> None:
    """A ramp stays a ramp from black to white, whatever its range."""
    ramp = np.linspace(low, high, 40 * 40).astype(dtype).reshape(40, 40)
    shown = np.asarray(prepared(encoded(Image.fromarray(ramp), form))[1].convert("L"), dtype=int)
    share = (ramp.astype(float) - low) / (high - low)
    assert abs(shown / 255 - share).max() < 0.01


@pytest.mark.parametrize("values", [[np.nan, 0.5], [np.inf, -np.inf], [np.nan, np.nan]])
def test_floats_that_are_no_numbers(values) -> None:
    image = Image.fromarray(np.array([values] * 2, dtype=np.float32))
    assert prepared(encoded(image, "TIFF"))[1].mode == "L"


def test_a_data_uri_is_decoded(picture) -> None:
    uri = "data:image/png;base64," + base64.b64encode(picture(1)).decode()
    assert prepared(uri)[0] == picture(1)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_bare_base64_is_said_in_short(form, picture) -> None:
    text = base64.b64encode(picture(1, (90, 90), form=form)).decode()
    with pytest.raises(RowError, match="looks like base64") as caught:
        prepare_image(text, NOWHERE, 1 << 20, Counter())
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize(
    "path", ["images/a.png", "/home/x/ViRL39K/images/a.png", "file:///d/images/a.png", "images\\a.png"]
)
def test_stores(kind, path, pack, picture) -> None:
    images = Images([open_store(pack({"images/a.png": picture(1), "images/b.png": picture(2)}, kind))])
    assert prepared(path, images=images)[0] == picture(1)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_path_may_begin_with_the_archive(kind, pack, picture) -> None:
    images = Images([open_store(pack({"a.png": picture(1)}, kind))])
    assert prepared("packed/a.png", images=images)[0] == picture(1)


@pytest.mark.parametrize("path", ["../a.png", "images/../../a.png", "/x/a.png", "b.png", "", "/", "images"])
@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_what_is_not_there(kind, path, pack, picture) -> None:
    images = Images([open_store(pack({"a.png": picture(1), "images/c.png": picture(2)}, kind))])
    with pytest.raises(RowError) as caught:
        prepare_image(path, images, 1 << 20, Counter())
    assert caught.value.reason == "missing_image"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_too_large_a_file_is_not_read(kind, pack, picture, monkeypatch) -> None:
    images = Images([open_store(pack({"a.png": picture(1)}, kind))])
    monkeypatch.setattr(stores, "MAX_FILE_BYTES", len(picture(1)))
    assert images.read("a.png") == picture(1)
    monkeypatch.setattr(stores, "MAX_FILE_BYTES", len(picture(1)) - 1)
    with pytest.raises(RowError, match="a.png has more than"):
        images.read("a.png")


@pytest.mark.parametrize(
    ("size", "problem"),
    [
        ((2, 2), None),
        ((400, 2), None),
        ((2, 400), None),
        ((1, 2), "tiny_image"),
        ((2, 1), "tiny_image"),
        ((401, 2), "extreme_ratio"),
        ((2, 401), "extreme_ratio"),
    ],
)
def test_one_rule_of_shapes(size, problem, tmp_path, picture) -> None:
    """What the programs store is what the check before a run lets pass."""
    content = picture(1, size)
    row = {"data_source": "x", "prompt": [{"role": "user", "content": "<image>?"}], "extra_info": {"index": 0}}
    row |= {"reward_model": {"ground_truth": "1"}, "images": [{"bytes": content, "path": None}]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "train.parquet")
    if problem is None:
        assert prepared(content)[0] == content
        assert check_file(tmp_path / "train.parquet").most_pixels == size[0] * size[1]
        return
    with pytest.raises(RowError) as caught:
        prepared(content)
    assert caught.value.reason == problem
    with pytest.raises(ValueError, match=f"image 0 is {size[0]}x{size[1]} pixels"):
        check_file(tmp_path / "train.parquet")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_damaged_archives(kind, pack, picture) -> None:
    archive = pack({"a.png": picture(1), "b.png": picture(2)}, kind)
    content = archive.read_bytes()
    start = content.index(b"IDAT")
    archive.write_bytes(content[: start + 8] + bytes(30) + content[start + 38 :])
    images = Images([open_store(archive)])
    with pytest.raises(RowError) as caught:
        prepare_image("a.png", images, 1 << 20, Counter())
    assert caught.value.reason == "broken_image"
    assert prepared("b.png", images=images)[0] == picture(2)


@given(st.binary(max_size=300))
def test_hostile_bytes(content: bytes) -> None:
    for source in (
        content,
        b"\x89PNG\r\n\x1a\n" + content,
        b"\xff\xd8\xff" + content,
        b"RIFF\x00\x00\x00\x00WEBP" + content,
    ):
        with pytest.raises(RowError) as caught:
            prepare_image(source, NOWHERE, 1 << 20, Counter())
        assert caught.value.reason in ("broken_image", "missing_image", "tiny_image", "extreme_ratio")


@pytest.mark.parametrize("source", [None, 3, ["a.png"], {"bytes": None, "path": None}, {}, b"", " "])
def test_no_image_at_all(source) -> None:
    with pytest.raises(RowError) as caught:
        prepare_image(source, NOWHERE, 1 << 20, Counter())
    assert caught.value.reason == "missing_image"
