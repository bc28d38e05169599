"""verl's own worker code around ours, a scripted engine, a queue in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from memory_queue import MemoryQueue
from PIL import Image
from verl.trainer.ppo.v1 import agent_loop_tq
from verl.workers.rollout.replica import TokenOutput

from spark_verl.compat import verl_rows
from spark_verl.judge import JudgeAsk, Plan, ReflectionAsk
from spark_verl.rollout import worker as worker_module
from spark_verl.rollout.tags import row_of
from spark_verl.rollout.worker import SparkWorker
from spark_verl.vocabulary import POLICY

RECIPES = str(Path(__file__).resolve().parents[2] / "recipes")
N = 4
PAIR = JudgeAsk(pairwise=True, right_first=True, show_right=True, keep_if_all_right=True, keep_if_all_wrong=True)
PLAN = Plan(judge=(PAIR,), reflection=(ReflectionAsk(about_right=False),))
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0, "logprobs": False}


class Engine:
    """Answers policy prompts by a script, sample by sample, and judge prompts with a fixed verdict."""

    def __init__(self, tokenizer, script: dict[str, list]) -> None:
        self.tokenizer = tokenizer
        self.script = {question: list(replies) for question, replies in script.items()}
        self.asked: list[str] = []

    async def generate(self, prompt_ids, **_) -> TokenOutput:
        text = self.tokenizer.decode(prompt_ids)
        self.asked.append(text)
        await asyncio.sleep(0)
        for question, replies in self.script.items():
            if question in text and "candidate" not in text.lower() and replies:
                reply = replies.pop(0)
                break
        else:
            reply = "\\boxed{Yes}"
        if isinstance(reply, BaseException):
            raise reply
        if callable(reply):
            reply = await reply()
        ids = reply if isinstance(reply, list) else self.tokenizer(reply + "<|im_end|>")["input_ids"]
        return TokenOutput(token_ids=ids, log_probs=None)


def runner(model_folder, tokenizer, monkeypatch):
    """What runs prompts on a new worker with a script; returns worker, queue and engine when all has ended."""

    def start(
        script: dict[str, list],
        prompts: list[dict],
        cancel_after: int | None = None,
        overrides: Sequence[str] = (),
        **trajectory,
    ):
        queue = MemoryQueue()
        monkeypatch.setattr(agent_loop_tq.tq, "init", lambda *a, **k: None)
        monkeypatch.setattr(agent_loop_tq, "tq", verl_rows.GroupedWrites(queue))
        monkeypatch.setattr(agent_loop_tq, "list_of_dict_to_tensordict", lambda rows: rows)
        monkeypatch.setattr(verl_rows, "group_writes", lambda *_: None)
        monkeypatch.setattr(worker_module, "tq", queue)
        with initialize_config_dir(RECIPES, version_base=None):
            own = [f"actor_rollout_ref.model.path={model_folder}", f"actor_rollout_ref.rollout.n={N}"]
            config = compose("quickstart", [*own, *overrides])
        # A worker of its own needs no engine name and no tracing.
        engine = Engine(tokenizer, script)
        queue.init = lambda *a, **k: None

        async def main():
            worker = SparkWorker(config, engine, None, [])
            about = {"validate": False, "step": 1, "sample_index": 0, "rollout_n": 0} | trajectory
            tasks = [asyncio.create_task(worker._run_prompt(p, SAMPLING, dict(about))) for p in prompts]
            if cancel_after is not None:
                for _ in range(cancel_after):
                    await asyncio.sleep(0)
                tasks[0].cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            while worker.background_tasks:
                await asyncio.gather(*worker.background_tasks, return_exceptions=True)
            return worker

        return asyncio.run(main()), queue, engine

    return start


def prompt(uid: str = "u", question: str = "Which digit is larger?", plan: Plan | None = PLAN, **more) -> dict:
    content = [{"type": "image", "image": Image.new("RGB", (112, 56))}, {"type": "text", "text": question}]
    return {
        "uid": uid,
        "raw_prompt": [{"role": "user", "content": content}],
        "data_source": "spark_digits",
        "reward_model": {"style": "rule", "ground_truth": "4"},
        "extra_info": {"index": 3, "split": "train"},
        "index": 3,
        "global_steps": 1,
        "agent_name": "single_turn_agent",
        "spark_plan": plan,
        **more,
    }


def children(queue: MemoryQueue, partition: str = "train") -> dict:
    prompts = {key: row_of(tag) for key, tag in queue.tags[partition].items() if tag.get("is_prompt")}
    return {key: row for key, row in prompts.items() if row != POLICY}


def position(queue: MemoryQueue, key: str, **tag) -> int:
    """When this was written to the queue."""
    for i, (keys, tags) in enumerate(queue.log):
        if key in keys and tag.items() <= tags[keys.index(key)].items():
            return i
    raise AssertionError(f"{key} was never written with {tag}")


RIGHT, WRONG = "\\boxed{4}", "\\boxed{5}"
