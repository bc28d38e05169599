"""Bad files end in one clear line before a run starts: names, columns, lists, sizes, and prompts that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from PIL import Image
from user_rows import FEATURES, encoded, message, picture, row, text_row, truth, write

from spark_verl.data import check, samples
from spark_verl.data.check import check_data, check_file, check_images, data_files


def test_text_only_data_need_no_images_column(tmp_path) -> None:
    assert check_file(write(tmp_path, [row(prompt=message("3 + 4?"))] * 3, drop=["images"])).most_pixels == 0


@pytest.mark.parametrize(("key", "fits"), [("messages", True), ("prompt", False)])
def test_the_prompt_has_the_name_that_the_config_gives(tmp_path, key, fits) -> None:
    named = {("messages" if name == "prompt" else name): value for name, value in row().items()}
    path = write(tmp_path, [named])
    if fits:
        assert check_file(path, prompt_key=key).rows == 1
        return
    with pytest.raises(ValueError, match=r"no column 'prompt' \(data.prompt_key\).*messages"):
        check_file(path, prompt_key=key)


def test_a_missing_column_is_named_with_what_there_is(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"no column 'reward_model'.*data_source"):
        check_file(write(tmp_path, [row()], drop=["reward_model"]))


def test_files_that_are_none(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing.parquet"):
        check_file(tmp_path / "nothing.parquet")
    (tmp_path / "bad.parquet").write_text("hello")
    with pytest.raises(ValueError, match="no parquet file"):
        check_file(tmp_path / "bad.parquet")
    (tmp_path / "bad.jsonl").write_text("hello")
    with pytest.raises(ValueError, match="bad.jsonl: verl cannot read it"):
        check_file(tmp_path / "bad.jsonl")
    path = tmp_path / "empty.parquet"
    pq.write_table(pa.Table.from_pylist([row()]).slice(0, 0), path)
    (tmp_path / "blank.jsonl").write_text(" \n\n")
    for empty in (path, tmp_path / "blank.jsonl"):
        with pytest.raises(ValueError, match="no rows"):
            check_file(empty)


def test_json_files_are_looked_at(tmp_path) -> None:
    path = tmp_path / "train.jsonl"
    rows = [row(prompt=message("3 + 4?"), images=[]), row(prompt=message("<image>?"), images=[])]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match="row 1: prompt: 1 <image>"):
        check_file(path)


@pytest.mark.parametrize(("rows", "looked_at"), [(3, 3), (-1, 10), (100, 10)])
def test_rows_are_sampled_evenly(tmp_path, rows, looked_at, monkeypatch) -> None:
    monkeypatch.setattr(samples, "CHUNK_ROWS", 4)
    assert check_file(write(tmp_path, [row() for _ in range(10)]), rows=rows).rows == looked_at


@pytest.mark.parametrize(("bad", "seen"), [(0, True), (3, True), (6, True), (1, False), (9, False)])
def test_only_sampled_rows_are_looked_at(tmp_path, bad, seen) -> None:
    path = write(tmp_path, [row(images=[]) if number == bad else row() for number in range(10)])
    if not seen:
        check_file(path, rows=3)
        return
    with pytest.raises(ValueError, match=f"row {bad}: prompt: 1 <image> in the prompt"):
        check_file(path, rows=3)


def test_the_users_cache_is_left_alone(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    check_file(write(tmp_path, [row()]))
    assert not (tmp_path / "cache").exists()
    assert "dataset len" not in capsys.readouterr().out


def test_a_row_group_that_arrow_cannot_hold(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(samples, "GROUP_BYTES", 1000)
    noise = encoded(Image.effect_noise((40, 40), 80))
    path = write(tmp_path, [row(images=[{"bytes": noise, "path": None}])] * 2)
    with pytest.raises(ValueError, match="row group 0 holds .* GiB of images.*row_group_size"):
        check_file(path)


@pytest.mark.parametrize(("limit", "filtered", "fits"), [(201, False, True), (200, False, False), (200, True, True)])
def test_images_leave_room_for_the_question(limit, filtered, fits) -> None:
    """156,800 pixels are 200 tokens of 28 x 28 pixels."""
    config = OmegaConf.create({"data": {"max_prompt_length": limit, "filter_overlong_prompts": filtered}})
    if fits:
        check_images(config, 156_800)
    else:
        with pytest.raises(ValueError, match="images of 156,800 pixels, which are 200 tokens"):
            check_images(config, 156_800)


# -- a whole config ----------------------------------------------------------------------------------------------------


def config_of(train: Any, val: Any = None, **data: Any) -> Any:
    keys = {f"{kind}_key": f"{kind}s" for kind in ("image", "video", "audio")}
    options = {
        "max_prompt_length": 512,
        "filter_overlong_prompts": False,
        "train_batch_size": 2,
        "prompt_key": "prompt",
    }
    files = {"train_files": train, "val_files": train if val is None else val}
    return OmegaConf.create(
        {"data": keys | options | files | data, "actor_rollout_ref": {"model": {"path": "no/model"}}}
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "data.train_files names no file"),
        (None, "data.train_files names no file"),
        ("{}", "is a folder: name its files.*train.parquet"),
        ("{}/*.parquet", "is a pattern, which verl does not expand"),
        ("{}/no.parquet", "no.parquet does not exist"),
        (["{}/train.parquet", "{}/no.parquet"], "no.parquet does not exist"),
        ("{}/train.csv", r"train.csv: verl reads .parquet, .json, .jsonl"),
        ("{}/train.parquet.gz", r"train.parquet.gz: verl reads .parquet"),
    ],
)
def test_lists_of_files(tmp_path, files, words) -> None:
    write(tmp_path, [row()])
    for name in ("train.csv", "train.parquet.gz"):
        (tmp_path / name).write_text("a")
    named = [file.format(tmp_path) for file in files] if isinstance(files, list) else files and files.format(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        data_files(config_of(named, val=[]), "train_files")
    assert str(caught.value).startswith("data.train_files")


def test_files_elsewhere_are_not_looked_for() -> None:
    assert data_files(config_of(["hdfs://x/a.parquet"]), "train_files") == ["hdfs://x/a.parquet"]
    check_data(config_of("hdfs://x/a.parquet"), 10)


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (10, {"train_batch_size": 64}, "have 10 rows for training, fewer than data.train_batch_size=64"),
        (10, {"train_max_samples": 1}, "have 1 rows for training"),
        (10, {"gen_batch_size": 16}, "fewer than data.gen_batch_size=16"),
        (10, {"train_batch_size": 10}, None),
        (10, {"train_batch_size": 64, "gen_batch_size": 5}, None),
    ],
)
def test_rows_fill_a_batch(tmp_path, rows, options, words) -> None:
    config = config_of(write(tmp_path, [row()] * rows), **options)
    if words is None:
        check_data(config, 5)
        return
    with pytest.raises(ValueError, match=words):
        check_data(config, 5)


def test_files_of_a_list_have_the_same_types(tmp_path) -> None:
    first = write(tmp_path, [row()] * 3)
    second = write(tmp_path, [row(**truth(7))] * 3, name="second")
    with pytest.raises(ValueError, match=f"{second}: reward_model.ground_truth is int64, but string in {first}"):
        check_data(config_of([first, second]), 5)
    check_data(config_of(first, val=second), 5)
    # A column that is null in one file, or not there, is filled, and the next file says of what type it is.
    unsaid = write(tmp_path, [row(note=None)], name="unsaid")
    third, fourth = (write(tmp_path, [row(note=note)], name=f"{note}") for note in ("text", 4))
    with pytest.raises(ValueError, match=f"{fourth}: note is int64, but string in {third}"):
        check_data(config_of([unsaid, third, fourth]), 5)
    check_data(config_of([first, write(tmp_path, [text_row()], drop=["images"], name="third")]), 5)


def test_images_and_structs_are_not_the_same(tmp_path) -> None:
    """They look alike in Arrow; ``datasets`` knows by the file's metadata which is an image."""
    rows = [row(images=[{"bytes": picture(), "path": "a.png"}])] * 3
    first, second = write(tmp_path, rows), write(tmp_path, rows, name="second", features=FEATURES)
    with pytest.raises(ValueError, match=r"second.parquet: images is List\(Image"):
        check_data(config_of([first, second]), 5)


