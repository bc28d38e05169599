"""A model's path is a folder that can be loaded or a hub id; everything else is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.checks.model import check_model

CONFIG = json.dumps({"model_type": "qwen2"})
INDEX = json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})

FOLDERS = {
    "empty": ({}, "is no model folder: it has no config.json"),
    "not JSON": ({"config.json": "{", "m.safetensors": ""}, "its config.json has no model_type"),
    "not an object": ({"config.json": "[]", "m.safetensors": ""}, "its config.json has no model_type"),
    "another config": ({"config.json": "{}", "m.safetensors": ""}, "its config.json has no model_type"),
    "no weights": ({"config.json": CONFIG}, "has no weights (*.safetensors)"),
    "half a download": (
        {"config.json": CONFIG, "one.safetensors": "", "model.safetensors.index.json": INDEX},
        "is not complete: two.safetensors, which model.safetensors.index.json names, is missing",
    ),
    "an adapter": ({"adapter_config.json": "{}", "adapter_model.safetensors": ""}, "is a LoRA adapter, not a model"),
    "a run": ({"global_step_5/actor/model_world_size_2_rank_0.pt": ""}, "is a checkpoint: bash run_scripts/merge"),
    "a checkpoint": ({"actor/model_world_size_2_rank_0.pt": ""}, "is a checkpoint: bash run_scripts/merge"),
    "its shards": (
        {"model_world_size_2_rank_0.pt": "", "huggingface/config.json": CONFIG},
        "is a checkpoint: bash run_scripts/merge",
    ),
    "one level too high": ({"merged/config.json": CONFIG, "merged/m.safetensors": ""}, "did you mean merged in it?"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The current directory, with a complete model in ``outputs/model``."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "outputs" / "model", {"config.json": CONFIG, "model.safetensors": ""})
    return tmp_path


def write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def refused(model: str | None, **options: bool) -> str:
    with pytest.raises(ValueError) as caught:
        check_model(model, "--model", **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("--model")
    return message


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_that_is_no_model_says_what_it_is(folder, kind):
    files, message = FOLDERS[kind]
    write(folder / "m", files)
    assert message.format(folder=folder / "m") in refused(str(folder / "m"))


def test_part_of_a_checkpoint_has_no_weights(folder):
    write(folder / "actor", {"huggingface/config.json": CONFIG, "model_world_size_1_rank_0.pt": ""})
    assert "it is part of a checkpoint, and bash run_scripts/merge" in refused("actor/huggingface")


def test_a_model_is_given_back_as_it_is_loaded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert check_model("outputs/model") == "outputs/model"
    assert check_model("~/outputs/model") == f"{folder}/outputs/model"
    assert check_model("s3://bucket/model") == "s3://bucket/model"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "--model is not set"),
        ("", "--model is not set"),
        ("outputs/nothing", "outputs/nothing does not exist"),
        ("outputs/modle", "outputs/modle does not exist: did you mean model?"),
        ("./nothing", "./nothing does not exist"),
        ("/nowhere/model", "/nowhere/model does not exist"),
        ("a/b/c", "a/b/c does not exist"),
        ("outputs/model/config.json", "is a file: give the folder that it is in"),
        ("owner/na me", "is neither a folder here nor a hub id"),
        ("owner/name", "nor in the hub's cache, and HF_HUB_OFFLINE=1"),
        ("/" + "n" * 300, "n…n"),
    ],
)
def test_what_is_not_there_is_named(folder, monkeypatch, model, message):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert message in refused(model)


def test_a_hub_id_need_not_be_at_hand_for_another_machine(folder, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert check_model("owner/name", at_hand=False) == "owner/name"
    assert "does not exist" in refused("outputs/nothing", at_hand=False)


def test_a_hub_id_in_the_cache_is_at_hand(folder, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda model, file: f"/cache/{model}/{file}")
    assert check_model("owner/name") == "owner/name"


@given(st.text(max_size=200))
def test_no_text_is_a_traceback(text):
    try:
        check_model(text, at_hand=False)
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 400
