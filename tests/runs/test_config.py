"""The difference between a run and its recipe, from what either kind of run folder has."""

from __future__ import annotations

import json

import pytest
import yaml

from spark_verl.runs.config import RunConfig, UnreadableFile, compare, flatten, load

RECIPE = """
hydra:
  searchpath: [pkg://verl.trainer.config]
defaults:
  - ppo_trainer
  - platform: gpu
  - _self_
data:
  train_batch_size: 64
  val_files: [a.parquet, b.parquet]
actor:
  lr: 5e-7
  note: price is $5 % of ${unknown.key}
trainer:
  total_training_steps: 40
  test_freq: ${trainer.total_training_steps}
  default_local_dir: outputs/${trainer.name}
  name: x
"""


@pytest.fixture
def hydra_run(tmp_path):
    """A run folder in which Hydra left its files, beside the recipe."""

    def make(overrides: list[str], config: str) -> object:
        (tmp_path / "recipes").mkdir()
        (tmp_path / "recipes" / "mine.yaml").write_text(RECIPE)
        folder = tmp_path / "run" / "hydra" / ".hydra"
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(config)
        (folder / "overrides.yaml").write_text(json.dumps(overrides))
        source = {"path": str(tmp_path / "recipes"), "schema": "file", "provider": "main"}
        about = {"hydra": {"job": {"config_name": "mine"}, "runtime": {"config_sources": [source]}}}
        (folder / "hydra.yaml").write_text(json.dumps(about))
        return load(tmp_path / "run")

    return make


UNCHANGED = RECIPE.partition("data:\n")[1] + RECIPE.partition("data:\n")[2]
RESOLVED = (
    UNCHANGED.replace("${trainer.total_training_steps}", "40")
    .replace("outputs/${trainer.name}", "outputs/x")
    .replace("5e-7", "0.0000005")
)


@pytest.mark.parametrize("config", [UNCHANGED, RESOLVED], ids=["as written", "resolved"])
def test_a_run_as_its_recipe_says_differs_in_nothing(hydra_run, config):
    run = hydra_run([], config)
    assert run.recipe_name == "mine" and run.recipe
    assert run.differences() == []


@pytest.mark.parametrize(
    ("override", "config", "expected"),
    [
        ("trainer.name=y", RESOLVED.replace("name: x", "name: y"), {"trainer.name": ("x", "y")}),
        ("data.train_batch_size=64", RESOLVED, {}),
        ("+new.key=1", RESOLVED + "new:\n  key: 1\n", {"new.key": ("not in the recipe", "1")}),
        ("platform=cpu", RESOLVED, {"platform": ("gpu", "cpu")}),
        ("data.val_files=[c]", RESOLVED.replace("[a.parquet, b.parquet]", "[c]"), {"data.val_files": None}),
        ("this is = no [override", RESOLVED, {}),
    ],
)
def test_what_the_command_line_changed(hydra_run, override, config, expected):
    run = hydra_run([override], config)
    found = {one.key: one for one in run.differences()}
    # A name that changes changes what refers to it; those are not the command line's own.
    own = {key: one for key, one in found.items() if one.why == "command line"}
    assert own.keys() == expected.keys()
    for key, values in expected.items():
        assert values is None or (own[key].left, own[key].right) == values


@pytest.mark.parametrize(
    ("recipe", "run", "same"),
    [
        ("outputs/x/data", "/home/me/spark/outputs/x/data", True),
        ("./outputs/x", "/home/me/outputs/x", True),
        ("~/data/train.parquet", "/home/me/data/train.parquet", True),
        ("~/data", "/home/me/data", True),
        ("[a/b.parquet, c/d.parquet]", "[/m/a/b.parquet, /m/c/d.parquet]", True),
        ("outputs/${trainer.name}", "/home/me/outputs/x", True),
        ("outputs/x", "/home/me/outputs/y", False),
        ("[a/b.parquet]", "[/m/a/b.parquet, /m/c/d.parquet]", False),
        ("/data/x", "/home/data/x", False),
        ("x", "/home/x", False),
    ],
)
@pytest.mark.parametrize("given", [True, False], ids=["on the command line", "by a script"])
def test_the_absolute_form_of_a_path_is_no_difference(tmp_path, recipe, run, same, given):
    values = {"trainer.name": "x", "data.files": yaml.safe_load(run)}
    overrides = [f"data.files={run}"] if given else []
    config = RunConfig(values, overrides, recipe={"trainer.name": "x", "data.files": yaml.safe_load(recipe)})
    assert [one.key for one in config.differences()] == ([] if same else ["data.files"])


