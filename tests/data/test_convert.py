"""The loop: which records go where, what --seed fixes, what a run leaves behind, and how much memory it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spark_verl.data import convert
from spark_verl.data.writer import GROUP_ROWS, RowWriter

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(program, tmp_path, rows, report):
    """Run a program on a source; return the ids of each file's rows and the report."""

    def call(name: str, source: Path, *options: str, out: str = "out"):
        folder = tmp_path / out
        argv = ["--local_dataset_path", str(source), "--local_save_dir", str(folder), *options]
        assert program(name).main(argv) == 0
        ids = {path.stem: [row["extra_info"]["id"] for row in rows(path)] for path in folder.glob("*.parquet")}
        return ids, report(folder)

    return call


@pytest.fixture
def text_only(virl, record) -> Path:
    """200 questions of ViRL39K without images; every tenth has no answer."""
    changes = {"image": [], "question": "What is it?"}
    return virl([record(n, **changes, **({} if n % 10 else {"answer": ""})) for n in range(200)])


def numbers(ids: list[str]) -> list[int]:
    return [int(name.rpartition("-")[2]) for name in ids]


def test_subset_and_seed(text_only, run) -> None:
    first, counted = run("virl39k", text_only, "--subset", "60", "--test_size", "20", "--seed", "1")
    assert len(first["train"]) == 60 and len(first["test"]) == 20
    assert not set(first["train"]) & set(first["test"])
    for ids in first.values():
        assert len(set(ids)) == len(ids) and not any(number % 10 == 0 for number in numbers(ids))
        descents = sum(a > b for a, b in zip(numbers(ids), numbers(ids)[1:], strict=False))
        assert descents <= 2, "rows are in the order of the source but for one or two rounds of replacements"
    again, _ = run("virl39k", text_only, "--subset", "60", "--test_size", "20", "--seed", "1", out="again")
    other, _ = run("virl39k", text_only, "--subset", "60", "--test_size", "20", "--seed", "2", out="other")
    assert again == first and other["train"] != first["train"] and other["test"] != first["test"]
    train = counted["train"]
    dropped = train["dropped"]["empty_answer"]["count"]
    assert train["read"] == 200 == train["written"] + dropped + train["not_drawn"] and dropped > 0


def test_held_out_rows_do_not_depend_on_the_subset(text_only, run) -> None:
    """So that runs on different amounts of data are evaluated on the same questions."""
    small, _ = run("virl39k", text_only, "--subset", "20", "--test_size", "30")
    large, _ = run("virl39k", text_only, "--test_size", "30", out="large")
    assert small["test"] == large["test"] and set(small["train"]) < set(large["train"])
    assert len(large["train"]) + 30 == 180, "all that is usable is used"


def test_default_test_size_is_at_most_a_tenth(text_only, run) -> None:
    ids, _ = run("virl39k", text_only)
    assert len(ids["test"]) == 20 and len(ids["train"]) == 160
    ids, _ = run("virl39k", text_only, "--test_size", "0", out="all")
    assert ids.keys() == {"train"} and len(ids["train"]) == 180


def test_an_old_test_file_is_pointed_out(text_only, run, capsys) -> None:
    run("virl39k", text_only)
    assert "earlier run" not in capsys.readouterr().err
    run("virl39k", text_only, "--test_size", "0")
    assert "test.parquet is from an earlier run" in capsys.readouterr().err


def test_too_large_a_subset_is_said(text_only, run, capsys) -> None:
    ids, _ = run("virl39k", text_only, "--subset", "1000", "--test_size", "0")
    assert len(ids["train"]) == 180
    assert "train: only 180 of the 1,000 rows asked for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        # PassRate_32BTrained is 1 for even numbers and 0.5 for odd ones; PassRate_7BBase 0.25 for multiples of four,
        # 1 for the other even ones, and unknown for odd ones.
        (["--difficulty", "hard"], lambda n: n % 2 or n % 4 == 0),
        (["--pass_rate_32b", "0.4", "0.9"], lambda n: n % 2),
        (["--pass_rate_32b", "1", "1"], lambda n: n % 2 == 0),
        (["--pass_rate_32b", "1", "1", "--difficulty", "hard"], lambda n: n % 4 == 0),
        (["--difficulty", "all"], lambda n: True),
    ],
)
def test_difficulty(options, kept, text_only, run) -> None:
    ids, counted = run("virl39k", text_only, "--test_size", "0", *options)
    assert numbers(ids["train"]) == [n for n in range(200) if n % 10 and kept(n)]
    assert counted["train"]["filtered"] == sum(not kept(n) for n in range(200))


