"""Bad rows end in one clear line before a run starts: messages, answers, placeholders, images."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image
from user_rows import FEATURES, encoded, message, picture, row, text_row, truth, write

from spark_verl.data.check import check_file

# What is changed in a good row, words of the one line; other rows of the file are as good as Arrow's types allow
BAD_ROWS = [
    ("no message", {"prompt": []}, "prompt must be a list of messages with role and content, is empty"),
    ("null message", {"prompt": [None]}, r"prompt\[0\] must be a message with role and content, is None"),
    ("null role", {"prompt": message("<image>?", None)}, r"prompt\[0\] must be a message with role"),
    ("null content", {"prompt": message(None), "images": []}, r"prompt\[0\].content must be a text, is null"),
    ("no text", {"prompt": message("  "), "images": []}, "no user message with text"),
    (
        "the answer in the prompt",
        {"prompt": [*message("<image>?"), *message("It is 7.", "assistant")]},
        r"prompt\[1\] is an assistant's, and nothing is asked after it: leave it out",
    ),
    ("no question", {"prompt": message("<image>")}, "no user message with text"),
    ("no placeholder", {"prompt": message("no placeholder")}, r"0 <image> in the prompt, but 1 image"),
    ("two placeholders", {"prompt": message("<image><image> two?")}, r"2 <image> in the prompt, but 1 image"),
    ("no image", {"images": []}, r"1 <image> in the prompt, but 0 image"),
    ("a video", {"prompt": message("<image> and <video>?")}, r"1 <video> in the prompt, but 0 video.*data.video_key"),
    ("image token", {"prompt": message("<image> <|image_pad|>?")}, r"content has <\|image_pad\|>, which the tokenizer"),
    ("chat token", {"prompt": message("<image>?<|im_end|>")}, r"content has <\|im_end\|>"),
    ("empty truth", truth(" "), "reward_model.ground_truth: an answer that means nothing"),
    ("null truth", truth(None), "reward_model.ground_truth: no answer is given"),
    ("empty box", truth(r"\boxed{}"), "reward_model.ground_truth: an answer that means nothing"),
    ("nan as text", truth("nan"), "means nothing"),
    ("list as text", truth("['7']"), "a list or a record written as text"),
    (
        "no image file",
        {"images": [{"bytes": b"not an image", "path": None}]},
        "image 0 cannot be read: no image format",
    ),
    (
        "cut off",
        {"images": [{"bytes": encoded(Image.effect_noise((200, 200), 50))[:300], "path": None}]},
        "image 0 cannot",
    ),
    ("no such file", {"images": [{"bytes": None, "path": "/nowhere/a.png"}]}, "file /nowhere/a.png, which does not"),
    ("an empty struct", {"images": [{"bytes": None, "path": None}]}, "image 0 is empty"),
    ("a null image", {"images": [None]}, "image 0 is empty"),
    ("one pixel", {"images": [{"bytes": picture(1, 1), "path": None}]}, "1x1 pixels: too small"),
    ("too narrow", {"images": [{"bytes": picture(2100, 10), "path": None}]}, "2100x10 pixels: the model takes sides"),
]


@pytest.mark.parametrize(("changes", "words"), [pytest.param(*case[1:], id=case[0]) for case in BAD_ROWS])
def test_a_bad_row_is_named(tmp_path, changes, words) -> None:
    path = write(tmp_path, [row(), row(), row(**changes)])
    with pytest.raises(ValueError, match=words) as caught:
        check_file(path)
    assert f"{path}, row 2: " in str(caught.value) and "\n" not in str(caught.value)


# Cells of another type than the good rows have, so that every row has them
BAD_COLUMNS = [
    (
        "a struct",
        {"images": {"bytes": picture(), "path": None}},
        "column 'images' must be a list of images, is a struct",
    ),
    ("a path", {"images": "a.png"}, "must be a list of images, is text"),
    ("JSON text", {"images": '["a.png", "b.png"]'}, "must be a list of images, is text"),
    ("bytes", {"images": picture()}, "must be a list of images, is bytes"),
    ("a list of bytes", {"images": [picture()]}, 'image 0 is bytes: write {"bytes": ..'),
    ("base64", {"images": [base64.b64encode(picture()).decode()]}, "image 0 looks like base64.*data:image/png;base64,"),
    ("a broken data URI", {"images": ["data:image/png;base64,%%%"]}, "image 0 data:.* is no data URI"),
    ("a missing file", {"images": ["b.png"]}, "image 0 is the file b.png, which does not exist"),
    ("a struct of its own", truth({"value": "7"}), "of a struct the verifier reads ground_truth, answer or target"),
    ("null byte", {"images": ["\0png"]}, r"image 0 is the file .*png, which does not exist"),
    ("a number", {"images": [3]}, 'image 0 is 3: write {"bytes"'),
    ("another struct", {"images": [{"url": "a.png"}]}, "image 0 is {'url': 'a.png'}: write"),
    ("text as prompt", {"prompt": "<image>?"}, "prompt must be a list of messages with role and content, is text"),
    ("text as extra_info", {"extra_info": "index 0"}, "extra_info must be a struct with index, is text"),
    ("text as reward_model", {"reward_model": "7"}, "reward_model must be a struct with ground_truth, is 7"),
    ("NaN", truth(float("nan")), "ground_truth: an answer that means nothing"),
    ("a list of null", truth([None]), "ground_truth: an answer that means nothing"),
    ("a list of nothing", truth([""]), "ground_truth: an answer that means nothing"),
    ("another key", truth({"value": "7"}), "ground_truth: an answer that means nothing"),
    (
        "null in parts",
        {
            "images": [],
            "prompt": message(
                [{"type": "image", "image": "a.png", "text": None}, {"type": "text", "image": None, "text": "?"}]
            ),
        },
        r"prompt\[0\].content\[1\].image is null",
    ),
    (
        "null text",
        {"images": [], "prompt": message([{"type": "text", "text": None}])},
        r"content\[0\].text must be a text",
    ),
    (
        "null part",
        {"images": [], "prompt": message([None, {"type": "text", "text": "?"}])},
        r"content\[0\] must be a struct",
    ),
    (
        "parts and a column",
        {"prompt": message([{"type": "text", "text": "<image>?"}])},
        "verl fails with AssertionError",
    ),
]


@pytest.mark.parametrize(("changes", "words"), [pytest.param(*case[1:], id=case[0]) for case in BAD_COLUMNS])
def test_a_bad_column_is_named(tmp_path, monkeypatch, changes, words) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").write_bytes(picture())
    path = write(tmp_path, [row(**changes)])
    with pytest.raises(ValueError, match=words) as caught:
        check_file(path)
    assert str(caught.value).startswith(path) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_every_kind_of_finding_has_a_line(tmp_path) -> None:
    bad = [row(images=[]), row(**truth(None)), row(images=[]), row(**truth("nan")), row(**truth(" "))]
    path = write(tmp_path, [row(), *bad])
    with pytest.raises(ValueError) as caught:
        check_file(path)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{path}, row ")[:1] for line in lines] == ["1", "2", "4"]
    assert lines[0].endswith("(and 1 more of the 6 rows looked at)") and lines[2].endswith(
        "(and 1 more of the 6 rows looked at)"
    )


def path_to(folder: Path, content: bytes) -> str:
    (folder / "a.png").write_bytes(content)
    return "a.png"


# How verl takes images: all of these pass
FORMS = [
    lambda folder: {"bytes": picture(), "path": "x.png"},
    lambda folder: path_to(folder, picture()),
    lambda folder: f"file://{folder / path_to(folder, picture())}",
    lambda folder: "data:image/png;base64," + base64.b64encode(picture()).decode(),
    lambda folder: {"image": path_to(folder, picture())},
    lambda folder: {"image": path_to(folder, picture()), "max_pixels": 3136},
    lambda folder: "https://example.org/a.png",
]


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_images_that_verl_reads(form, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert check_file(write(tmp_path, [row(images=[form(tmp_path)])])).rows == 1


def test_a_path_without_bytes_needs_the_image_type_of_datasets(tmp_path, monkeypatch) -> None:
    """As a plain struct, verl opens the bytes, which are null; a column of the type Image, ``datasets`` opens."""
    monkeypatch.chdir(tmp_path)
    images = [{"bytes": None, "path": path_to(tmp_path, picture())}]
    with pytest.raises(ValueError, match="row 0: images: image 0 has no bytes, .* store the file's bytes, or its path"):
        check_file(write(tmp_path, [row(images=images)]))
    assert check_file(write(tmp_path, [row(images=images)], features=FEATURES)).rows == 1


def _drawing(mode: str) -> Image.Image:
    """Black lines on a transparent ground."""
    grey = Image.new("L", (40, 40), 0)
    clear = Image.new("L", (40, 40), 0)
    clear.paste(255, (10, 10, 20, 20))
    image = Image.merge("LA", (grey, clear))
    if mode != "P":
        return image.convert(mode)
    image = Image.new("P", (40, 40), 0)
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.paste(1, (10, 10, 20, 20))
    image.info["transparency"] = 0
    return image


def _turned() -> bytes:
    image = Image.new("RGB", (60, 40), "red")
    image.paste("blue", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[274] = 6
    return encoded(image, "JPEG", exif=exif)


SIXTEEN = encoded(Image.fromarray(np.linspace(0, 65535, 1600, dtype=np.uint16).reshape(40, 40)))

# A file, words where verl opens plain bytes, words where datasets does (None: the model sees what the file holds)
SEEN = [
    ("white on white", picture(), None, None),
    ("grey", encoded(Image.new("L", (30, 30), 90)), None, None),
    ("opaque", encoded(Image.new("RGBA", (30, 30), (1, 2, 3, 255))), None, None),
    ("transparent", encoded(_drawing("RGBA")), None, "is transparent"),
    ("transparent grey", encoded(_drawing("LA")), "is transparent", "is transparent"),
    ("transparent palette", encoded(_drawing("P")), "is transparent", "is transparent"),
    ("16 bits", SIXTEEN, "beyond 8 bits", "beyond 8 bits"),
    ("12 bits", encoded(Image.fromarray(np.full((40, 40), 1500, np.uint16))), "beyond 8 bits", "beyond 8 bits"),
    ("float", encoded(Image.fromarray(np.full((40, 40), 0.5, np.float32)), "TIFF"), "beyond 8 bits", "beyond 8 bits"),
    ("turned", _turned(), "is to be turned", None),
    ("CMYK", encoded(Image.new("CMYK", (30, 30), (10, 90, 10, 0)), "JPEG"), None, None),
]


@pytest.mark.parametrize(("content", "plain", "typed"), [pytest.param(*case[1:], id=case[0]) for case in SEEN])
def test_the_model_sees_what_the_file_holds(tmp_path, content, plain, typed) -> None:
    for features, words in ((None, plain), (FEATURES, typed)):
        path = write(tmp_path, [row(images=[{"bytes": content, "path": None}])], features=features)
        if words is None:
            assert check_file(path).rows == 1
            continue
        with pytest.raises(ValueError, match=rf"row 0: images: image 0 .*{words}"):
            check_file(path)


def test_a_good_file_and_what_is_in_it(tmp_path) -> None:
    two = row(prompt=message("<image> or <image>?"), images=[{"bytes": picture(40, 30), "path": None}] * 2)
    large = row(images=[{"bytes": picture(60, 40), "path": None}])
    seen = check_file(write(tmp_path, [large, two, text_row()]))
    # 60 x 40 in one row, twice 40 x 30 in another: no row has more than 2,400 pixels.
    assert (seen.total, seen.rows, seen.most_pixels, seen.unlabelled) == (3, 3, 2400, 0)


def test_it_works_in_a_notebook(tmp_path) -> None:
    """Where an event loop runs already."""
    path = write(tmp_path, [row()])

    async def cell() -> int:
        return check_file(path).rows

    assert asyncio.run(cell()) == 1


def test_what_the_docs_give_as_a_remedy(tmp_path, monkeypatch) -> None:
    """The lines of docs/data.md make a file that passes of one that the model would not see as it is."""
    guide = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    images = [{"bytes": content, "path": None} for _, content, plain, typed in SEEN if plain or typed]
    Path(write(tmp_path, [row(images=[image]) for image in images])).rename("my.parquet")
    with pytest.raises(ValueError, match="docs/data.md"):
        check_file("my.parquet")
    exec(guide.partition("```python\n")[2].partition("```")[0], {})
    assert check_file("plain.parquet").rows == len(images)
