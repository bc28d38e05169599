"""Every program on a small file in the true schema of its data set, and its output in verl's own data set class."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import datasets
import huggingface_hub
import pytest
from huggingface_hub.utils import filter_repo_objects
from omegaconf import OmegaConf
from PIL import Image
from small_data_sets import (
    write_geo3k,
    write_gsm8k,
    write_math,
    write_mmk12,
    write_simplerl_zoo,
    write_spark_data,
    write_virl39k,
)

from spark_verl.data.check import check_file
from spark_verl.data.prompts import INSTRUCTION
from spark_verl.reward import verify

CASES = [
    # program, writer, data source, rows of train and test, an answer that is right for every training row
    ("geo3k", write_geo3k, "hiyouga/geometry3k", (4, 4), None),
    ("mmk12", write_mmk12, "FanqingM/MMK12", (4, 4), "0.5"),
    ("spark_data", write_spark_data, "internlm/Spark-Data", (4, 3), "3"),
    ("virl39k", write_virl39k, "TIGER-Lab/ViRL39K", (6, 2), r"17^{\circ}"),
    ("text_math", write_simplerl_zoo, "hkust-nlp/SimpleRL-Zoo-Data", (4, 4), None),
    ("text_math", write_gsm8k, "openai/gsm8k", (4, 4), None),
    ("text_math", write_math, "DigitalLearningGmbH/MATH-lighteval", (3, 3), None),
]


@pytest.mark.parametrize(
    ("name", "write", "source", "sizes", "right"), CASES, ids=lambda value: getattr(value, "__name__", None)
)
def test_program(
    name, write, source, sizes, right, tmp_path, program, picture, rows, report, processor, capsys
) -> None:
    from verl.utils.dataset.rl_dataset import RLHFDataset

    options = write(tmp_path / "source", picture)
    out = tmp_path / "out"
    argv = ["--local_dataset_path", str(tmp_path / "source"), "--local_save_dir", str(out), *options]
    assert program(name).main(argv) == 0, capsys.readouterr().err
    assert "read  filtered  not drawn  dropped  written" in capsys.readouterr().out
    for split, size in zip(("train", "test"), sizes, strict=True):
        written = rows(out / f"{split}.parquet")
        assert [row["extra_info"]["index"] for row in written] == list(range(size)), report(out)
        for row in written:
            content = row["prompt"][-1]["content"]
            truth = row["reward_model"]["ground_truth"]
            assert row["data_source"].startswith(source) and row["extra_info"]["split"] == split
            assert content.endswith(f"\n{INSTRUCTION}") and content.count("boxed") == 1
            assert content.count("<image>") == len(row["images"])
            assert verify(rf"so it is \boxed{{{truth}}}", truth).correct
            assert not verify(r"\boxed{wrong}", truth).correct
            if right and split == "train":
                assert verify(rf"\boxed{{{right}}}", truth).correct
        assert check_file(out / f"{split}.parquet", rows=-1).rows == size

    files = [str(out / f"{split}.parquet") for split in ("train", "test")]
    config = OmegaConf.create({"max_prompt_length": 4096, "filter_overlong_prompts_workers": None})
    dataset = RLHFDataset(files, processor.tokenizer, config, processor)
    assert len(dataset) == sum(sizes), "verl filtered prompts: too long, or it could not process them"
    for index in range(len(dataset)):
        item = dataset[index]
        content = item["raw_prompt"][-1]["content"]
        shown = [part["image"] for part in content if part["type"] == "image"] if isinstance(content, list) else []
        stored = rows(files[0] if index < sizes[0] else files[1])[item["index"]]["images"]
        assert [image.size for image in shown] == [Image.open(io.BytesIO(image["bytes"])).size for image in stored]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Folders in place of hub repositories; fetching copies what the hub's own pattern matching selects."""
    repositories: dict[str, Path] = {}

    def snapshot_download(name: str, repo_type: str, allow_patterns: list[str]) -> str:
        assert repo_type == "dataset"
        source, target = repositories[name], tmp_path / "cache" / name
        paths = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
        for path in filter_repo_objects(paths, allow_patterns=allow_patterns):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / path, target / path)
        return str(target)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return repositories


# What else the repositories hold, and must not be fetched or joined
OTHERS = {
    "openai/gsm8k": ["socratic/train-00000-of-00001.parquet", "socratic/test-00000-of-00001.parquet"],
    "hkust-nlp/SimpleRL-Zoo-Data": ["simplelr_abel_level3to5/train.parquet", "simplelr_qwen_level1to4/train.parquet"],
    "hiyouga/geometry3k": ["data/validation-00000-of-00001.parquet"],
}


@pytest.mark.parametrize(
    ("name", "write", "source", "sizes"), [case[:4] for case in CASES if case[1] is not write_virl39k]
)
def test_fetched_from_the_hub(name, write, source, sizes, tmp_path, hub, program, picture, rows) -> None:
    hub[source] = tmp_path / "repository" / "files"
    hub[source].parent.mkdir()
    options = write(hub[source], picture)
    if write is write_math:  # the hub has it in a folder
        (hub[source] / "data").mkdir()
        for path in hub[source].glob("*.jsonl"):
            path.rename(hub[source] / "data" / path.name)
    for path in OTHERS.get(source, []):
        (hub[source] / path).parent.mkdir(exist_ok=True)
        (hub[source] / path).write_bytes(b"not to be read")
    assert program(name).main(["--local_save_dir", str(tmp_path / "out"), *options]) == 0
    written = [len(rows(tmp_path / "out" / f"{split}.parquet")) for split in ("train", "test")]
    assert tuple(written) == sizes


