"""The files in reward_fns/, loaded by path and run by verl's own naive manager."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.ppo.reward import load_reward_manager

FOLDER = Path(__file__).resolve().parents[2] / "reward_fns"


class Bytes:
    """A tokenizer: one token per byte."""

    def decode(self, ids, skip_special_tokens=False):
        return bytes(ids.tolist()).decode()


def score(file, response, ground_truth, extra_info):
    config = OmegaConf.create(
        {
            "reward": {
                "custom_reward_function": {"path": str(FOLDER / file), "name": "compute_score"},
                "reward_manager": {"source": "register", "name": "naive", "module": None},
            }
        }
    )
    ids = torch.tensor(list(response.encode()))[None]
    row = DataProto(
        batch=TensorDict(
            {"prompts": ids[:, :0], "responses": ids, "attention_mask": torch.ones_like(ids)}, batch_size=1
        ),
        non_tensor_batch={
            "data_source": np.array(["x"]),
            "reward_model": np.array([{"ground_truth": ground_truth}]),
            "extra_info": np.array([extra_info]),
        },
    )

    async def main():
        # verl's managers keep the event loop that they were made in
        return await load_reward_manager(config, Bytes()).run_single(row)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "file, response, ground_truth, extra_info, acc, status",
    [
        ("math_vl.py", r"\boxed{\frac{1}{2}}", "0.5", {}, 1.0, "ok"),
        ("math_vl.py", r"\boxed{2\sqrt{3}}", r"\sqrt{12}", {}, 1.0, "ok"),
        ("math_vl.py", r"\boxed{3.1}", "3.14", {"tolerance": 0.05}, 1.0, "ok"),
        ("math_vl.py", "12", "12", {}, 0.0, "unparsable"),
        ("multiple_choice.py", r"\boxed{(B)}", "B", {}, 1.0, "ok"),
        ("multiple_choice.py", "Answer: B", "B", {}, 1.0, "ok"),
        ("multiple_choice.py", r"\boxed{red}", "B", {"choices": ["blue", "red"]}, 1.0, "ok"),
        ("multiple_choice.py", r"\boxed{A}", "B", {}, 0.0, "ok"),
        ("judge.py", r"\boxed{\text{No}}", "No", {"label_form": "yes_no"}, 1.0, "ok"),
        ("judge.py", r"\boxed{(a)}", "A", {}, 1.0, "ok"),
        ("judge.py", r"\boxed{12}", "Yes", {}, 0.0, "unparsable"),
    ],
)
def test_with_verls_naive_manager(file, response, ground_truth, extra_info, acc, status):
    result = score(file, response, ground_truth, extra_info)
    assert result["reward_score"] == acc
    assert result["reward_extra_info"] == {"score": acc, "acc": acc, "status": status}


def test_judge_refuses_a_label_it_does_not_know():
    with pytest.raises(ValueError, match="must be a label"):
        score("judge.py", r"\boxed{Yes}", "12", {})