def test_a_value_that_the_command_line_did_not_set_is_told_from_one_it_did(hydra_run):
    run = hydra_run([], RESOLVED.replace("train_batch_size: 64", "train_batch_size: 32"))
    assert [(one.key, one.left, one.right, one.why) for one in run.differences()] == [
        ("data.train_batch_size", "64", "32", "not on the command line")
    ]


@pytest.mark.parametrize("place", [".", "checkpoints"])
def test_the_runs_own_record_goes_first(tmp_path, place):
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("data:\n  train_batch_size: 16\nspark:\n  seed: 5\n")
    about = {"recipe": "quickstart", "overrides": ["spark.seed=5"], "versions": {"verl": "0.9.1"}}
    (folder / "run.json").write_text(json.dumps(about))
    config = load(tmp_path)
    assert config.versions == {"verl": "0.9.1"}
    assert config.recipe["data.train_batch_size"] == 8
    found = {one.key: (one.left, one.right, one.why) for one in config.differences()}
    assert found["data.train_batch_size"] == ("8", "16", "not on the command line")
    assert found["spark.seed"] == ("not in the recipe", "5", "command line")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a b", "", None, "no_such_recipe"])
def test_a_recipes_name_is_a_name_and_no_path(tmp_path, name):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    (tmp_path / "run.json").write_text(json.dumps({"recipe": name}))
    config = load(tmp_path)
    assert config.recipe is None and config.overrides == [] and config.versions == {}
    assert config.differences() == []


@pytest.mark.parametrize(("name", "text"), [("config.yaml", "a: [1"), ("config.yaml", "\x00"), ("run.json", "{")])
def test_a_broken_file_is_named(tmp_path, name, text):
    (tmp_path / "config.yaml").write_text("a: 1\n")
    (tmp_path / name).write_text(text)
    with pytest.raises(UnreadableFile, match=name):
        load(tmp_path)


def test_a_recipe_that_inherits_is_compared_as_a_whole(tmp_path):
    (tmp_path / "config.yaml").write_text("data:\n  train_batch_size: 16\n")
    (tmp_path / "run.json").write_text(json.dumps({"recipe": "quickstart_gpu"}))
    config = load(tmp_path)
    assert config.recipe["platform"] == "gpu", "overrides what quickstart chooses"
    assert [(one.key, one.left, one.right) for one in config.differences()] == [("data.train_batch_size", "8", "16")]


@pytest.mark.parametrize(
    ("key", "hidden"),
    [
        ("trainer.wandb_api_key", True),
        ("hub.access_token", True),
        ("store.private_key", True),
        ("data.prompt_key", False),
        ("password", True),
        ("actor.ppo_max_token_len_per_gpu", False),
        ("tokenizer", False),
    ],
)
def test_secrets_are_not_shown(tmp_path, key, hidden):
    runs = []
    for name, value in (("a", "one"), ("b", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(f"{key}: {value}\n")
        runs.append(load(tmp_path / name))
    shown = [one.left + one.right for one in compare(*runs)]
    assert shown == ([] if hidden else ["onetwo"])


def test_two_runs_are_compared_key_by_key(tmp_path):
    runs = []
    for name, text in (("a", "x: 1\ny: [1, 2]\nz: {}\n"), ("b", "x: 2\ny: [1, 2]\nw: true\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(text)
        runs.append(load(tmp_path / name))
    assert [(one.key, one.left, one.right) for one in compare(*runs)] == [
        ("w", "absent", "true"),
        ("x", "1", "2"),
        ("z", "{}", "absent"),
    ]


def test_flatten():
    assert flatten({"a": {"b": 1, "c": []}, "d": {}}) == {"a.b": 1, "a.c": [], "d": {}}
