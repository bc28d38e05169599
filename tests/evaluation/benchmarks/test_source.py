"""Where rows come from: every kind of file and folder, splits and configurations, the hub, clear errors, laziness."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import datasets
import pytest

from spark_verl.evaluation.benchmarks import load
from spark_verl.evaluation.benchmarks.source import SPLIT_COLUMN, Rows, Source, read

ROWS = [{"question": "1 + 1?", "answer": "2"}, {"question": "2 + 2?", "answer": "4"}]
TEST = Source("some/where")


def as_parquet(folder: Path) -> Path:
    datasets.Dataset.from_list(ROWS).to_parquet(folder / "data.parquet")
    return folder / "data.parquet"


def as_json(folder: Path) -> Path:
    (folder / "data.json").write_text(json.dumps(ROWS))
    return folder / "data.json"


def as_jsonl(folder: Path) -> Path:
    (folder / "data.jsonl").write_text("\n\n".join(map(json.dumps, ROWS)) + "\n")
    return folder / "data.jsonl"


def as_saved_split(folder: Path) -> Path:
    datasets.Dataset.from_list(ROWS).save_to_disk(folder / "saved")
    return folder / "saved"


def as_saved_splits(folder: Path) -> Path:
    other = datasets.Dataset.from_list([{"question": "train", "answer": "no"}])
    both = datasets.DatasetDict({"test": datasets.Dataset.from_list(ROWS), "train": other})
    both.save_to_disk(folder / "saved")
    return folder / "saved"


def as_hub_copy(folder: Path) -> Path:
    (folder / "data").mkdir()
    datasets.Dataset.from_list(ROWS).to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    datasets.Dataset.from_list([{"question": "t", "answer": "no"}]).to_parquet(folder / "data" / "train-0.parquet")
    return folder


def as_jsonl_folder(folder: Path) -> Path:
    (folder / "test.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return folder


@pytest.mark.parametrize(
    "write", [as_parquet, as_json, as_jsonl, as_saved_split, as_saved_splits, as_hub_copy, as_jsonl_folder]
)
def test_every_local_form_gives_the_same_rows(tmp_path: Path, write) -> None:
    path = write(tmp_path)
    for given in (path, str(path)):
        rows = read(TEST, given)
        assert [rows[i] for i in range(len(rows))] == ROWS
        assert rows.columns == ["question", "answer"]
        assert rows.column("answer") == ["2", "4"]


def test_mapping_of_rows_gets_its_keys_as_ids(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"v1_0": ROWS[0], "v1_1": ROWS[1]}))
    assert read(TEST, tmp_path / "a.json").column("id") == ["v1_0", "v1_1"]


def test_columns_of_json_rows_are_those_of_any_row() -> None:
    assert Rows([{"a": 1}, {"b": 2, "a": 3}], "here").columns == ["a", "b"]


def test_json_may_mix_types_in_a_column(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"answer": 4}, {"answer": "4 cm"}]')
    assert read(TEST, tmp_path / "a.json").column("answer") == [4, "4 cm"]


README = """---
configs:
- config_name: main
  data_files: [{split: test, path: main/test.parquet}]
- config_name: other
  data_files: [{split: test, path: other/test.parquet}]
