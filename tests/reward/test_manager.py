"""The reward manager, fed with rows as verl 0.9.1 builds them (AgentLoopWorker._compute_score)."""

from __future__ import annotations

import asyncio
import logging
import time

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls
from verl.trainer.ppo.metric_utils import process_validation_metrics
from verl.trainer.ppo.reward import load_reward_manager

from spark_verl.reward import RewardOptions
from spark_verl.reward.manager import SparkRewardManager
from spark_verl.reward.pool import get_pool

KEYS = {"acc", "format", "status", "role", "objective", "answer", "symbolic", "verify_s", "index", "data_source"}


class Bytes:
    """A tokenizer: one token per byte, 0 is the only special token."""

    def decode(self, ids, skip_special_tokens=False):
        return bytes(i for i in ids.tolist() if i or not skip_special_tokens).decode("utf-8", errors="replace")

    def encode(self, text):
        return list(text.encode())


def make_config(**overrides):
    base = {
        "reward": {
            "custom_reward_function": {"path": None, "name": "compute_score"},
            "reward_manager": {
                "source": "importlib",
                "name": "SparkRewardManager",
                "module": {"path": "pkg://spark_verl.reward.manager", "name": "x"},
            },
            "sandbox_fusion": {"url": None},
        },
    }
    return OmegaConf.merge(base, overrides)


def make_row(response, data_source="math", ground_truth="12", extra_info=None, padding=3):
    """One sample as verl's agent loop hands it to a reward manager; trailing padding as in a batch."""
    tokenizer = Bytes()
    prompt = torch.tensor(tokenizer.encode("What?"))
    ids = torch.tensor(tokenizer.encode(response) + [0], dtype=torch.int64)
    mask = torch.cat([torch.ones(len(prompt) + len(ids)), torch.zeros(padding)]).long()
    responses = torch.cat([ids, torch.full((padding,), ord("x"))])
    batch = TensorDict(
        {"prompts": prompt[None], "responses": responses[None], "attention_mask": mask[None]}, batch_size=1
    )
    kwargs = {
        "data_source": data_source,
        "reward_model": {"style": "rule", "ground_truth": ground_truth},
        "extra_info": {"split": "train", "index": 0, **(extra_info or {})},
        "raw_prompt": [{"role": "user", "content": "What?"}],
    }
    non_tensor = {
        **{k: np.array([v]) for k, v in kwargs.items()},
        "__num_turns__": np.array([2]),
        "tool_extra_fields": np.array([{}], dtype=object),
    }
    return DataProto(batch=batch, non_tensor_batch=non_tensor)


def run(manager, row):
    return asyncio.run(manager.run_single(row))


@pytest.fixture
def manager():
    return SparkRewardManager(make_config(), Bytes())


JUDGE = {"role": "judge", "label_form": "yes_no"}
A_B = {"role": "judge", "label_form": "a_b"}
REFLECT = {"role": "judge", "label_form": "free"}

