"""Bad data ends in one clear line before a run starts: columns, answers, placeholders, images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from PIL import Image

from spark_verl.data.check import check_file, check_images


def picture(width: int = 28, height: int = 28, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(buffer, kind)
    return buffer.getvalue()


def row(**changes: Any) -> dict[str, Any]:
    return {
        "data_source": "math",
        "prompt": [{"role": "user", "content": "<image>What is 3 + 4?"}],
        "images": [{"bytes": picture(), "path": None}],
        "reward_model": {"style": "rule", "ground_truth": "7"},
        "extra_info": {"index": 0},
        **changes,
    }


def write(folder: Path, rows: list[dict[str, Any]], drop: Sequence[str] = ()) -> str:
    table = pa.Table.from_pylist(rows)
    path = folder / "train.parquet"
    pq.write_table(table.drop_columns(list(drop)), path, row_group_size=2)
    return str(path)


def message(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"prompt": []}, "prompt must be a list of messages"),
        ({"prompt": message("  "), "images": []}, "no user message with text"),
        ({"prompt": message("no placeholder")}, r"0 <image> in the prompt, but 1 image"),
        ({"prompt": message("<image><image> two?")}, r"2 <image> in the prompt, but 1 image"),
        ({"images": []}, r"1 <image> in the prompt, but 0 image"),
        ({"reward_model": {"style": "rule", "ground_truth": " "}}, "ground_truth is missing or empty"),
        ({"reward_model": {"style": "rule", "ground_truth": None}}, "ground_truth is missing or empty"),
        ({"reward_model": {"style": "rule", "ground_truth": r"\boxed{}"}}, "ground_truth is missing or empty"),
        ({"images": [{"bytes": b"not an image", "path": None}]}, "image 0 cannot be read"),
        ({"images": [{"bytes": picture(200, 200)[:300], "path": None}]}, "image 0 cannot be read"),
        ({"images": [{"bytes": None, "path": "/nowhere/a.png"}]}, "file /nowhere/a.png does not exist"),
        ({"images": [{"bytes": None, "path": None}]}, "image 0 is empty"),
        ({"images": [{"bytes": picture(1, 1), "path": None}]}, "1x1 pixels: too small"),
        ({"images": [{"bytes": picture(2100, 10), "path": None}]}, "2100x10 pixels: the model takes sides"),
    ],
)
def test_a_bad_row_is_named(tmp_path, changes, reason) -> None:
    path = write(tmp_path, [row(), row(), row(**changes)])
    with pytest.raises(ValueError, match=reason) as caught:
        check_file(path)
    assert f"{path}, row 2" in str(caught.value)


def test_a_good_file_and_what_is_in_it(tmp_path) -> None:
    two = row(prompt=message("<image> or <image>?"), images=[{"bytes": picture(40, 30), "path": None}] * 2)
    large = row(images=[{"bytes": picture(60, 40), "path": None}])
    seen = check_file(write(tmp_path, [large, two, row(prompt=message("3 + 4?"), images=[])]))
    # 60 x 40 in one row, twice 40 x 30 in another: no row has more than 2,400 pixels.
    assert (seen.rows, seen.most_pixels) == (3, 2400)


def test_text_only_data_need_no_images_column(tmp_path) -> None:
    assert check_file(write(tmp_path, [row(prompt=message("3 + 4?"))] * 3, drop=["images"])).most_pixels == 0


def test_a_missing_column_is_named_with_what_there_is(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"no column 'reward_model'.*data_source"):
        check_file(write(tmp_path, [row()], drop=["reward_model"]))


def test_files_that_are_none(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing.parquet"):
        check_file(tmp_path / "nothing.parquet")
    (tmp_path / "bad.parquet").write_text("hello")
    with pytest.raises(ValueError, match="no parquet file"):
        check_file(tmp_path / "bad.parquet")
    with pytest.raises(ValueError, match="no rows"):
        check_file(_empty(tmp_path))


def _empty(folder: Path) -> str:
    path = folder / "empty.parquet"
    pq.write_table(pa.Table.from_pylist([row()]).slice(0, 0), path)
    return str(path)


@pytest.mark.parametrize(("rows", "looked_at"), [(3, 3), (-1, 10), (100, 10)])
def test_rows_are_sampled_evenly(tmp_path, rows, looked_at) -> None:
    assert check_file(write(tmp_path, [row() for _ in range(10)]), rows=rows).rows == looked_at


@pytest.mark.parametrize(("bad", "seen"), [(0, True), (3, True), (6, True), (1, False), (9, False)])
def test_only_sampled_rows_are_looked_at(tmp_path, bad, seen) -> None:
    path = write(tmp_path, [row(images=[]) if number == bad else row() for number in range(10)])
    if not seen:
        check_file(path, rows=3)
        return
    with pytest.raises(ValueError, match=f"row {bad}: 1 <image> in the prompt"):
        check_file(path, rows=3)


@pytest.mark.parametrize(("limit", "filtered", "fits"), [(201, False, True), (200, False, False), (200, True, True)])
def test_images_leave_room_for_the_question(limit, filtered, fits) -> None:
    """156,800 pixels are 200 tokens of 28 x 28 pixels."""
    config = OmegaConf.create({"data": {"max_prompt_length": limit, "filter_overlong_prompts": filtered}})
    if fits:
        check_images(config, 156_800)
    else:
        with pytest.raises(ValueError, match="images of 156,800 pixels, which are 200 tokens"):
            check_images(config, 156_800)