# Types of a column that verl does not read, and what becomes of the file
TYPES = [
    (pa.array(["a"]).dictionary_encode(), None),
    (pa.array(["a"], pa.large_string()), None),
    (pa.array(["a"], pa.string_view()), None),
    (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "row 0: verl cannot read the file: .*map<string"),
    (pa.array([1], pa.duration("ns")), None),
    (pa.array([2**62], pa.timestamp("us")), "row 0: .*date"),
]


@pytest.mark.parametrize(("column", "words"), TYPES, ids=lambda value: str(getattr(value, "type", ""))[:20])
def test_types_of_arrow(tmp_path, column, words) -> None:
    for name in ("one", "two"):
        pq.write_table(pa.Table.from_pylist([text_row()]).append_column("x", column), tmp_path / f"{name}.parquet")
    config = config_of([f"{tmp_path}/one.parquet", f"{tmp_path}/two.parquet"])
    if words is None:
        check_data(config, 5)
        return
    with pytest.raises(ValueError, match=words):
        check_data(config, 5)


def test_a_column_that_is_there_twice(tmp_path) -> None:
    table = pa.Table.from_pylist([text_row()])
    pq.write_table(table.append_column("data_source", table["data_source"]), tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="it has the column data_source twice"):
        check_file(tmp_path / "train.parquet")