ROWS = [
    (r"\boxed{12}", "spark_digits", "12", {}, 1.0, 1.0, "ok", "policy", "policy", "12"),
    (r"\boxed{13}", "spark_digits", "12", {}, 0.0, 1.0, "ok", "policy", "policy", "13"),
    ("12", "spark_digits", "12", {}, 0.0, 0.0, "unparsable", "policy", "policy", ""),
    (r"\boxed{\sum_{k=1}^{3} k}", "math", "6", {}, 1.0, 1.0, "ok", "policy", "policy", r"\sum_{k=1}^{3} k"),
    (r"\boxed{42}", "mc", "B", {"choices": ["41", "42"]}, 1.0, 1.0, "ok", "policy", "policy", "42"),
    (
        r"\boxed{42}",
        "mc",
        "B",
        {"choices": {"A": "41", "B": "42", "C": None}},
        1.0,
        1.0,
        "ok",
        "policy",
        "policy",
        "42",
    ),
    (r"\boxed{3.1}", "chart", "3.14", {"tolerance": 0.05}, 1.0, 1.0, "ok", "policy", "policy", "3.1"),
    (r"\boxed{Yes}", "spark/pointwise", "Yes", JUDGE, 1.0, 1.0, "ok", "judge", "pointwise", "Yes"),
    (r"\boxed{No}", "spark/pointwise", "Yes", JUDGE, 0.0, 1.0, "ok", "judge", "pointwise", "No"),
    ("Yes", "spark/pointwise", "Yes", JUDGE, 1.0, 0.0, "ok", "judge", "pointwise", "Yes"),
    (r"\boxed{12}", "spark/pointwise", "Yes", JUDGE, 0.0, 0.0, "unparsable", "judge", "pointwise", ""),
    (r"\boxed{\text{(a)}}", "spark/pointwise", "A", A_B, 1.0, 1.0, "ok", "judge", "pointwise", "A"),
    (r"\boxed{B}", "spark/pairwise", "B", A_B, 1.0, 1.0, "ok", "judge", "pairwise", "B"),
    (r"\boxed{A}", "spark/pairwise", "B", {}, 0.0, 1.0, "ok", "judge", "pairwise", "A"),
    (r"\boxed{12}", "spark/reflection", "12", REFLECT, 1.0, 1.0, "ok", "judge", "reflection", "12"),
    (r"\boxed{13}", "spark/reflection_keep", "12", REFLECT, 0.0, 1.0, "ok", "judge", "reflection", "13"),
    (r"\boxed{Yes}", "spark/pointwise", "12", JUDGE, 0.0, 0.0, "error", "judge", "pointwise", "Yes"),
    (r"\boxed{12}", "math", None, {}, 0.0, 1.0, "error", "policy", "policy", "12"),
]


@pytest.mark.parametrize("response, source, truth, extra, acc, form, status, role, objective, answer", ROWS)
def test_routing(manager, response, source, truth, extra, acc, form, status, role, objective, answer):
    result = run(manager, make_row(response, source, truth, {**(extra or {}), "index": 7}))
    assert result["reward_score"] == acc
    info = result["reward_extra_info"]
    assert info.pop("verify_s") >= 0
    assert info == {
        "acc": acc, "format": form, "status": status, "role": role, "objective": objective, "answer": answer,
        "symbolic": float("sum" in response), "index": "7", "data_source": source,
    }  # fmt: skip


def test_algebra_is_told(manager):
    info = run(manager, make_row(r"\boxed{\sum_{k=1}^{3} k}", ground_truth="6"))["reward_extra_info"]
    assert (info["acc"], info["symbolic"]) == (1.0, 1.0)
    assert info["verify_s"] > 0


def test_processes_for_algebra_start_with_the_manager():
    options = {"reward": {"num_workers": 1, "timeout_s": 7.5}}
    pool = get_pool(RewardOptions(num_workers=1, timeout_s=7.5))
    SparkRewardManager(make_config(spark={"reward": {**options["reward"], "warm_up": False}}), Bytes())
    assert pool.pids() == []
    SparkRewardManager(make_config(spark=options), Bytes())
    deadline = time.monotonic() + 30
    while not pool.pids() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pool.pids()) == 1


@pytest.mark.parametrize(
    ("response", "fallbacks", "answer", "acc"),
    [
        ("Answer: 12", [], "", 0.0),
        ("Answer: 12", ["answer_line"], "12", 1.0),
        ("<answer>12</answer>", ["answer_line", "answer_tag"], "12", 1.0),
        (r"Answer: 13, no: \boxed{12}", ["answer_line"], "12", 1.0),
    ],
)
def test_fallbacks_are_configurable(response, fallbacks, answer, acc):
    manager = SparkRewardManager(make_config(spark={"reward": {"fallbacks": fallbacks}}), Bytes())
    info = run(manager, make_row(response))["reward_extra_info"]
    assert (info["answer"], info["acc"]) == (answer, acc)