def test_images_come_with_the_hub_data(tmp_path, hub, program, picture, rows) -> None:
    """ViRL39K's own archive; and the same archive for Spark-Data, which has none."""
    virl, spark = tmp_path / "virl", tmp_path / "spark"
    hub["TIGER-Lab/ViRL39K"], hub["internlm/Spark-Data"] = virl, spark
    write_virl39k(virl, picture)
    write_spark_data(spark, picture)
    with zipfile.ZipFile(virl / "images.zip", "w") as archive:
        for path in (virl / "images").iterdir():
            archive.write(path, f"images/{path.name}")
        for n in range(4):
            archive.writestr(f"images/{n}.png", picture(n))
    shutil.rmtree(virl / "images")
    for name in ("virl39k", "spark_data"):
        assert program(name).main(["--local_save_dir", str(tmp_path / name), "--test_size", "0", "--strict"]) == 0
        assert sum(len(row["images"]) for row in rows(tmp_path / name / "train.parquet")) >= 4


@pytest.fixture
def converted(tmp_path, program, picture) -> Callable[..., Path]:
    """Write a data set, run its program on it, return the folder of the output."""

    def convert(name: str, write: Callable[..., list[str]]) -> Path:
        source, out = tmp_path / write.__name__, tmp_path / f"{write.__name__}_out"
        options = write(source, picture)
        assert program(name).main(["--local_dataset_path", str(source), "--local_save_dir", str(out), *options]) == 0
        return out

    return convert


def test_ground_truths_and_details(converted, rows) -> None:
    """What the right answers are and what is kept of each data set, spelled out."""
    expected = {
        write_mmk12: ("mmk12", {"id": "train-0", "kind": "math", "source": ""}, r"\frac{1}{2}"),
        write_virl39k: ("virl39k", {"source": "Processed", "pass_rate_32b": 0.5, "pass_rate_7b": None}, r"17^\circ"),
        write_gsm8k: ("text_math", {"pass_rate_32b": None, "choices": []}, "2"),
        write_math: ("text_math", {"kind": "Algebra"}, r"\frac{1}{2}"),
        write_geo3k: ("geo3k", {"kind": "geometry", "id": "2401", "choices": []}, r"1 \sqrt { 221 }"),
    }
    folders = {write: converted(name, write) for write, (name, _, _) in expected.items()}
    for write, (_, extra, truth) in expected.items():
        first = rows(folders[write] / "train.parquet")[0]
        assert first["reward_model"] == {"style": "rule", "ground_truth": truth}
        assert extra.items() <= first["extra_info"].items()
    multiple_choice = rows(folders[write_mmk12] / "test.parquet")[0]
    assert multiple_choice["extra_info"]["choices"] == ["oxygen", "helium", "argon", "neon"]
    assert verify(r"\boxed{argon}", "C", choices=multiple_choice["extra_info"]["choices"]).correct


def test_spark_data_reads_messages(tmp_path, program, picture, rows) -> None:
    """Placeholders in the text say where images belong, else the parts do; a record's own pixel limit counts."""
    image = {"type": "image", "image": "file:///their/disk/images/a.png"}
    cases = [
        ([image, {"type": "text", "text": "How many?"}], "<image>How many?"),
        ([{"type": "text", "text": "In "}, image, {"type": "text", "text": ", how many?"}], "In <image>, how many?"),
        ([image, {"type": "text", "text": "In <image> how many?"}], "In <image> how many?"),
        ([image | {"max_pixels": 4000}, {"type": "text", "text": "Small?"}], "<image>Small?"),
        ("Without one?", "Without one?"),
    ]
    records = [{"message": json.dumps([{"role": "user", "content": content}]), "answer": 3} for content, _ in cases]
    system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hm?"}]
    records.append({"message": json.dumps(system), "answer": "3"})
    source = tmp_path / "infer_data_ViRL_19k_h.json"
    source.write_text(json.dumps(records))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(picture(1, (100, 80)))
    argv = ["--local_dataset_path", str(source), "--local_save_dir", str(tmp_path / "out"), "--test_size", "0"]
    assert program("spark_data").main(argv) == 0
    written = rows(tmp_path / "out" / "train.parquet")
    assert [row["prompt"][-1]["content"] for row in written[:5]] == [f"{text}\n{INSTRUCTION}" for _, text in cases]
    assert [message["role"] for message in written[5]["prompt"]] == ["system", "user"]
    width, height = Image.open(io.BytesIO(written[3]["images"][0]["bytes"])).size
    assert 3136 < width * height <= 4000


def test_files_can_be_concatenated(converted, data_folder) -> None:
    """With each other and with the digits task's: verl joins the files of a list."""
    cases = (("geo3k", write_geo3k), ("text_math", write_gsm8k), ("virl39k", write_virl39k))
    paths = [data_folder / "test.parquet", *(converted(*case) / "train.parquet" for case in cases)]
    parts = [datasets.Dataset.from_parquet(str(path)) for path in paths]
    assert len({str(part.features) for part in parts[1:]}) == 1
    joined = datasets.concatenate_datasets(parts)
    assert len(joined) == sum(map(len, parts)) and joined[-1]["reward_model"]["ground_truth"] == r"17^\circ"
