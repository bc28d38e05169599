r"""Build the digits model: a Qwen2.5-VL of about one million parameters, warm-started on the digit task.

    python -m spark_verl.digits.build_model --output_dir DIR [--seed 0] [--variant sparse]

The folder is loaded by ``AutoProcessor``, ``AutoTokenizer``, ``AutoModelForImageTextToText`` and vLLM without network.
A model that was built before comes from a cache (``SPARK_CACHE=folder``; empty: build it, keep nothing).

What it was taught, from random weights and from training digits only (``warm_start`` has the schedule):

1. Perception, 250 steps of 64 digits: the vision tower reads single digits (99 % of the held-out ones).
2. Skill, 1,400 steps of 24 demonstrations, all careful: 30 % policy prompts, 25 % pointwise, 25 % pairwise, 20 %
   reflection. Read the digits, write the working, box the result; as a judge, solve first, compare digit by digit, then
   give the verdict.
3. Habits, 300 steps of 24 demonstrations: 40 % policy, 20 % of each judge prompt. Careful ones are 52 % for policy
   prompts, 18 % for pointwise and pairwise, 30 % for reflection. The others are sloppy: any answer of the kind of
   question, a verdict by the toss of a coin, an attempt's answer repeated (75 %) or a guess (25 %).

So at temperature 1 it knows every format, answers about half of held-out questions right and judges about as well as a
coin, though nine in ten of its careful answers and more than eight in ten of its careful verdicts are right. The
careful shares come out up to 11 points lower than taught, depending on the seed.

The variant ``sparse`` is for the ablation: 1,000 skill steps, so that a careful answer goes wrong more often, and no
careful answer to a question among the habits. Its answers start at chance (7 % right), while one judgement in six and
three reflections in ten are careful. It stands in for questions on which a model hardly ever succeeds when it is asked
directly, though looking at an attempt makes it work the question out.

The variant ``biased`` is for self-reward: a quarter of its answers are careful, half take the first digit for the
answer, and the rest are guesses, while half of its verdicts are careful. So its most frequent answer is mostly wrong,
and its judgement knows better.

The variant ``misled`` is for self-reward where labels are scarce: for half of the kinds of question and first digits,
three of four answers come to a wrong result by a working that looks careful, always to the same one. Each of these
twenty-odd beliefs is wrong in its own way, so a label about one says little about the rest; its verdicts are as in
``biased``. They are learned in part: seven of ten answers are right at the start.

In the variant ``confused`` three of four answers carry out, without a slip, an operation that belongs to another kind
of question: which one follows from the kind and the first digit, and for a fifth of them it is the right one.

Why that is a fair stand-in: an instruction-tuned model also *can* solve and check, but does not always, and
reinforcement learning with a verdict as its only reward chooses among behaviours that a model already has. The warm
start never says that care pays: the sloppy habit is the likelier one, prompts do not tell which is wanted, and in
demonstrations a candidate's style says nothing about whether it is right. What it cannot stand in for is scale:
nothing here says how much a model of billions of parameters gains on real questions.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from spark_verl.digits.cache import cache_folder, copy_or_build
from spark_verl.digits.schedule import VARIANTS, Schedule
from spark_verl.digits.team import ALONE, Team, run_team


def build(
    output_dir: str | Path, seed: int, schedule: Schedule, show_progress: bool = True, processes: int | None = None
) -> Path:
    """Build, warm-start and save the digits model.

    Args:
        output_dir: Folder for model, tokenizer, processor and chat template; created when missing.
        seed: Seed of the initial weights and of the demonstrations.
        schedule: Length of the warm start.
        show_progress: Whether to draw a progress bar.
        processes: How many share the work, with the same result up to rounding; None: this one does it, with as many
            threads as torch has.

    Returns:
        The folder.

    Raises:
        ChildProcessError: A process failed or was killed.
    """
    output_dir = Path(output_dir).expanduser()
    arguments = (output_dir, seed, schedule, show_progress)
    if processes is None:
        _build(ALONE, *arguments)
    else:
        run_team(processes, _build, *arguments, preload="spark_verl.digits.warm_start")
    return output_dir


def _build(team: Team, *arguments: Any) -> None:
    # Imported here: torch and transformers take ten seconds, and a model from the cache needs neither.
    from spark_verl.digits.warm_start import warm_start

    warm_start(team, *arguments)


def main() -> None:
    """Parse the command line, build and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=0, help="seed of initial weights and demonstrations")
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="mixed", help="what its answers start from")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=int, default=min(2, cores), help="that share the work, a core for each")
    parser.add_argument("--steps", type=int, help="cap on the steps of each stage, for a quick trial of the plumbing")
    args = parser.parse_args()
    if args.processes < 1:
        parser.error("--processes must be at least 1")
    schedule = VARIANTS[args.variant]
    if args.steps is not None:
        names = ("perception_steps", "skill_steps", "habit_steps")
        schedule = replace(schedule, **{name: min(args.steps, getattr(schedule, name)) for name in names})
    start = time.perf_counter()
    folder = Path(args.output_dir).expanduser()
    try:
        cached = copy_or_build(
            folder, (args.seed, schedule), lambda made: build(made, args.seed, schedule, processes=args.processes)
        )
    except ChildProcessError as error:
        sys.exit(f"the warm start failed: {error}")
    how = f"taken from {cache_folder()}" if cached else f"built in {time.perf_counter() - start:.0f} s"
    print(f"warm-started model in {folder}, {how}")


if __name__ == "__main__":
    main()