@pytest.mark.parametrize(
    ("tokens", "source", "penalty"),
    [
        (60, "math", 0.0),
        (80, "math", 0.0),
        (90, "math", 0.5),
        (100, "math", 1.0),
        (60, "spark/reflection", 0.0),
        (45, "spark/pointwise", 0.25),
        (60, "spark/pointwise", 1.0),
    ],
)
def test_overlong_responses_lose_reward_but_not_accuracy(tokens, source, penalty):
    config = make_config(
        data={"max_response_length": 100},
        spark={
            "reward": {"overlong_buffer": 20, "overlong_penalty": 1.0},
            "pointwise": {"max_response_length": 60},
        },
    )
    truth, right = ("Yes", r"\boxed{Yes}") if source == "spark/pointwise" else ("12", r"\boxed{12}")
    response = "x" * (tokens - 1 - len(right)) + right
    result = run(SparkRewardManager(config, Bytes()), make_row(response, source, truth, JUDGE))
    assert result["reward_score"] == pytest.approx(1.0 - penalty)
    assert result["reward_extra_info"]["acc"] == 1.0


def test_broken_rows_are_errors(manager):
    row = make_row(r"\boxed{12}")
    row.non_tensor_batch.pop("reward_model")
    row.non_tensor_batch["extra_info"] = np.array([None], dtype=object)
    result = run(manager, row)
    assert result["reward_extra_info"]["status"] == "error"
    assert set(result["reward_extra_info"]) == KEYS


def test_only_the_last_sequence_counts(manager):
    first, last = make_row(r"\boxed{12}"), make_row(r"\boxed{13}")
    assert run(manager, DataProto.concat([first, last]))["reward_score"] == 0.0
    assert run(manager, DataProto.concat([last, first]))["reward_score"] == 1.0


def test_the_row_is_not_changed(manager):
    row = make_row(r"\boxed{12}")
    before = dict(row.non_tensor_batch["extra_info"][0])
    run(manager, row)
    assert row.non_tensor_batch["extra_info"][0] == before


def test_loaded_the_way_verl_loads_it():
    manager = load_reward_manager(make_config(), Bytes(), reward_router_address=None, reward_model_tokenizer=None)
    assert type(manager) is SparkRewardManager
    assert get_reward_manager_cls("spark") is SparkRewardManager
    named = make_config(reward={"reward_manager": {"source": "register", "name": "spark"}})
    assert type(load_reward_manager(named, Bytes())) is SparkRewardManager
    # verl's default compute_score is handed over when there is no custom one; the verifier is used nevertheless.
    assert run(manager, make_row(r"\boxed{12}", data_source="unknown_to_verl"))["reward_score"] == 1.0


def test_acc_is_verls_core_metric(manager):
    rows = [make_row(r"\boxed{12}"), make_row("no box"), make_row(r"\boxed{Yes}", "spark/pointwise", "Yes", JUDGE)]
    infos = [run(manager, row)["reward_extra_info"] for row in rows]
    columns = {key: [info[key] for info in infos] for key in infos[0]}
    metrics = process_validation_metrics(["math", "math", "spark/pointwise"], ["u", "u", "v"], columns)
    assert metrics["math"]["acc"]["mean@2"] == 0.5
    assert metrics["spark/pointwise"]["acc"]["mean@1"] == 1.0
    assert set(metrics["math"]) == {"acc", "format", "symbolic", "verify_s"}


def test_format_bonus():
    manager = SparkRewardManager(make_config(spark={"reward": {"format_bonus": 0.1}}), Bytes())
    right, wrong, none = (run(manager, make_row(r)) for r in (r"\boxed{12}", r"\boxed{13}", "12"))
    assert [r["reward_score"] for r in (right, wrong, none)] == pytest.approx([1.1, 0.1, 0.0])
    assert [r["reward_extra_info"]["acc"] for r in (right, wrong, none)] == [1.0, 0.0, 0.0]


def test_a_timeout_is_no_wrong_answer_and_gets_no_bonus():
    options = {"timeout_s": 1.0, "format_bonus": 0.1}
    manager = SparkRewardManager(make_config(spark={"reward": options}), Bytes())
    result = run(manager, make_row(r"\boxed{9^{9^{9^{9}}} \pi}", ground_truth=r"\sqrt{7}"))
    assert result["reward_extra_info"]["status"] == "timeout"
    assert result["reward_score"] == 0.0


