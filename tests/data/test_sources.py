"""Sources as people have them: nothing is lost and nothing is made up without a word."""

from __future__ import annotations

import base64
import json

import pytest
from small_data_sets import store

LINES = [{"question": "a?", "answer": "1"}, {"question": "b?", "answer": "2"}]


@pytest.fixture
def convert(program, report, rows, tmp_path, capsys):
    """Run a program on what lies in a folder; return its exit code, the rows, the report and what was printed."""

    def call(name: str, *options: str):
        argv = ["--local_dataset_path", str(tmp_path / "source"), "--local_save_dir", str(tmp_path / "out"), *options]
        code = program(name).main(argv)
        done = code == 0
        counted = report(tmp_path / "out")["train"] if done else {}
        written = rows(tmp_path / "out" / "train.parquet") if done else []
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return code, written, counted, printed.out + printed.err

    (tmp_path / "source").mkdir()
    return call


def answers(written) -> list[str]:
    return [row["reward_model"]["ground_truth"] for row in written]


BOM = b"\xef\xbb\xbf"
READABLE = {
    "a byte-order mark": BOM + "\n".join(map(json.dumps, LINES)).encode(),
    "a mark before a list": BOM + json.dumps(LINES).encode(),
    "Windows ends of lines": "\r\n".join(map(json.dumps, LINES)).encode(),
    "ends of lines in texts": "\n".join(
        json.dumps({**line, "question": f"a\u2028b\u2029c\u0085d\x1ce {line['question']}"}, ensure_ascii=False)
        for line in LINES
    ).encode(),
}


@pytest.mark.parametrize("content", READABLE.values(), ids=READABLE)
def test_json_is_read_as_it_is_meant(content, convert, tmp_path) -> None:
    (tmp_path / "source" / "train.jsonl").write_bytes(content)
    code, written, counted, _ = convert("text_math")
    assert code == 0 and answers(written) == ["1", "2"] and not counted["dropped"]


@pytest.mark.parametrize("bad", ["[" * 100_000, '{"question": ' + "9" * 5000 + "}", '{"a": "b"', '"\\ud800"'])
def test_a_line_that_cannot_be_parsed_is_counted(bad, convert, tmp_path) -> None:
    (tmp_path / "source" / "train.jsonl").write_text("\n".join([*map(json.dumps, LINES), bad]))
    code, written, counted, _ = convert("text_math")
    assert code == 0 and len(written) == 2
    assert sum(reason["count"] for reason in counted["dropped"].values()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image", {"bytes": b"\x89PNG", "path": None}),
        ("images", [{"bytes": b"\x89PNG", "path": None}]),
        ("decoded_image", {"bytes": b"\x89PNG", "path": None}),
        ("image", "images/1.png"),
        ("image_path", "1.png"),
        ("img", b"\x89PNG"),
        ("content", b"\x89PNG"),
        ("image_1", "1.png"),
    ],
)
def test_text_math_does_not_drop_images_without_a_word(name, value, convert, tmp_path) -> None:
    asked = {"question": "As shown in the figure, how long is it?", "answer": "3", name: value}
    store(tmp_path / "source" / "train.parquet", [asked] * 3)
    code, _, _, printed = convert("text_math")
    assert code == 2 and f"{name} is " in printed and "mmk12.py" in printed and "3 dropped" in printed


def test_text_math_takes_the_rows_without_images(convert, tmp_path) -> None:
    without = {"image": None, "images": [], "has_image": False, "image_path": " "}
    rows = [{"question": "1+1?", "answer": "2", **without}, {"question": "?", "answer": "2", "image": "a.png"}]
    (tmp_path / "source" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, written, counted, _ = convert("text_math")
    assert code == 0 and len(written) == 1 and counted["dropped"]["unread_image"]["count"] == 1
    assert counted["text_only"] == 1


@pytest.mark.parametrize(("name", "field"), [("mmk12", "image"), ("geo3k", "images")])
@pytest.mark.parametrize("empty", [None, "", []])
def test_a_question_about_an_image_needs_it(name, field, empty, convert, tmp_path, picture) -> None:
    uri = "data:image/png;base64," + base64.b64encode(picture(1)).decode()
    record = {"question": "How long?", "problem": "How long?", "answer": "3", field: uri}
    rows = [record, record | {field: empty}]
    (tmp_path / "source" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    code, written, counted, printed = convert(name)
    assert code == 0 and len(written) == 1 and counted["text_only"] == 0
    assert counted["dropped"]["missing_image"]["count"] == 1 and f"{field} is empty" in printed


def test_lists_written_as_text_are_read(convert, tmp_path, picture) -> None:
    """As a table of text columns (CSV, a spreadsheet) leaves them."""
    (tmp_path / "source" / "1.png").write_bytes(picture(1))
    record = {"question": "<image><image>?", "answer": "['3', 'three']", "image": "['1.png', '1.png']"}
    (tmp_path / "source" / "train.jsonl").write_text(json.dumps(record))
    code, written, _, _ = convert("virl39k", "--test_size", "0")
    assert code == 0 and answers(written) == ['["3", "three"]'] and len(written[0]["images"]) == 2


def test_no_long_value_is_printed_or_stored(convert, tmp_path, picture) -> None:
    text = base64.b64encode(picture(1, (200, 200))).decode()
    good = {"problem": "?", "answer": "3", "images": [f"data:image/png;base64,{text}"]}
    bad = [good | {"images": [text]}, good | {"answer": "{" * 5000}, good | {"images": ["x" * 5000]}, ["x" * 5000]]
    bad += [good | {"images": ["data:image/png;base64," + "%" * 5000]}, good | {"problem": {"a": text}}]
    (tmp_path / "source" / "train.jsonl").write_text("\n".join(map(json.dumps, [good, *bad])))
    code, written, counted, printed = convert("geo3k")
    assert code == 0 and len(written) == 1 and sum(each["count"] for each in counted["dropped"].values()) == len(bad)
    assert "looks like base64" in printed
    longest = max(max(map(len, line.split())) for line in (printed + json.dumps(counted)).splitlines() if line.split())
    assert longest <= 200, "no value longer than 80 characters, and paths of files"
    code, _, _, printed = convert("geo3k", "--strict")
    assert code == 1 and len(printed) < 400
