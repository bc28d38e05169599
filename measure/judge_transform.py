"""What the judge transform costs: groups per second, beside image processing, and as a share of real steps.

    python measure/judge_transform.py --data DIR --model DIR [--metrics metrics.jsonl]

``DIR`` are the folders that the quickstart leaves in ``outputs/quickstart`` (``data``, ``model``); ``--metrics`` is the
``metrics.jsonl`` of any run. The groups are real questions with their images and synthetic rollouts of ``--words``
words. Printed are

- groups/s of the transform with and without images (it never looks at pixels, so the two should be equal);
- beside it, in the same process, what one group's images cost: processed once (what is needed), and 3 times per sample
  (what verl does: tokenize, score, store), which is what sharing them saves;
- the transform's share of each real step.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from pathlib import Path

import datasets
from tqdm import tqdm
from transformers import AutoProcessor

from spark_verl.config import PairwiseConfig, SparkConfig
from spark_verl.judge import BalanceController, Correctness, JudgeBuilder, Rollout, RolloutGroup
from spark_verl.judge.length import question_tokens
from spark_verl.runs.metrics import read_metrics

N = 8


def make_groups(rows, tokenizer, processor, words: int, count: int, with_images: bool) -> list[RolloutGroup]:
    """Groups with real questions and synthetic rollouts, half of them right."""
    rng = random.Random(0)
    groups = []
    for index in range(count):
        row = rows[index % len(rows)]
        text = row["prompt"][-1]["content"].replace("<image>", "")
        parts = [{"type": "image", "image": image} for image in row["images"]] if with_images else []
        messages = [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
        rollouts = []
        for _ in range(N):
            right = rng.random() < 0.5
            answer = str(row["reward_model"]["ground_truth"]) if right else str(rng.randrange(1000, 2000))
            chain = " ".join(f"{rng.choice(('so', 'then', 'add', 'take'))} {rng.randrange(100)}" for _ in range(words))
            correctness = Correctness.RIGHT if right else Correctness.WRONG
            rollouts.append(Rollout(f"{chain} \\boxed{{{answer}}}", answer, correctness))
        tokens = question_tokens(messages, tokenizer, processor)
        groups.append(RolloutGroup("uid", messages, "7", index, 1, tuple(rollouts), tokens))
    return groups


def seconds_per_group(builder: JudgeBuilder, plans, groups, repeats: int) -> tuple[float, float]:
    """(Median seconds per group over the repeats, prompts per group)."""
    seconds, prompts = [], 0
    for _ in range(repeats):
        started = time.perf_counter()
        prompts = sum(len(builder.build(group, plan).prompts) for group, plan in zip(groups, plans, strict=True))
        seconds.append((time.perf_counter() - started) / len(groups))
    return statistics.median(seconds), prompts / len(groups)


def seconds_per_image_set(processor, groups, repeats: int) -> float:
    """Median seconds that the image processor needs for one group's images."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        for group in groups:
            images = [part["image"] for part in group.messages[-1]["content"] if part["type"] == "image"]
            processor.image_processor(images, return_tensors="pt")
        seconds.append((time.perf_counter() - started) / len(groups))
    return statistics.median(seconds)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.parquet")
    parser.add_argument("--model", type=Path, required=True, help="model folder: tokenizer and processor")
    parser.add_argument("--metrics", type=Path, help="metrics.jsonl of a run")
    parser.add_argument("--groups", type=int, default=256)
    parser.add_argument("--words", type=int, default=100, help="length of a chain of thought")
    parser.add_argument("--image_side", type=int, help="enlarge images to this many pixels a side, as in real data")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    processor = AutoProcessor.from_pretrained(arguments.model)
    tokenizer = processor.tokenizer
    rows = datasets.load_dataset("parquet", data_files=str(arguments.data / "train.parquet"))["train"]
    rows = rows.select(range(min(len(rows), arguments.groups)))
    side = arguments.image_side

    def prepared(image):
        return image.convert("RGB") if side is None else image.convert("RGB").resize((side, side))

    rows = [{**row, "images": [prepared(image) for image in row["images"]]} for row in tqdm(rows, desc="rows")]

    found = {}
    print(f"\n{'transform':<28}{'groups/s':>10}{'ms/group':>10}{'prompts':>9}")
    for name, config in {
        "reference (1 per group)": SparkConfig(),
        "quickstart (2 per group)": SparkConfig(judge_prompts_per_group=1.5, pairwise=PairwiseConfig(0.5)),
    }.items():
        builder = JudgeBuilder(config, tokenizer=tokenizer, max_prompt_length=8192)
        plans = BalanceController(config).plan(arguments.groups, 1)
        for with_images in (False, True):
            groups = make_groups(rows, tokenizer, processor, arguments.words, arguments.groups, with_images)
            seconds, prompts = seconds_per_group(builder, plans, groups, arguments.repeats)
            found[name, with_images] = seconds
            label = f"{name}, {'images' if with_images else 'text'}"
            print(f"{label:<28}{1 / seconds:>10.0f}{1000 * seconds:>10.2f}{prompts:>9.2f}")

    once = seconds_per_image_set(processor, groups, arguments.repeats)
    transform = found["reference (1 per group)", True]
    print(f"\none group's images, processed once: {1000 * once:.2f} ms; for each of {N} samples, as verl does")
    print(
        f"(3 times a sample): {1000 * 3 * N * once:.1f} ms. The transform takes {transform / (3 * N * once):.1%} of it"
    )

    if arguments.metrics:
        steps = [data for _, data in sorted(read_metrics(arguments.metrics).items()) if "timing_s/step" in data]
        shares = [
            data["spark/judge/transform_seconds"] / data["timing_s/step"]
            for data in steps
            if "spark/judge/transform_seconds" in data
        ]
        median = statistics.median(shares)
        print(f"\nshare of a real step: median {median:.2%}, largest {max(shares):.2%} of {len(shares)} steps")


if __name__ == "__main__":
    main()
