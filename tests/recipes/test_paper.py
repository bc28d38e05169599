"""The preset with the paper's own settings: it goes on top of every recipe, and verl does what the paper says."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from verl.utils.config import omega_conf_to_dataclass
from verl.workers.config.optimizer import build_optimizer
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

from spark_verl import main
from spark_verl.config import load_spark_config
from spark_verl.judge import pointwise
from spark_verl.judge.plan import JudgeAsk
from spark_verl.vocabulary import Correctness, LabelForm, Rollout, RolloutGroup, Source

ROOT = Path(__file__).resolve().parents[2]
TRAINED = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml") if not path.stem.startswith("quickstart"))
CHANGED = {
    "spark.judge_step": "same",
    "spark.balance.labels": False,
    "spark.pointwise.cot_share": 0.0,
    "spark.pointwise.label_forms": ["yes_no", "a_b"],
    "spark.pairwise.cot_share": 0.0,
    "spark.reflection.right_share": 0.0,
    "actor_rollout_ref.actor.optim.lr_scheduler_type": "cosine",
    "actor_rollout_ref.actor.optim.lr_warmup_steps_ratio": 0.03,
    "actor_rollout_ref.actor.optim.min_lr_ratio": 0.1,
    "actor_rollout_ref.actor.optim.betas": [0.9, 0.95],
    "actor_rollout_ref.actor.optim.weight_decay": 0.0,
}


def load(name: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "recipes"), version_base=None):
        return compose(name, overrides=list(overrides))


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    return {key: value for name, below in values.items() for key, value in flat(below, f"{prefix}.{name}").items()}


@pytest.mark.parametrize("name", TRAINED)
def test_it_changes_what_it_says_and_nothing_else(name):
    plain, paper = (flat(OmegaConf.to_container(load(name, *more))) for more in ([], ["+preset=paper"]))
    assert paper.keys() == plain.keys()
    changed = {key.lstrip("."): value for key, value in paper.items() if value != plain[key]}
    # The baseline has no reflections on right attempts to begin with.
    assert {**CHANGED, **changed} == CHANGED
    assert CHANGED.keys() - changed.keys() <= {"spark.reflection.right_share"}
    assert {key: paper[f".{key}"] for key in CHANGED} == CHANGED


def test_what_comes_after_it_wins():
    config = load("spark_vl_7b", "+preset=paper", "spark.reflection.right_share=0.1")
    assert config.spark.reflection.right_share == 0.1


def test_verl_trains_with_that_schedule():
    """verl's own optimizer and schedule for a run of 200 steps."""
    optim = load("spark_vl_7b", "+preset=paper").actor_rollout_ref.actor.optim
    optim.total_training_steps = 200
    config = omega_conf_to_dataclass(optim)
    optimizer = build_optimizer([torch.nn.Parameter(torch.zeros(1))], config)
    assert (optimizer.defaults["betas"], optimizer.defaults["weight_decay"]) == ((0.9, 0.95), 0.0)
    schedule = FSDPEngine._build_lr_scheduler(SimpleNamespace(optimizer_config=config, rank=0), optimizer)
    rates = []
    for _ in range(200):
        rates.append(schedule.get_last_lr()[0] / config.lr)
        optimizer.step()
        schedule.step()
    assert rates[:7] == pytest.approx([0, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0]), "3 % of 200 steps are warm-up"
    assert all(later < earlier for earlier, later in zip(rates[6:], rates[7:], strict=False))
    assert rates[6 + 97] == pytest.approx(0.55), "half way down"
    assert schedule.get_last_lr()[0] / config.lr == pytest.approx(0.1)


def test_half_of_the_pointwise_prompts_ask_for_a_or_b_and_all_show_answers():
    rollouts = tuple(
        Rollout(f"\\boxed{{{i}}}", str(i), Correctness.RIGHT if i == 4 else Correctness.WRONG) for i in range(8)
    )
    group = RolloutGroup("uid", [{"role": "user", "content": "2+2=?"}], "4", 0, 1, rollouts)
    config = load_spark_config(load("spark_vl_7b", "+preset=paper"))
    ask = JudgeAsk(pairwise=False, right_first=False, show_right=True, keep_if_all_right=True, keep_if_all_wrong=True)
    rng = random.Random(0)
    drafts = [pointwise.draft(group, ask, config.pointwise, rng) for _ in range(200)]
    assert {draft.source for draft in drafts} == {Source.ANSWER}
    assert 80 <= sum(draft.label_form is LabelForm.A_B for draft in drafts) <= 120


@pytest.fixture
def dry_run(data_folder, tmp_path, monkeypatch, capsys):
    """``dry_run(name, *overrides)``: what ``DRY_RUN=1`` shows, in this process."""
    monkeypatch.setenv("DRY_RUN", "1")
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "out/metrics.jsonl"))
    # The alias of vLLM's distribution must not outlive the test.
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    train = f"{data_folder}/train.parquet"
    # Twice: the baseline's batch has 128 rows.
    files = [f"data.train_files=[{train},{train}]", f"data.val_files={data_folder}/test.parquet"]

    def run(name: str, *overrides: str) -> str:
        config = load(name, "+preset=paper", *files, f"trainer.default_local_dir={tmp_path}/out", *overrides)
        main.prepare(config)
        main.show(config)
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("name", ["spark_vl_7b", "grpo_vl_7b"])
def test_the_dry_run_accepts_it(name, dry_run):
    shown = dry_run(name)
    assert "All configuration checks passed" in shown
    assert "lr_scheduler_type: cosine" in shown


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr_scheduler_type=cosin", "actor_rollout_ref.actor: .*lr_scheduler_type"),
        ("betas=[0.9,1.5]", "actor_rollout_ref.actor.optim"),
        ("+min_lr_ration=0.1", "actor_rollout_ref.actor.optim.min_lr_ration: verl has no such option"),
    ],
)
def test_the_dry_run_asks_verl_about_the_optimizer(override, message, dry_run):
    key = override.removeprefix("+")
    with pytest.raises(ValueError, match=message):
        dry_run("spark_vl_7b", f"{'+' * override.startswith('+')}actor_rollout_ref.actor.optim.{key}")