def test_a_custom_reward_function_has_truths_of_its_own(tmp_path) -> None:
    config = config_of(write(tmp_path, [row(**truth({"value": "7"}))] * 3))
    with pytest.raises(ValueError, match="means nothing"):
        check_data(config, 5)
    config.reward = {"custom_reward_function": {"path": "mine.py"}}
    check_data(config, 5)


def test_unlabelled_rows_are_counted_where_they_are_wanted(tmp_path) -> None:
    mixed = write(tmp_path, [row(), row(**truth(None))], name="mixed")
    labelled = write(tmp_path, [row(), row()], name="labelled")
    config = config_of(mixed, labelled)
    check_data(config, 5, unlabelled=True)
    # A validation row without a truth has nothing to be compared with.
    with pytest.raises(ValueError, match="row 1: reward_model.ground_truth: no answer is given"):
        check_data(config_of(labelled, mixed), 5, unlabelled=True)
    with pytest.raises(ValueError, match="row 1: reward_model.ground_truth: no answer is given"):
        check_data(config, 5)
    config = config_of(write(tmp_path, [row(), row(**truth("nan"))], name="nan"))
    with pytest.raises(ValueError, match="row 1: reward_model.ground_truth: an answer that means nothing"):
        check_data(config, 5, unlabelled=True)


# -- with the model's processor ----------------------------------------------------------------------------------------


@pytest.fixture
def with_model(monkeypatch, processor) -> None:
    """The digits model is the one at hand."""
    model = SimpleNamespace(tokenizer=processor.tokenizer, processor=processor)
    monkeypatch.setattr(check, "_load_model", lambda config: model)


def test_prompts_are_measured_by_the_models_own_processor(with_model, tmp_path) -> None:
    rows = [row(images=[{"bytes": picture(28 * 20, 28 * 10), "path": None}]), text_row(), text_row()]
    files = write(tmp_path, rows)
    check_data(config_of(files), 5)
    with pytest.raises(ValueError, match=r"row 0: prompt has 74 tokens, data.max_prompt_length is 70"):
        check_data(config_of(files, max_prompt_length=70), 5)
    filtered = {"max_prompt_length": 70, "filter_overlong_prompts": True}
    check_data(config_of(files, **filtered), 5)
    with pytest.raises(ValueError, match="have 2 rows for training, fewer than data.train_batch_size=3"):
        check_data(config_of(files, train_batch_size=3, **filtered), 5)
    with pytest.raises(ValueError, match="data.train_files: every one of the 2 prompts looked at is longer"):
        check_data(config_of(files, max_prompt_length=1, filter_overlong_prompts=True), 2)


def test_a_model_for_texts_gets_no_images(tmp_path, monkeypatch, processor) -> None:
    model = SimpleNamespace(tokenizer=processor.tokenizer, processor=None)
    monkeypatch.setattr(check, "_load_model", lambda config: model)
    check_data(config_of(write(tmp_path, [text_row()] * 2)), 5)
    with pytest.raises(ValueError, match="row 0: verl fails with AssertionError: processor is needed"):
        check_data(config_of(write(tmp_path, [row()] * 2)), 5)


def test_the_model_is_loaded_as_the_trainer_does(tmp_path, model_folder, monkeypatch, capsys) -> None:
    from hydra import compose, initialize_config_dir

    recipes = Path(__file__).resolve().parents[2] / "recipes"
    files = write(tmp_path, [row()] * 32)
    with initialize_config_dir(str(recipes), version_base=None):
        overrides = [f"data.train_files={files}", f"data.val_files=[{files}]", "data.max_prompt_length=4"]
        config = compose("quickstart", [*overrides, f"actor_rollout_ref.model.path={model_folder}"])
    config.data.filter_overlong_prompts = False
    with pytest.raises(ValueError, match="row 0: prompt has"):
        check_data(config, 2)
    for name, content, why in (
        ("config.json", "{}", "is not on this machine"),
        ("tokenizer_config.json", "{", "cannot be loaded: "),
    ):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / name).write_text(content)
        config.actor_rollout_ref.model.path = str(tmp_path / "model")
        check_data(config, 2)
        assert f"note: prompts are not measured, the tokenizer of {tmp_path}/model {why}" in capsys.readouterr().err
