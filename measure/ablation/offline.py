"""Judge prompts built once, from the untrained model's rollouts, and mixed with the questions as ordinary rows.

    python measure/ablation/offline.py --model DIR --train_file FILE --output FILE --steps 40 --seed 1

Every 24 rows of the output are one training step of the arm ``offline``: the same 8 questions, in the same order, that
the other arms have in that step, and 16 judge and reflection prompts about the untrained model's rollouts of those
questions. The transform, its balance and its shares are those of online training; only the rollouts are old.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from arms import JUDGE_PROMPTS, POLICY_PROMPTS
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from tqdm import tqdm
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from spark_verl.config import load_spark_config
from spark_verl.evaluation.benchmarks import load as load_benchmark
from spark_verl.evaluation.client import Client, Sampling
from spark_verl.evaluation.question import Question
from spark_verl.evaluation.server import SERVED_NAME, Server
from spark_verl.judge import BalanceController, JudgeBuilder, JudgePrompt, StepOutcome
from spark_verl.reward import averify
from spark_verl.reward.verifier import Verdict
from spark_verl.vocabulary import POSITIVE_LABELS, Correctness, Rollout, RolloutGroup

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SAMPLES = 8
SPARE = 3
"""Most questions sampled, as a multiple of those trained on: an untrained model's groups can be so one-sided that few
judge prompts come of them."""


async def rollouts(client: Client, question: Question, limit: int, seed: int) -> tuple[Rollout, ...]:
    """The untrained model's responses to a question, verified."""
    answers = await asyncio.gather(
        *(
            client.ask(question.messages, Sampling(max_tokens=limit), seed=seed * SAMPLES + number)
            for number in range(SAMPLES)
        )
    )
    verdicts = await asyncio.gather(*(averify(answer.text, question.ground_truth) for answer in answers))
    return tuple(
        Rollout(answer.text, verdict.answer, correctness(verdict), answer.finish_reason)
        for answer, verdict in zip(answers, verdicts, strict=True)
    )


def correctness(verdict: Verdict) -> Correctness:
    """As in training: what was not decided is never labelled."""
    if not verdict.decided:
        return Correctness.NOT_VERIFIED
    return Correctness.RIGHT if verdict.correct else Correctness.WRONG


def as_row(parent: dict[str, Any], prompt: JudgePrompt) -> dict[str, Any]:
    """A judge prompt in the columns of the digits task's files; images are the parent row's."""
    extra = {"role": "judge", "objective": prompt.objective, "label_form": prompt.label_form, "source": prompt.source}
    return {
        **parent,
        "data_source": f"spark/{prompt.objective}",
        "prompt": prompt.messages,
        "reward_model": {**parent["reward_model"], "ground_truth": prompt.ground_truth},
        "extra_info": {**parent["extra_info"], **extra},
    }


async def build(
    base_url: str,
    rows: list[dict],
    questions: list[Question],
    config: DictConfig,
    tokenizer: PreTrainedTokenizerBase,
    seed: int,
    wanted: int,
) -> list[dict]:
    """At least ``wanted`` judge rows about the questions (fewer if these run out), in the order steps need them."""
    client = Client(base_url, SERVED_NAME, concurrency=64)
    spark = load_spark_config(config)
    controller = BalanceController(spark)
    builder = JudgeBuilder(spark, tokenizer=tokenizer, max_prompt_length=config.data.max_prompt_length)
    found: list[dict] = []
    try:
        for start in tqdm(range(0, len(rows), POLICY_PROMPTS), desc="rollouts", unit="step"):
            if len(found) >= wanted:
                break
            step = start // POLICY_PROMPTS + 1
            batch = range(start, start + POLICY_PROMPTS)
            sampled = await asyncio.gather(
                *(rollouts(client, questions[i], config.data.max_response_length, seed * len(rows) + i) for i in batch)
            )
            outcome = StepOutcome()
            for i, plan, responses in zip(batch, controller.plan(POLICY_PROMPTS, step), sampled, strict=True):
                index = rows[i]["extra_info"]["index"]
                truth = rows[i]["reward_model"]["ground_truth"]
                # The row's own messages, whose images are marks in the text: the new rows are of the same kind.
                group = RolloutGroup(f"row-{index}", rows[i]["prompt"], truth, index, step, responses)
                outcome.add_group(group.outcome, plan)
                for prompt in builder.build(group, plan).prompts:
                    outcome.add_prompt(prompt.objective, prompt.about, prompt.ground_truth in POSITIVE_LABELS)
                    found.append(as_row(rows[i], prompt))
            controller.update(outcome)
    finally:
        await client.close()
    return found


def mix(rows: list[dict], judge_rows: list[dict], steps: int) -> list[dict]:
    """Steps of questions and judge rows.

    Raises:
        ValueError: There are too few judge rows.
    """
    waiting, mixed = deque(judge_rows), []
    if len(waiting) < steps * JUDGE_PROMPTS:
        raise ValueError(f"{len(waiting)} judge prompts were built, {steps * JUDGE_PROMPTS} are needed")
    for step in range(steps):
        mixed += rows[step * POLICY_PROMPTS : (step + 1) * POLICY_PROMPTS]
        mixed += [waiting.popleft() for _ in range(JUDGE_PROMPTS)]
    return mixed


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the untrained model's folder")
    parser.add_argument("--train_file", type=Path, required=True, help="questions in training order")
    parser.add_argument("--output", type=Path, required=True, help="parquet file to write")
    parser.add_argument("--steps", type=int, required=True, help="training steps")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with initialize_config_dir(str(RECIPES), version_base=None):
        config = compose("quickstart", [f"spark.seed={arguments.seed}"])
    table = pq.read_table(arguments.train_file)
    limit = arguments.steps * SPARE * POLICY_PROMPTS
    rows = table.slice(0, limit).to_pylist()
    questions = list(load_benchmark("verl", arguments.train_file, limit=limit).questions)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(str(arguments.model), log=Path(folder) / "server.log", device="cpu")
        with server:
            needed = arguments.steps * JUDGE_PROMPTS
            judge_rows = asyncio.run(build(server.base_url, rows, questions, config, tokenizer, arguments.seed, needed))
    mixed = mix(rows, judge_rows, arguments.steps)
    pq.write_table(pa.Table.from_pylist(mixed, schema=table.schema), arguments.output)
    print(f"{len(mixed)} rows for {arguments.steps} steps: {arguments.output}")


if __name__ == "__main__":
    main()
