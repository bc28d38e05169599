"""Options in running text, images of a column, image marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spark_verl.data.prompts import written_options
from spark_verl.evaluation.benchmarks.multiple_choice import (
    LETTERS,
    by_letter,
    option_lines,
    options_of,
)
from spark_verl.evaluation.question import images_of, marked_message, user_message

PLAIN = st.lists(st.text("abcdefgh 123", min_size=1).map(str.strip).filter(bool), min_size=2, max_size=len(LETTERS))


@given(PLAIN)
def test_written_options_read_what_option_lines_write(options: list[str]) -> None:
    assert written_options("Which?\n" + option_lines(by_letter(options))) == by_letter(options)


def test_images_of_every_form(tmp_path: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    picture, full = Image.new("L", (1, 1)), str(tmp_path / "a.png")
    for nothing in (None, "", [], [None]):
        assert images_of(nothing) == []
    assert images_of(b"png") == [b"png"]
    assert images_of(picture) == [picture]
    assert images_of("a.png", tmp_path) == images_of(full) == images_of(Path(full)) == [full]
    assert images_of({"bytes": b"png", "path": "a.png"}) == [b"png"]
    assert images_of({"bytes": None, "path": "a.png"}, tmp_path) == [full]
    assert images_of([{"bytes": b"1", "path": None}, {"bytes": b"2", "path": None}]) == [b"1", b"2"]
    with pytest.raises(FileNotFoundError, match=r"b\.png does not exist: put the benchmark's images where"):
        images_of("b.png", tmp_path)


def test_user_message_puts_images_first_and_drops_marks() -> None:
    (message,) = user_message("<image>\nWhat <image>is it?", [b"1", b"2"])
    assert message["role"] == "user"
    assert message["content"] == [
        {"type": "image", "image": b"1"},
        {"type": "image", "image": b"2"},
        {"type": "text", "text": "What is it?"},
    ]


def test_marked_message_keeps_the_order_of_marks() -> None:
    images = iter([b"1", b"2", b"3"])
    message = marked_message("user", "<image>left of<image> ok", images)
    assert [part.get("image") or part["text"] for part in message["content"]] == [b"1", "left of", b"2", " ok"]
    assert list(images) == [b"3"]


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (None, None),
        ([], None),
        ("", None),
        (["red", 2], {"A": "red", "B": "2"}),
        ("A. red; B. 2", {"A": "red", "B": "2"}),
        ({"A": "red", "B": 2, "C": None}, {"A": "red", "B": "2"}),
        ({"A": None}, None),
    ],
)
def test_options_in_every_form(value: object, options: dict[str, str] | None) -> None:
    assert options_of(value) == options


def test_more_options_than_letters_are_refused() -> None:
    assert list(by_letter(range(10))) == list("ABCDEFGHIJ")
    with pytest.raises(ValueError, match="11 options, but letters for 10 only"):
        by_letter(range(11))
