r"""Build the embedded model: a Qwen2.5-VL of about one million parameters, warm-started on the digit task.

    python -m spark_verl.embedded.build_model --output_dir DIR [--seed 0]

The folder is loaded by ``AutoProcessor``, ``AutoTokenizer``, ``AutoModelForImageTextToText`` and vLLM without network.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from spark_verl.embedded.demonstrations import TEMPLATES
from spark_verl.embedded.model import build_model
from spark_verl.embedded.tokenizer import build_processor
from spark_verl.embedded.warm_start import Schedule, teach_habits, teach_perception
from spark_verl.judge.templates import TemplateSet


def build(output_dir: str | Path, seed: int, schedule: Schedule, show_progress: bool = True) -> Path:
    """Build, warm-start and save the embedded model.

    Args:
        output_dir: Folder for model, tokenizer, processor and chat template; created when missing.
        seed: Seed of the initial weights and of the demonstrations.
        schedule: Length of the warm start.
        show_progress: Whether to draw a progress bar.

    Returns:
        The folder.
    """
    output_dir = Path(output_dir).expanduser()
    templates = TemplateSet.load(TEMPLATES)
    processor = build_processor(templates)
    model = build_model(processor, seed).train()
    with tqdm(total=schedule.steps, unit="step", disable=not show_progress, desc="warm start") as bar:
        teach_perception(model, processor, schedule, seed, bar)
        teach_habits(model, processor, templates, schedule, seed, bar)
    model.eval().save_pretrained(output_dir)
    processor.save_pretrained(output_dir)
    return output_dir


def main() -> None:
    """Parse the command line, build and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=0, help="seed of initial weights and demonstrations")
    parser.add_argument("--device_threads", type=int, default=os.cpu_count() or 1, help="threads that compute")
    parser.add_argument("--steps", type=int, help="cap on the steps of each stage, for a quick trial of the plumbing")
    args = parser.parse_args()
    torch.set_num_threads(args.device_threads)
    schedule = Schedule()
    if args.steps is not None:
        names = ("perception_steps", "skill_steps", "habit_steps")
        schedule = replace(schedule, **{name: min(args.steps, getattr(schedule, name)) for name in names})
    start = time.perf_counter()
    folder = build(args.output_dir, args.seed, schedule)
    print(f"embedded model written to {folder} in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
