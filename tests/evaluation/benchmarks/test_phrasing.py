"""Options in running text, images of a column, image marks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spark_verl.evaluation.benchmarks.multiple_choice import (
    LETTERS,
    by_letter,
    option_lines,
    options_of,
    written_options,
)
from spark_verl.evaluation.question import images_of, marked_message, user_message


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("A. 300, 400;B. 400, 300; C. 30; D. No correct answer", ["300, 400", "400, 300", "30", "No correct answer"]),
        ("How large?\nChoices:\nA:40°\nB:60°\nC:120°", ["40°", "60°", "120°"]),
        ("Is it even? Choices: (A) yes (B) no", ["yes", "no"]),
        ("What is the mass?\nA. $$10.5$$\nB. 2.3\nC. 5", ["$$10.5$$", "2.3", "5"]),
        ("Line from A. It ends in B. What is right?\nA. one\nB. two", ["one", "two"]),
        ("选项：\nA、甲\nB、乙", ["甲", "乙"]),
        ("(A). left (B). right", ["left", "right"]),
        ("Which of A-D is green?", None),
        ("Only A. stands here", None),
        ("B. comes before C. without an A", None),
        ("triangle ABC: AB = 3", None),
        ("Choose: A. B. C. D.", None),
        ("", None),
    ],
    ids=[
        "We-Math", "MathVerse", "DynaMath", "MMK12", "points are no options", "Chinese marks", "bracket and stop",
        "range", "one option", "no start", "geometry", "drawn in the image", "empty",
    ],
)  # fmt: skip
def test_written_options(text: str, options: list[str] | None) -> None:
    assert written_options(text) == (None if options is None else by_letter(options))


PLAIN = st.lists(st.text("abcdefgh 123", min_size=1).map(str.strip).filter(bool), min_size=2, max_size=len(LETTERS))


@given(PLAIN)
def test_written_options_read_what_option_lines_write(options: list[str]) -> None:
    assert written_options("Which?\n" + option_lines(by_letter(options))) == by_letter(options)


@given(st.text())
def test_written_options_never_fail_and_count_from_a(text: str) -> None:
    found = written_options(text)
    assert found is None or (len(found) >= 2 and list(found) == list(LETTERS[: len(found)]))


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
