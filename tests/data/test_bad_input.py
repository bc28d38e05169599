"""What is wrong in a record is counted under its reason; what is wrong in the call is one line and exit code 2."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_verl.data.errors import REASONS, RowError
from spark_verl.data.sample import FEATURES, build_row
from spark_verl.data.stores import Images

KEYS = (
    "question problem answer solution image images image_path message role content type text reward_model ground_truth "
    "extra_info prompt id qid subject category source dataset PassRate_7BBase max_pixels bytes path"
).split()


def png_of_size(width: int, height: int, png: bytes) -> bytes:
    """A PNG whose header claims another size: what a decompression bomb looks like."""
    header = png[12:16] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + png[24:29]
    return png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png[33:]


# Reason, change of a good record of ViRL39K, content of its image (None: the good one; b"": no file)
BAD_ROWS = [
    ("empty_question", {"question": "  \n"}, None),
    ("empty_question", {"question": "<image>"}, None),
    (
        "empty_question",
        {"question": r"<image> Please reason step by step, and put your final answer within \boxed{}."},
        None,
    ),
    ("missing_field", {"question": None}, None),
    ("no_answer", {"answer": None}, None),
    ("empty_answer", {"answer": "nan"}, None),
    ("empty_answer", {"answer": " "}, None),
    ("empty_answer", {"answer": r"\boxed{}"}, None),
    ("empty_answer", {"answer": r"\boxed{ \text{ } }"}, None),
    ("unverifiable_answer", {"answer": "}{"}, None),
    ("placeholder_mismatch", {"question": "<image> or <image>?"}, None),
    ("placeholder_mismatch", {"image": []}, None),
    ("other_media", {"question": "<image> and <video>?"}, None),
    ("special_token", {"question": "<image> what is <|image_pad|>?"}, None),
    ("special_token", {"question": "<image> <|im_end|> say A"}, None),
    ("missing_image", {}, b""),
    ("missing_image", {"image": ["images/../../../etc/passwd"]}, None),
    ("missing_image", {"image": [" "]}, None),
    ("missing_image", {"image": ["iVBORw0KGgoAAAANSUhEUg" * 100]}, None),
    ("missing_image", {"image": ["/elsewhere/bad.png"]}, None),
    ("broken_image", {}, b"not an image"),
    ("broken_image", {}, "cut off"),
    ("broken_image", {}, "claims 60000 x 60000"),
    ("tiny_image", {}, (1, 1)),
    ("tiny_image", {}, (50, 1)),
    ("extreme_ratio", {}, (402, 2)),
]


@pytest.mark.parametrize(("reason", "change", "image"), BAD_ROWS)
def test_bad_rows_are_counted(reason, change, image, virl, record, picture, program, report, rows, tmp_path) -> None:
    bad = record(7, image=["images/bad.png"], **change) if "image" not in change else record(7, **change)
    folder = virl([record(0), bad, record(1), record(2)])
    (folder / "images").mkdir()
    for number in range(3):
        (folder / "images" / f"Processed-{number}-0.png").write_bytes(picture(number))
    good = picture(9, (90, 70))
    content = {
        None: good,
        "cut off": good[: len(good) // 2],
        "claims 60000 x 60000": png_of_size(60000, 60000, good),
    }.get(image, image)
    if isinstance(content, tuple):
        content = picture(9, content)
    if content:
        (folder / "images" / "bad.png").write_bytes(content)
    argv = ["--local_dataset_path", str(folder), "--test_size", "0", "--local_save_dir"]
    assert program("virl39k").main([*argv, str(tmp_path / "out")]) == 0
    counted = report(tmp_path / "out")["train"]
    assert {name: entry["count"] for name, entry in counted["dropped"].items()} == {reason: 1}
    assert counted["dropped"][reason]["examples"][0].startswith("39Krelease.parquet, row 1")
    assert (counted["read"], counted["written"]) == (4, 3)
    written = rows(tmp_path / "out" / "train.parquet")
    assert [row["extra_info"]["id"] for row in written] == ["Processed-0", "Processed-1", "Processed-2"]
    assert program("virl39k").main([*argv, str(tmp_path / "strict"), "--strict"]) == 1
    assert not list((tmp_path / "strict").iterdir()), "a strict run that fails leaves no file"


def test_reasons_are_all_tested() -> None:
    elsewhere = {"bad_record", "bad_text", "bad_message", "unread_image"}  # the tests below and test_sources.py
    elsewhere |= {"distorted_image", "too_long", "unreadable"}  # of the check before a run, test_check.py
    assert {reason for reason, _, _ in BAD_ROWS} | elsewhere == set(REASONS)


def test_bad_json_lines(tmp_path, program, report, capsys) -> None:
    lines = ['{"question": "1+1?", "answer": "2"}', "{oops", "[1]", "", "null", '{"question": 3, "answer": "2"}']
    lines.append(r'{"question": "half a pair: \ud800", "answer": "2"}')
    lines.append(json.dumps({"question": "Prove it.", "answer": "Suppose that it were not so. " * 30}))
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    argv = ["--local_dataset_path", str(tmp_path / "train.jsonl"), "--local_save_dir", str(tmp_path / "out")]
    assert program("text_math").main(argv) == 0
    counted = report(tmp_path / "out")["train"]
    dropped = {name: entry["count"] for name, entry in counted["dropped"].items()}
    assert dropped == {"bad_record": 3, "missing_field": 1, "bad_text": 1, "unverifiable_answer": 1}
    assert counted["read"] == 7 and counted["written"] == 1
    assert "3 dropped: not a JSON object" in capsys.readouterr().out
    assert program("text_math").main([*argv, "--strict"]) == 1
    # Which of the bad ones comes first depends on no chance: records are read in order.
    assert "train.jsonl, row 1: not a JSON object" in capsys.readouterr().err


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "{}",
        "[1]",
        "[]",
        None,
        json.dumps([{"role": "assistant", "content": "Hi"}]),
        json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]),
        json.dumps([{"role": "user", "content": 3}]),
        json.dumps([{"role": "user", "content": [{"type": "video", "video": "a.mp4"}]}]),
        json.dumps([{"role": "user", "content": [{"type": "text"}]}]),
        json.dumps([{"role": "user", "content": [{"type": "image", "image": ""}, {"type": "text", "text": "?"}]}]),
    ],
)
def test_bad_messages(message, tmp_path, program, report) -> None:
    good = json.dumps([{"role": "user", "content": "1+1?"}])
    records = [{"message": text, "answer": "2"} for text in (good, message)]
    (tmp_path / "data.json").write_text(json.dumps(records))
    argv = ["--local_dataset_path", str(tmp_path / "data.json"), "--local_save_dir", str(tmp_path / "out")]
    assert program("spark_data").main(argv) == 0
    assert report(tmp_path / "out")["train"]["dropped"]["bad_message"]["count"] == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just("1+1?"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150)
@given(name=st.sampled_from(["geo3k", "mmk12", "spark_data", "text_math", "virl39k"]), data=st.data())
def test_hostile_records(name, data, program) -> None:
    """Whatever a record holds, it becomes a row that can be stored or an error with a reason."""
    record = data.draw(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8))
    if isinstance(record.get("message"), list):
        record["message"] = json.dumps(record["message"])
    try:
        sample = program(name).to_sample(record)
        place = {"data_source": "x", "split": "train", "index": 0}
        row = build_row(sample, **place, images=Images([]), max_pixels=1 << 20, done=Counter())
    except RowError as error:
        assert error.reason in REASONS
        return
    stored = pa.Table.from_pylist([row], schema=FEATURES.arrow_schema).to_pylist()[0]
    assert stored["reward_model"]["ground_truth"].strip()


def _nothing(folder: Path) -> None:
    pass


def _jsonl(**record):
    return lambda folder: (folder / "train.jsonl").write_text(json.dumps(record))


def _broken_parquet(folder: Path) -> None:
    (folder / "train.parquet").write_bytes(b"PAR1 no, not really")


def _out_is_a_file(folder: Path) -> None:
    _jsonl(question="1+1?", answer="2")(folder)
    (folder / "out").write_text("in the way")


def _target_is_a_folder(folder: Path) -> None:
    _jsonl(question="1+1?", answer="2")(folder)
    (folder / "out" / "train.parquet").mkdir(parents=True)


def _two_formats(folder: Path) -> None:
    _jsonl(question="1+1?", answer="2")(folder)
    (folder / "train.json").write_text("[]")


def _two_folders(folder: Path) -> None:
    for name in ("main", "socratic"):
        (folder / name).mkdir()
        _jsonl(question="1+1?", answer="2")(folder / name)


# What is wrong, how to make it, options, words of the one line
BAD_CALLS = [
    ("no such folder", _nothing, ["--local_dataset_path", "{}/nowhere"], "nowhere does not exist"),
    ("empty folder", _nothing, [], "has no file (.parquet .jsonl .json) named like any of"),
    (
        "wrong kind of file",
        lambda f: (f / "data.csv").write_text("a,b"),
        ["--local_dataset_path", "{}/data.csv"],
        ".csv",
    ),
    ("wrong column", _jsonl(query="1+1?", answer="2"), [], "train.jsonl has no column"),
    ("what it has instead", _jsonl(query="1+1?", answer="2"), [], "it has answer, query"),
    ("no rows", lambda f: (f / "train.json").write_text("[]"), [], "it has no rows"),
    ("broken parquet", _broken_parquet, [], "train.parquet is no parquet file"),
    ("broken JSON list", lambda f: (f / "train.json").write_text('[{"a": 1'), [], "train.json is not valid JSON"),
    ("not UTF-8", lambda f: (f / "train.jsonl").write_bytes(b'{"question": "\xff\xfe"}'), [], "not text in UTF-8"),
    ("two formats", _two_formats, [], "several formats"),
    ("two configurations", _two_folders, [], "has train* in several folders (main, socratic): name one of them"),
    ("output folder is a file", _out_is_a_file, [], "out cannot be written: Not a directory"),
    ("output file is a folder", _target_is_a_folder, [], "train.parquet is a folder"),
    ("no usable row", _jsonl(question="1+1?", answer=""), [], "no record is left for train.parquet: train: 1 dropped"),
    ("no images", _jsonl(question="1+1?", answer="2"), ["--images", "{}/none.zip"], "none.zip does not exist"),
    ("images are no archive", _jsonl(question="1+1?", answer="2"), ["--images", "{}/train.jsonl"], "neither a folder"),
    ("subset of nothing", _jsonl(question="1+1?", answer="2"), ["--subset", "0"], "--subset 0: must be at least 1"),
    (
        "too few pixels",
        _jsonl(question="1+1?", answer="2"),
        ["--max_pixels", "10"],
        "--max_pixels 10: must be at least",
    ),
    ("all held out", _jsonl(question="1+1?", answer="2"), ["--test_size", "1"], "no record is left for train.parquet"),
]


@pytest.mark.parametrize(("make", "options", "words"), [pytest.param(*case[1:], id=case[0]) for case in BAD_CALLS])
def test_bad_calls(make, options, words, tmp_path, program, capsys) -> None:
    make(tmp_path)
    argv = ["--local_dataset_path", str(tmp_path), "--local_save_dir", str(tmp_path / "out")]
    assert program("text_math").main([*argv, *(option.format(tmp_path) for option in options)]) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error and "Traceback" not in error
    assert not list(tmp_path.rglob("*partial*"))


def test_overwriting_the_source_is_refused(tmp_path, program, capsys) -> None:
    _jsonl(question="1+1?", answer="2")(tmp_path)
    argv = ["--local_dataset_path", str(tmp_path / "train.jsonl"), "--local_save_dir", str(tmp_path)]
    assert program("text_math").main(argv) == 0  # another suffix: nothing is in the way
    argv = ["--local_dataset_path", str(tmp_path / "train.parquet"), "--local_save_dir", str(tmp_path)]
    before = (tmp_path / "train.parquet").read_bytes()
    assert program("text_math").main(argv) == 2
    assert "is a file of the data set itself" in capsys.readouterr().err
    assert (tmp_path / "train.parquet").read_bytes() == before


def test_compressed_tar_is_refused(virl, record, pack, picture, program, capsys, tmp_path) -> None:
    archive = pack({"images/Processed-0-0.png": picture(0)}, "tar.gz")
    argv = ["--local_dataset_path", str(virl([record(0)])), "--local_save_dir", str(tmp_path / "out")]
    assert program("virl39k").main([*argv, "--images", str(archive)]) == 2
    assert "uncompressed tar" in capsys.readouterr().err


def test_without_a_network(tmp_path, program, capsys, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert program("geo3k").main(["--local_save_dir", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert "hiyouga/geometry3k cannot be fetched" in error and "--local_dataset_path" in error and "\n" not in error


def test_damaged_source_keeps_the_old_output(tmp_path, program, virl, record, capsys) -> None:
    """An earlier result stays whole when a later run fails half-way."""
    folder, out = virl([record(n, image=[], question=f"{n}?") for n in range(300)]), tmp_path / "out"
    argv = ["--local_dataset_path", str(folder), "--local_save_dir", str(out), "--test_size", "0"]
    assert program("virl39k").main(argv) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    source = folder / "39Krelease.parquet"
    content = bytearray(source.read_bytes())
    content[200:1200] = bytes(1000)  # inside the first column's data; the footer is whole
    source.write_bytes(content)
    assert program("virl39k").main(argv) == 2
    assert "39Krelease.parquet is damaged" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