def test_difficulty_needs_its_columns(tmp_path, program, capsys) -> None:
    record = {"question": "1+1?", "answer": r"\boxed{2}", "image": []}
    (tmp_path / "train.jsonl").write_text(json.dumps(record))
    argv = ["--local_dataset_path", str(tmp_path), "--local_save_dir", str(tmp_path / "out"), "--difficulty", "hard"]
    assert program("virl39k").main(argv) == 2
    assert "no column 'PassRate_7BBase', 'PassRate_32BTrained'" in capsys.readouterr().err
    assert program("virl39k").main(argv[:4]) == 0, "without the filter they are not needed"


def test_bad_pass_rates(text_only, program, capsys, tmp_path) -> None:
    argv = ["--local_dataset_path", str(text_only), "--local_save_dir", str(tmp_path / "out")]
    assert program("virl39k").main([*argv, "--pass_rate_32b", "0.9", "0.1"]) == 2
    assert "--pass_rate_32b 0.9 0.1" in capsys.readouterr().err


def test_unusable_images_are_replaced(virl, record, picture, run) -> None:
    """A subset has as many rows as were asked for although half of the images are missing."""
    folder = virl([record(n) for n in range(60)])
    (folder / "images").mkdir()
    for n in range(0, 60, 2):
        (folder / "images" / f"Processed-{n}-0.png").write_bytes(picture(n))
    ids, counted = run("virl39k", folder, "--subset", "20", "--test_size", "5")
    assert len(ids["train"]) == 20 and len(ids["test"]) == 5
    assert all(number % 2 == 0 for split in ids.values() for number in numbers(split))
    assert not set(ids["train"]) & set(ids["test"])
    for entry in counted.values():
        assert entry["dropped"]["missing_image"]["count"] > 0
        assert entry["written"] + entry["dropped"]["missing_image"]["count"] + entry["not_drawn"] == 60


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_images_in_any_container(kind, virl, record, picture, pack, rows, tmp_path, run) -> None:
    images = pack({f"images/Processed-{n}-0.png": picture(n) for n in range(4)}, kind)
    folder = virl([record(n) for n in range(4)])
    run("virl39k", folder, "--test_size", "0", "--images", str(images))
    stored = [row["images"][0]["bytes"] for row in rows(tmp_path / "out" / "train.parquet")]
    assert stored == [picture(n) for n in range(4)]


def test_archive_beside_the_data_is_found(virl, record, picture, pack, run) -> None:
    """The data set as downloaded, nothing unpacked."""
    folder = virl([record(n) for n in range(4)])
    pack({f"images/Processed-{n}-0.png": picture(n) for n in range(4)}, "zip").rename(folder / "images.zip")
    assert len(run("virl39k", folder, "--test_size", "0")[0]["train"]) == 4


def test_several_files_are_read_in_order(tmp_path, run) -> None:
    for part in range(3):
        lines = [
            json.dumps({"problem": f"{part}.{n}?", "answer": str(n), "unique_id": f"{part}-{n}"}) for n in range(3)
        ]
        (tmp_path / f"train-{part:05d}-of-00003.jsonl").write_text("\n".join(lines))
    ids, _ = run("text_math", tmp_path)
    assert ids["train"] == [f"{part}-{n}" for part in range(3) for n in range(3)]


