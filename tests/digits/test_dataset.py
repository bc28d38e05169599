"""The parquet files: schema, balance, determinism, and verl's own data set class on top of them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import datasets
import pytest
from omegaconf import OmegaConf

from spark_verl.digits.dataset import judge_rows, policy_rows, write_files
from spark_verl.digits.demonstrations import TEMPLATES
from spark_verl.digits.questions import KINDS, pool
from spark_verl.digits.tokenizer import build_processor
from spark_verl.judge.templates import TemplateSet

SCRIPT = Path(__file__).parents[2] / "data_preprocess" / "handwritten_digits.py"


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return judge_rows(TemplateSet.load(TEMPLATES), seed=0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_files(tmp_path_factory.mktemp("digits"), train_size=60, test_size=20, seed=0)


@pytest.mark.parametrize(
    ("name", "size", "labels"),
    [
        ("pointwise", 200, ("Yes", "No")),
        ("pairwise", 200, ("A", "B")),
        ("reflection", 100, None),
        ("reflection_keep", 60, None),
    ],
)
def test_judge_set_is_balanced(rows: list[dict], name: str, size: int, labels: tuple[str, str] | None) -> None:
    mine = [row for row in rows if row["data_source"] == f"spark/{name}"]
    assert len(mine) == size
    assert set(Counter(row["extra_info"]["kind"] for row in mine).values()) == {size // len(KINDS)}
    assert set(Counter(row["extra_info"]["source"] for row in mine).values()) == {size // 2}
    if labels is None:
        return
    cells = defaultdict(Counter)
    for row in mine:
        habit = row["extra_info"]["habit"] if name == "pointwise" else ""
        cells[row["extra_info"]["kind"], row["extra_info"]["source"], habit][row["reward_model"]["ground_truth"]] += 1
    assert all(cell[labels[0]] == cell[labels[1]] > 0 for cell in cells.values())


def test_rows_are_held_out_and_numbered(rows: list[dict]) -> None:
    assert [row["extra_info"]["index"] for row in rows] == list(range(len(rows)))
    assert {tile for row in rows for tile in row["extra_info"]["tiles"]} <= set(pool("test"))
    train = policy_rows("train", 500, seed=0)
    assert not {tile for row in train for tile in row["extra_info"]["tiles"]} & set(pool("test"))
    assert set(Counter(row["extra_info"]["kind"] for row in train).values()) == {100}


def test_placeholders_match_images(rows: list[dict]) -> None:
    for row in rows + policy_rows("train", 50, seed=0):
        assert len(row["prompt"]) == 1
        assert row["prompt"][0]["content"].count("<image>") == len(row["images"])


@pytest.mark.parametrize("split", ["train", "test"])
def test_seed_decides_everything(split: str) -> None:
    assert policy_rows(split, 30, seed=1) == policy_rows(split, 30, seed=1)
    assert policy_rows(split, 30, seed=1) != policy_rows(split, 30, seed=2)


def test_judge_rows_depend_on_the_seed_only(rows: list[dict]) -> None:
    templates = TemplateSet.load(TEMPLATES)
    assert judge_rows(templates, seed=0) == rows
    assert judge_rows(templates, seed=1) != rows


def test_files_share_their_columns(files: dict[str, Path]) -> None:
    loaded = [datasets.Dataset.from_parquet(str(path)) for path in files.values()]
    assert len({str(part.features) for part in loaded}) == 1
    assert len(datasets.concatenate_datasets(loaded)) == sum(map(len, loaded))


def test_verl_reads_the_files(files: dict[str, Path]) -> None:
    from verl.utils.dataset.rl_dataset import RLHFDataset

    processor = build_processor(TemplateSet.load(TEMPLATES))
    config = OmegaConf.create({"max_prompt_length": 128, "filter_overlong_prompts_workers": None})
    dataset = RLHFDataset(list(map(str, files.values())), processor.tokenizer, config, processor)
    assert len(dataset) == 60 + 20 + 560, "verl filtered prompts: too long, or it could not process them"
    for index in (0, 1, 2, 3, 4, 100, len(dataset) - 1):
        row = dataset[index]
        content = row["raw_prompt"][0]["content"]
        images = [part["image"] for part in content if part["type"] == "image"]
        assert len(images) == KINDS[row["extra_info"]["kind"]].images
        assert all(image.size in ((112, 56), (56, 56)) for image in images)


def test_command_line(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--local_save_dir", str(tmp_path), "--train_size", "10"]
    subprocess.run([*command, "--test_size", "5"], check=True, capture_output=True)
    sizes = {path.stem: len(datasets.Dataset.from_parquet(str(path))) for path in tmp_path.glob("*.parquet")}
    assert sizes == {"train": 10, "test": 5, "judge_test": 560}