# -- the user's own function -------------------------------------------------------------------------------------------

CUSTOM = """
def plain(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    return 0.25

def detailed(data_source, solution_str, ground_truth, extra_info=None, bonus=0.0):
    return {"score": 0.5 + bonus, "acc": 1.0, "pred": solution_str.upper(), "own": extra_info["num_turns"]}

async def asynchronous(data_source, solution_str, ground_truth, extra_info=None):
    return 1.0

def source(data_source, solution_str, ground_truth, extra_info=None):
    return float(data_source == "math")

def own_status(data_source, solution_str, ground_truth, extra_info=None, status="correct"):
    return {"score": 1.0, "status": status}

def raising(data_source, solution_str, ground_truth, extra_info=None):
    raise KeyError("their bug")

def nan(data_source, solution_str, ground_truth, extra_info=None):
    return float("nan")

def nothing(data_source, solution_str, ground_truth, extra_info=None):
    return None
"""


def custom_manager(tmp_path, name, **kwargs):
    path = tmp_path / "their_reward.py"
    path.write_text(CUSTOM)
    config = make_config(reward={"custom_reward_function": {"path": str(path), "name": name, "reward_kwargs": kwargs}})
    return load_reward_manager(config, Bytes())


@pytest.mark.parametrize(
    "name, kwargs, reward, acc, answer",
    [
        ("plain", {}, 0.25, 0.25, "12"),
        ("detailed", {}, 0.5, 1.0, r"\BOXED{12}"),
        ("detailed", {"bonus": 0.25}, 0.75, 1.0, r"\BOXED{12}"),
        ("asynchronous", {}, 1.0, 1.0, "12"),
        ("source", {}, 1.0, 1.0, "12"),
    ],
)
def test_custom_function(tmp_path, name, kwargs, reward, acc, answer):
    manager = custom_manager(tmp_path, name, **kwargs)
    result = run(manager, make_row(r"\boxed{12}"))
    assert result["reward_score"] == reward
    info = result["reward_extra_info"]
    assert (info["acc"], info["answer"], info["status"]) == (acc, answer, "ok")
    assert set(info) == KEYS


@pytest.mark.parametrize(
    ("status", "reward", "shown"),
    [("correct", 1.0, "ok"), ("ok", 1.0, "ok"), ("unparsable", 1.0, "unparsable"), ("timeout", 0.0, "timeout")],
)
def test_a_custom_functions_own_word_for_a_status_costs_no_reward(tmp_path, caplog, status, reward, shown):
    manager = custom_manager(tmp_path, "own_status", status=status)
    results = [run(manager, make_row(r"\boxed{12}")) for _ in range(2)]
    for result in results:
        assert (result["reward_score"], result["reward_extra_info"]["status"]) == (reward, shown)
    assert len([r for r in caplog.records if "taken as ok" in r.message]) == (status == "correct")


def test_custom_function_leaves_judge_rows_alone(tmp_path):
    manager = custom_manager(tmp_path, "raising")
    result = run(manager, make_row(r"\boxed{Yes}", "spark/pointwise", "Yes", JUDGE))
    assert result["reward_score"] == 1.0


def test_custom_function_sees_the_task_of_a_reflection_row(tmp_path):
    manager = custom_manager(tmp_path, "source")
    row = make_row("x", "spark/reflection", "12", {**REFLECT, "task_data_source": "math"})
    assert run(manager, row)["reward_score"] == 1.0


@pytest.mark.parametrize("name", ["raising", "nan", "nothing"])
def test_custom_function_that_fails_is_counted_and_logged_once(tmp_path, caplog, name):
    manager = custom_manager(tmp_path, name)
    with caplog.at_level(logging.WARNING):
        results = [run(manager, make_row(r"\boxed{12}")) for _ in range(3)]
    for result in results:
        assert result["reward_score"] == 0.0
        assert result["reward_extra_info"]["status"] == "error"
        assert result["reward_extra_info"]["answer"] == "12"
        assert set(result["reward_extra_info"]) == KEYS
    assert len([r for r in caplog.records if "status=error" in r.message]) == 1
