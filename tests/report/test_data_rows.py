"""Which image belongs to a sample: said only where it is certain."""

from __future__ import annotations

import base64
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spark_verl.report.data_rows import LARGEST_SIDE, DataRows, images, user_text
from spark_verl.runs.config import RunConfig


def picture(size=(12, 8), kind="PNG", shade=0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


def row(question: str, truth: str, index: int, image: bytes = b"", **more) -> dict:
    return {
        "data_source": "task",
        "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}],
        "images": [{"bytes": image, "path": None}],
        "reward_model": {"ground_truth": truth},
        "extra_info": {"index": index},
    } | more


@pytest.fixture
def data(tmp_path):
    def make(rows: list[dict], second: list[dict] | None = None) -> DataRows:
        files = []
        for name, part in (("a", rows), ("b", second)):
            if part:
                files.append(tmp_path / f"{name}.parquet")
                pq.write_table(pa.Table.from_pylist(part), files[-1], row_group_size=40)
        return DataRows({"train": files, "val": []}, [])

    return make


ROWS = [row("<image>How many?", "3", 0), row("<image>How  many?", "4", 1), row("Which\none?", "3", 2)]


@pytest.mark.parametrize(
    ("text", "truth", "index", "position", "why"),
    [
        ("user\nHow many?\nassistant\n", "3", None, 0, "question and answer"),
        ("system\nBe brief.\nuser\n How many?\nassistant\n", "4", None, 1, "after a system message"),
        ("user\nWhich one?\nassistant\n", "3", None, 2, "white space does not count"),
        ("user\nHow many?\nassistant\n", "5", None, None, "no row has this answer"),
        ("user\nWhat?\nassistant\n", "3", None, None, "no row has this question"),
        ("user\nHow many? It was 7.\nassistant\n", "9", 1, 1, "the index goes before the text"),
        ("user\nHow many?\nassistant\n", "3", 9, None, "no row has this index"),
        ("", "3", None, None, "nothing to go by"),
    ],
)
def test_the_row_of_a_sample(data, text, truth, index, position, why):
    ref = data(ROWS).row_of("train", text, truth, index)
    assert (None if ref is None else ref.position) == position, why


def test_an_index_in_two_files_needs_the_text(data):
    found = data(ROWS, [row("How many?", "3", 2), row("Another?", "3", 1)])
    ref = found.row_of("train", "user\nAnother?\nassistant\n", "3", 1)
    assert (ref.path.stem, ref.position) == ("b", 1)


def test_an_image_is_found_in_any_row_group(data):
    rows = [row("How many?", str(i), i, picture(shade=i)) for i in range(100)]
    found = data(rows)
    for position in (0, 31, 32, 39, 40, 79, 80, 99):
        (uri,) = images(found.row_of("train", "", "", position))
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            assert image.getpixel((0, 0))[0] == position


@pytest.mark.parametrize(
    ("content", "count", "why"),
    [
        (picture(), 1, "an image"),
        (picture((3000, 2000), "JPEG"), 1, "a large one, made smaller"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            0,
            "nothing that is drawn by code",
        ),
        (b"GIF89a" + b"<script>", 0, "a broken one"),
        (b"", 0, "none"),
        (picture()[:40], 0, "a torn one"),
    ],
)
def test_only_pixels_get_through(data, content, count, why):
    found = data([row("How many?", "3", 0, content)])
    uris = images(found.row_of("train", "", "", 0))
    assert len(uris) == count, why
    for uri in uris:
        kind, _, coded = uri.partition(";base64,")
        assert kind in ("data:image/png", "data:image/webp")
        with Image.open(io.BytesIO(base64.b64decode(coded))) as image:
            assert max(image.size) <= LARGEST_SIDE


def test_data_without_images_or_index(data):
    bare = {name: ROWS[0][name] for name in ("data_source", "prompt", "reward_model")}
    found = data([bare])
    assert found.source_counts("train") == {"task": 1}
    ref = found.row_of("train", "user\nHow many?\nassistant\n", "3")
    assert ref.position == 0 and images(ref) == []


def test_two_rows_with_one_question_and_answer_cannot_be_told_apart(data):
    found = data([ROWS[0], ROWS[0] | {"extra_info": {"index": 5}}])
    assert found.row_of("train", "user\nHow many?\nassistant\n", "3") is None
    assert found.row_of("train", "user\nHow many?\nassistant\n", "3", 5).position == 1


def test_files_that_moved_with_the_run_are_found_and_others_named(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "data" / "train.parquet")
    config = RunConfig(
        values={"data.train_files": "/elsewhere/train.parquet", "data.val_files": ["/gone/test.parquet"]}
    )
    found = DataRows.find(tmp_path, config)
    assert found.files == {"train": [tmp_path / "data" / "train.parquet"], "val": []}
    assert found.absent == ["/gone/test.parquet"]


@given(st.text(max_size=60))
def test_the_user_turn_of_any_text_is_part_of_it(text):
    assert user_text(text) in text
    assert user_text(f"user\nq {text}.\nassistant\n").endswith(".") or "\nuser\n" in text


def test_an_images_path_that_is_not_there_gives_none(data):
    found = data([row("How many?", "3", 0) | {"images": [{"bytes": None, "path": "/no/such/file.png"}]}])
    assert images(found.row_of("train", "", "", 0)) == []
