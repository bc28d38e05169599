"""A step of large images through one agent-loop worker and through several: how long, and how long nothing else moves.

    python measure/load.py --model MODEL [--samples 512] [--side 1024] [--workers 1 4]

``MODEL`` is the digits model (``spark_verl.digits.build_model``), whose image processor is told to keep a megapixel.
The worker is the real one, with its judge prompts; the engine's answers come in over 10 seconds, rows go nowhere, so
that what is measured is the worker alone. Each worker is a process of its own, as in a run. Printed are seconds of the
slowest one, samples that failed, and the longest time that a worker's event loop did not come round.

Hostile rollouts, 10,000 of them, go through the transform, the tokenizer and the processor with

    SPARK_HOSTILE_GROUPS=1250 python -m pytest tests/judge/test_hostile.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
N = 8
BEAT_S = 0.02
ENGINE_S = 10.0
"""Over which an engine's answers come in: all at once, hundreds would wait for the same turn of the event loop."""


def model_for(folder: Path, model: Path, pixels: int) -> Path:
    """A copy of a model folder whose processor leaves images of so many pixels as they are."""
    shutil.copytree(model, folder / "model")
    file = folder / "model" / "processor_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["image_processor"]["size"]["longest_edge"] = pixels
    file.write_text(json.dumps(config), encoding="utf-8")
    return folder / "model"


def work(model: Path, first: int, groups: int, side: int) -> tuple[int, int, float, float]:
    """One worker's share of a step.

    Args:
        model: Model folder.
        first: Number of its first group.
        groups: How many it gets.
        side: Of its images, in pixels.

    Returns:
        Rows that came out, samples that failed, seconds, and those of its event loop's longest pause.
    """
    sys.path.insert(0, str(ROOT / "tests" / "shared"))
    import pytest
    from memory_queue import MemoryQueue
    from PIL import Image
    from scripted_worker import prompt, runner
    from transformers import AutoTokenizer

    put, pauses, beats = MemoryQueue.kv_batch_put, [0.0], []
    MemoryQueue.kv_batch_put = lambda self, keys, partition_id, fields=None, tags=None, **_: put(
        self, keys, partition_id, None, tags
    )

    async def beat() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(BEAT_S)
            pauses[0] = max(pauses[0], time.perf_counter() - before - BEAT_S)

    async def answer() -> str:
        if not beats:
            beats.append(asyncio.create_task(beat()))
        await asyncio.sleep(rng.uniform(0.0, ENGINE_S))
        return f"\\boxed{{{rng.choice((4, 5))}}}"

    rng = random.Random(first)

    def question(number: int) -> dict:
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
        content = [{"type": "image", "image": Image.fromarray(pixels)}, {"type": "text", "text": "Which is larger?"}]
        return prompt(uid=f"u{number}", raw_prompt=[{"role": "user", "content": content}])

    with pytest.MonkeyPatch.context() as patch:
        run = runner(str(model), AutoTokenizer.from_pretrained(model), patch)
        script = {"Which is larger?": [answer] * (groups * N)}
        limits = [f"actor_rollout_ref.rollout.n={N}", "data.max_prompt_length=4096", "data.max_response_length=64"]
        limits.append("actor_rollout_ref.rollout.max_model_len=4160")
        questions = [question(first + i) for i in range(groups)]
        started = time.perf_counter()
        _, queue, _ = run(script, questions, overrides=limits)
        seconds = time.perf_counter() - started
    tags = queue.tags["train"]
    rows = [key for key, tag in tags.items() if not tag.get("is_prompt")]
    failed = sum(tag.get("status") == "failure" for tag in tags.values())
    return len(rows), failed, seconds, pauses[0]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder of the digits model")
    parser.add_argument("--samples", type=int, default=512, help=f"of the policy; {N} show the same image")
    parser.add_argument("--side", type=int, default=1024, help="of an image, in pixels")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    arguments = parser.parse_args()
    groups = arguments.samples // N
    print(f"{groups * N} samples, {arguments.side} x {arguments.side} pixels\n")
    print(f"{'workers':>8}{'rows':>8}{'failed':>8}{'seconds':>9}{'samples/s':>11}{'longest pause, s':>18}")
    with tempfile.TemporaryDirectory() as folder:
        model = model_for(Path(folder), arguments.model, arguments.side**2)
        for workers in arguments.workers:
            shares = [groups // workers + (i < groups % workers) for i in range(workers)]
            tasks = [(model, sum(shares[:i]), share, arguments.side) for i, share in enumerate(shares)]
            with multiprocessing.get_context("spawn").Pool(workers) as pool:
                found = pool.starmap(work, tasks)
            rows, failed = (sum(each[i] for each in found) for i in (0, 1))
            seconds, pause = (max(each[i] for each in found) for i in (2, 3))
            figures = f"{seconds:>9.0f}{groups * N / seconds:>11.1f}{pause:>18.2f}"
            print(f"{workers:>8}{rows:>8}{failed:>8}{figures}", flush=True)


if __name__ == "__main__":
    main()
