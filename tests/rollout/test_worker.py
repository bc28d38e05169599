"""The life of a group in the worker: verl's own worker code around ours, a scripted engine, a queue in memory."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from memory_queue import MemoryQueue
from PIL import Image
from verl.trainer.ppo.v1 import agent_loop_tq
from verl.workers.rollout.replica import TokenOutput

from spark_verl.compat import verl_rows
from spark_verl.judge import JudgeAsk, Plan, ReflectionAsk
from spark_verl.rollout import worker as worker_module
from spark_verl.rollout.tags import group_of, row_of
from spark_verl.rollout.worker import SparkWorker
from spark_verl.vocabulary import JUDGE_OBJECTIVES, POLICY, Outcome

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


@pytest.fixture
def run(model_folder, tokenizer, monkeypatch):
    """Run prompts on a new worker with a script; returns worker, queue and engine when all has ended."""

    def start(script: dict[str, list], prompts: list[dict], cancel_after: int | None = None, **trajectory):
        queue = MemoryQueue()
        monkeypatch.setattr(agent_loop_tq.tq, "init", lambda *a, **k: None)
        monkeypatch.setattr(agent_loop_tq, "tq", verl_rows.GroupedWrites(queue))
        monkeypatch.setattr(agent_loop_tq, "list_of_dict_to_tensordict", lambda rows: rows)
        monkeypatch.setattr(verl_rows, "group_writes", lambda *_: None)
        monkeypatch.setattr(worker_module, "tq", queue)
        with initialize_config_dir(RECIPES, version_base=None):
            overrides = [f"actor_rollout_ref.model.path={model_folder}", f"actor_rollout_ref.rollout.n={N}"]
            config = compose("quickstart", overrides)
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


@pytest.mark.parametrize(
    ("replies", "rollouts", "outcome", "objectives"),
    [
        ([RIGHT, WRONG, RIGHT, WRONG], 4, Outcome.MIXED, ["pairwise", "reflection"]),
        ([RIGHT] * 4, 4, Outcome.RIGHT, ["pointwise"]),
        ([RIGHT, OSError("engine"), WRONG, RIGHT], 3, Outcome.MIXED, ["pairwise", "reflection"]),
        ([OSError("a"), OSError("b"), WRONG, WRONG], 2, Outcome.WRONG, ["pointwise", "reflection"]),
        ([OSError("a"), OSError("b"), OSError("c"), OSError("d")], 0, Outcome.NONE, []),
        ([[3, 3, 9], WRONG, RIGHT, WRONG], 3, Outcome.MIXED, ["pairwise", "reflection"]),
    ],
    ids=["mixed", "all right", "one fails", "two fail", "all fail", "one writes an image placeholder"],
)
def test_a_group_is_judged_when_its_last_sample_has_ended(run, tokenizer, replies, rollouts, outcome, objectives):
    pad = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    replies = [[pad if each == 9 else each for each in r] if isinstance(r, list) else r for r in replies]
    worker, queue, _ = run({"larger": replies}, [prompt()])
    assert group_of(queue.tags["train"]["u"]).outcome is outcome
    assert sorted(row.objective for row in children(queue).values()) == objectives
    assert {row.parent for row in children(queue).values()} <= {"u"}
    rows = [key for key in queue.tags["train"] if key.startswith("u_")]
    assert len(rows) == rollouts
    ended = "failure" if rollouts < N else "finished"
    assert queue.tags["train"]["u"]["status"] == ended
    for uid in children(queue):
        assert queue.tags["train"][uid]["status"] == "finished"
        assert len([key for key in queue.tags["train"] if key.startswith(f"{uid}_")]) == N
        registered, parent_ended = position(queue, uid, status="pending"), position(queue, "u", status=ended)
        assert registered < parent_ended, "the sampler must never see a step with nothing pending in between"
    assert worker._groups == {} and len(worker.media) == 0, "nothing is kept once all have ended"


def test_judge_prompts_have_their_own_ground_truth_and_none_of_our_fields(run):
    _, queue, engine = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt()])
    for uid, row in children(queue).items():
        stored = queue.fields[f"{uid}_0_0"]
        assert stored["reward_model"]["ground_truth"] == ("A" if row.objective == "pairwise" else "4")
        assert stored["data_source"] == f"spark/{row.objective}"
        assert stored["extra_info"]["task_data_source"] == "spark_digits" and stored["extra_info"]["role"] == "judge"
    assert not {name for row in queue.fields.values() for name in row if name.startswith("spark")}


def test_two_groups_may_be_interleaved(run):
    first, second = prompt("a", "Which digit is larger?"), prompt("b", "What is the sum of the two digits?")
    script = {"larger": [RIGHT, WRONG, RIGHT, WRONG], "sum": [WRONG] * 4}
    _, queue, _ = run(script, [first, second])
    assert group_of(queue.tags["train"]["a"]).outcome is Outcome.MIXED
    assert group_of(queue.tags["train"]["b"]).outcome is Outcome.WRONG
    assert {row.parent: row.objective for row in children(queue).values() if row.objective != "reflection"} == {
        "a": "pairwise",
        "b": "pointwise",
    }


def test_judge_prompts_do_not_depend_on_who_ends_first(run):
    async def late() -> str:
        for _ in range(50):
            await asyncio.sleep(0)
        return RIGHT

    texts = []
    for replies in ([RIGHT, WRONG, RIGHT, WRONG], [late, WRONG, RIGHT, WRONG]):
        _, _, engine = run({"larger": replies}, [prompt()])
        texts.append(sorted({text for text in engine.asked if "larger" in text}))
    assert texts[0] == texts[1]


def test_validation_rows_are_never_judged(run):
    _, queue, _ = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt()], validate=True)
    assert children(queue) == {} == children(queue, "val")
    assert group_of(queue.tags["val"]["u"]) is None and queue.tags["val"]["u"]["status"] == "finished"


def test_a_cancelled_group_leaves_nothing_open(run):
    async def never() -> str:
        await asyncio.sleep(3600)
        return RIGHT

    worker, queue, _ = run({"larger": [RIGHT, never, never, never]}, [prompt()], cancel_after=40)
    assert worker._groups == {} and len(worker.media) == 0
    assert not any(key.startswith("u_") for key in queue.tags["train"]), "rows of a group that has not ended"


def test_a_transform_that_fails_is_counted_and_stops_nothing(run, monkeypatch):
    monkeypatch.setattr("spark_verl.judge.JudgeBuilder.build", lambda *_: 1 / 0)
    _, queue, _ = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt()])
    assert group_of(queue.tags["train"]["u"]).skipped == {"error": 1}
    assert queue.tags["train"]["u"]["status"] == "finished" and children(queue) == {}


def test_images_are_processed_once_for_a_group_and_its_judge_prompts(run, monkeypatch):
    worker, queue, engine = run({"larger": [RIGHT, WRONG, RIGHT, WRONG]}, [prompt()])
    assert len(children(queue)) == 2 and len(engine.asked) == 3 * N
    # Once each: fetched, processed, made into the actor's tensors (by other options of the processor); and the tokens
    # of each prompt.
    assert worker.media.computed <= 4 + 1 + len(children(queue))
    gc.collect()
    assert len(worker.media) == 0


def test_every_judge_objective_has_been_seen(run):
    seen = set()
    for replies in ([RIGHT, WRONG] * 2, [RIGHT] * 4):
        _, queue, _ = run({"larger": replies}, [prompt()])
        seen |= {row.objective for row in children(queue).values()}
    assert seen == set(JUDGE_OBJECTIVES)