---
"""


def two_configurations(folder: Path) -> Path:
    (folder / "README.md").write_text(README)
    for name, rows in (("main", ROWS), ("other", [{"question": "o", "answer": "o"}])):
        (folder / name).mkdir()
        datasets.Dataset.from_list(rows).to_parquet(folder / name / "test.parquet")
    return folder


def test_the_configuration_is_chosen(tmp_path: Path) -> None:
    folder = two_configurations(tmp_path)
    assert read(Source("x", config="main"), folder).column("answer") == ["2", "4"]
    with pytest.raises(ValueError, match=r"no configuration 'third', only \['main', 'other'\]"):
        read(Source("x", config="third"), folder)


def test_several_splits_are_joined_and_named(tmp_path: Path) -> None:
    splits = datasets.DatasetDict({f"v{i}": datasets.Dataset.from_list([{"n": i}]) for i in (1, 2, 3)})
    splits.save_to_disk(tmp_path / "d")
    rows = read(Source("x", splits=("v3", "v1")), tmp_path / "d")
    assert [rows[i] for i in range(2)] == [{"n": 3, SPLIT_COLUMN: "v3"}, {"n": 1, SPLIT_COLUMN: "v1"}]


def test_an_only_split_stands_in_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(read(Source("x", splits=("testmini",)), as_saved_split(tmp_path))) == 2
    assert "no split 'testmini': reading its only split 'train'" in caplog.text


def test_named_files_of_a_folder_come_first_and_are_joined(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(ROWS[:1]))
    (tmp_path / "two.json").write_text(json.dumps(ROWS[1:]))
    (tmp_path / "three.json").write_text("[]")
    rows = read(Source("x", files=("one.json", "two.json")), tmp_path)
    assert rows.column("answer") == ["2", "4"] and rows.folder == tmp_path


def write_text(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda f: f / "nothing",
            FileNotFoundError,
            r"nothing does not exist: give a file or a folder \(--benchmark NAME=PATH\)",
        ),
        (lambda f: write_text(f, "a.csv", "a,b"), ValueError, r"a\.csv has an unknown format: give a \.parquet"),
        (lambda f: write_text(f, "a.json", '["x"]'), ValueError, "must hold a list of rows or a mapping"),
        (lambda f: write_text(f, "a.json", '{"x": 1}'), ValueError, "must hold a list of rows or a mapping"),
        (as_saved_splits, ValueError, r"has no split 'testmini', only \['test', 'train'\]"),
    ],
    ids=["no path", "format", "no rows", "no rows in mapping", "split"],
)
def test_what_cannot_be_read_says_what_to_change(tmp_path: Path, make, error, message: str) -> None:
    with pytest.raises(error, match=message):
        read(Source("x", splits=("testmini",)), make(tmp_path))


def test_the_hub_is_read_by_id_configuration_and_split(tmp_path: Path) -> None:
    # load_dataset takes a folder wherever it takes a hub id
    rows = read(Source(str(two_configurations(tmp_path)), config="main"))
    assert rows.column("answer") == ["2", "4"] and rows.where == str(tmp_path)


@pytest.mark.parametrize(
    "source",
    [Source("nobody/no-such-set"), Source("nobody/no-such-set", splits=(), files=("a.json",))],
    ids=["splits", "files"],
)
def test_without_the_hub_the_error_says_how_to_go_on(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match=r"cannot read nobody/no-such-set from the hub .*download it and give its folder"):
        read(source)


def test_benchmarks_without_a_hub_copy_ask_for_a_path() -> None:
    with pytest.raises(ValueError, match="no copy on the hub: give its file or folder"):
        load("digits")


def test_rows_are_converted_only_when_asked_for(tmp_path: Path) -> None:
    good = {"dataset": "d", "problem": "p", "answer": 1, "image_path": None}
    (tmp_path / "a.json").write_text(json.dumps([good, good, {**good, "image_path": "gone.png"}]))
    benchmark = load("spark_data", tmp_path / "a.json")
    questions = iter(benchmark.questions)
    assert [next(questions).id, next(questions).id] == ["0", "1"]
    with pytest.raises(FileNotFoundError, match=r"gone\.png does not exist"):
        next(questions)


def test_a_row_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    full = {"dataset": "d", "problem": "p", "answer": 1, "image_path": None}
    (tmp_path / "a.json").write_text(json.dumps([full, {"dataset": "d", "problem": "p", "image_path": None}]))
    with pytest.raises(ValueError, match=r"spark_data: row 1 of .*a\.json: no 'answer', only"):
        list(load("spark_data", tmp_path / "a.json").questions)


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_texts_may_hold_what_python_takes_for_the_end_of_a_line(
    tmp_path: Path, name: str, mark: bytes, end: str
) -> None:
    rows = [{"question": "one\u2028\u2029\u0085two", "answer": "ü"}, {"question": "\u2028", "answer": "4"}]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    text = end.join([*lines, ""]) if name != "a.json" else f"[{f',{end}'.join(lines)}]"
    (tmp_path / name).write_bytes(mark + text.encode())
    assert list(read(TEST, tmp_path / name).table) == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', r"a\.jsonl, line 3, column 7: Expecting value"),
        ("a.jsonl", b'{"a": 1} {"a": 2}\n', r"a\.jsonl, line 1, column 10: Extra data"),
        ("a.jsonl", b"[1]\n", "must hold a list of rows"),
        ("a.json", b'[{"a": 1},\n {"a": 2\n]', r"a\.json, line 3, column 1: Expecting ',' delimiter"),
        ("a.json", b"", r"a\.json, line 1, column 1: Expecting value"),
        ("a.json", b"[" * 100_000, r"a\.json, line 1: .*recursion"),
        ("a.json", b"[" + b"1" * 5000 + b"]", r"a\.json, line 1: .*limit"),
        ("a.jsonl", b'{"a": "\xff"}\n', r"a\.jsonl is not text in UTF-8: .*0xff"),
        ("a.json", '[{"a": 1}]'.encode("utf-16"), r"a\.json is not text in UTF-8"),
        ("a.parquet", b"no parquet", r"a\.parquet is no parquet file"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_file_and_line(tmp_path: Path, name, content, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read(TEST, tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"question": [], "answer": []}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet has no rows"):
        read(TEST, tmp_path / "a.parquet")


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing here")
    with pytest.raises((ValueError, OSError), match=tmp_path.name) as error:
        read(TEST, tmp_path)
    assert "\n" not in str(error.value)