def test_row_groups(tmp_path) -> None:
    """Rows reach the disk a group at a time."""
    row = {
        "data_source": "x",
        "prompt": [{"role": "user", "content": "?"}],
        "images": [],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "1"},
        "extra_info": {"split": "train", "index": 0},
    }
    path = tmp_path / "train.parquet"
    with RowWriter(path) as writer:
        for _ in range(GROUP_ROWS + 1):
            writer.add(row)
        # 20 MB of image, more than a group's limit, ends the group at once
        writer.add(row | {"images": [{"bytes": bytes(20 << 20), "path": None}]})
        assert path.stat().st_size > 20 << 20
        writer.add(row)
    written = pq.ParquetFile(path)
    assert [written.metadata.row_group(i).num_rows for i in range(written.num_row_groups)] == [GROUP_ROWS, 2, 1]


def test_files_appear_when_all_are_complete(text_only, run, tmp_path, monkeypatch) -> None:
    """What a run that was killed left behind is removed, and none of it becomes a result."""
    left = tmp_path / "out" / ".partial" / "test.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half a file")
    seen = []
    write = convert.RowWriter.add
    monkeypatch.setattr(
        convert.RowWriter, "add", lambda *args: (seen.append(os.listdir(tmp_path / "out")), write(*args))
    )
    run("virl39k", text_only, "--test_size", "0")
    assert seen == [[".partial"]] * 180
    assert sorted(os.listdir(tmp_path / "out")) == ["report.json", "train.parquet"]


def test_command_line(tmp_path) -> None:
    """As a user runs it: a process of its own, from another folder, with a progress bar on a terminal only."""
    (tmp_path / "train.jsonl").write_text('{"question": "1+1?", "answer": "so\\n#### 2"}\n')
    command = [sys.executable, str(ROOT / "data_preprocess" / "text_math.py"), "--local_save_dir", "out"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*command, "--local_dataset_path", "train.jsonl"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.splitlines()[-1] == "train: out/train.parquet"
    assert (tmp_path / "out" / "train.parquet").is_file()


_MEASURE = """
import re, sys
sys.path.insert(0, {programs!r})
import virl39k
def peak():
    # Not ru_maxrss, which a child inherits from its parent.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
out = {out!r}
source = ["--local_dataset_path", {source!r}, "--test_size", "0"]
assert virl39k.main([*source, "--subset", "4", "--local_save_dir", out + "/few"]) == 0
before = peak()
assert virl39k.main([*source, "--local_save_dir", out + "/all"]) == 0
print("growth", peak() - before)
"""


def test_memory_does_not_grow_with_the_data(virl, record, picture, pack, tmp_path) -> None:
    """900 rows with 350 MB of images: what is held is a row group or two, see ``measure/preprocess_memory.py``."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (368, 368, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(noise).save(path, compress_level=0)
    content = path.read_bytes()
    folder = virl([record(n, image=["images/noise.png"]) for n in range(900)])
    pack({"images/noise.png": content}, "zip").rename(folder / "images.zip")
    code = _MEASURE.format(programs=str(ROOT / "data_preprocess"), out=str(tmp_path), source=str(folder))
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr
    total = 900 * len(content) / 2**20
    growth = float(done.stdout.splitlines()[-1].split()[1])
    assert total > 340 and growth < 200, f"{growth:.0f} MiB more for {total:.0f} MiB of images"


def test_unlabelled_rows_hide_their_truth(text_only, run, rows, tmp_path) -> None:
    shares = {"labelled": 0.0, "half": 0.5, "none": 1.0}
    truths = {}
    for name, share in shares.items():
        options = ["--unlabelled", str(share)] if share else []
        _, counted = run("virl39k", text_only, "--test_size", "20", *options, out=name)
        train = rows(tmp_path / name / "train.parquet")
        hidden = [row["reward_model"]["ground_truth"] is None for row in train]
        assert sum(hidden) / len(hidden) == pytest.approx(share, abs=0.15)
        assert counted["train"]["unlabelled"] == sum(hidden)
        assert all(row["extra_info"]["hidden_truth"] is None for row in train if row["reward_model"]["ground_truth"])
        truths[name] = {
            row["extra_info"]["id"]: row["reward_model"]["ground_truth"] or row["extra_info"]["hidden_truth"]
            for row in train
        }
        assert all(row["reward_model"]["ground_truth"] for row in rows(tmp_path / name / "test.parquet"))
    # A record without an answer is a row where none is needed.
    assert truths["labelled"].items() <= truths["half"].items() <= truths["none"].items()
