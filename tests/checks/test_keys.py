"""Misspelt keys are found, with the key that was meant; what verl looks for is none."""

from __future__ import annotations

import os
import subprocess

import forked
import pytest
from checked_configs import ROOT, load

from spark_verl.checks import keys

RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_recipes_have_no_key_without_effect_and_no_value_of_another_kind(recipe):
    config = load([], recipe)
    assert not list(keys.unknown_keys(config))
    assert not list(keys.wrong_kinds(config))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+data.train_batchsize=32", "data.train_batchsize has no effect, verl has no such option: did you mean"),
        ("+data.lr=1e-6", "did you mean actor_rollout_ref.actor.optim.lr?"),
        ("+trainer.train_batch_size=32", "did you mean data.train_batch_size?"),
        ("+actor_rollout_ref.n=4", "did you mean actor_rollout_ref.rollout.n?"),
        ("+nonsense.zzyzx=1", "nonsense has no effect, verl has no such option"),
        ("+reward.num_worker=1", "did you mean reward.num_workers?"),
        # Read by verl's code, or handed on to another library, without standing in verl's config.
        ("+data.cache_dir=/tmp", None),
        ("+ray_kwargs.ray_init.address=local", None),
        ("+actor_rollout_ref.model.override_config.use_cache=false", None),
        ("+data.apply_chat_template_kwargs.enable_thinking=false", None),
    ],
)
def test_a_key_that_was_added(override, message):
    found = list(keys.unknown_keys(load([override])))
    assert len(found) == (message is not None), found
    assert message is None or message in found[0]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("data.train_batchsize", "there is no such option: did you mean data.train_batch_size?"),
        ("spark.pointwse.n", "there is no such option: did you mean spark.pointwise.n?"),
        ("spark.pointwise.cot_shares", "did you mean spark.pointwise.cot_share?"),
        ("lr", "did you mean actor_rollout_ref.actor.optim.lr?"),
        ("actor.optim.lr", "did you mean actor_rollout_ref.actor.optim.lr?"),
        ("data.cache_dir", "verl's code may look for it all the same, +data.cache_dir=... sets it"),
        ("data.zzyzx", "data.zzyzx: there is no such option"),
        ("x" * 500, "x…x"),
    ],
)
def test_a_key_that_no_config_has(key, message):
    assert message in keys.unknown_override(key)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.train_batchsize=32"], "data.train_batchsize: there is no such option: did you mean data.train_batch"),
        (["trainer.nnodes=[1"], "spark_verl: "),
        (["platform=tpu"], "Could not find 'platform/tpu'"),
        (["--config-name", "spark_vl_8b"], "spark_vl_8b"),
    ],
    ids=["unknown key", "no override", "no such choice", "no such recipe"],
)
def test_what_hydra_refuses_ends_in_one_line(tmp_path, arguments, message):
    command = ["-m", "spark_verl.main", "--config-path", f"{ROOT}/recipes", "--config-name", "spark_vl_7b"]
    done = subprocess.run(
        [forked.python(), *command, *arguments],
        cwd=tmp_path,
        env={**os.environ, **forked.environment()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "+data.train_batchsize" not in done.stderr
    assert sum(line.startswith("spark_verl: ") for line in done.stderr.splitlines()) == 1
