"""Seconds per training step of several variants of one run, side by side.

Each arm is the quickstart's run with its own overrides; arms are run alternately, ``--repeats`` times, so that a busy
machine hits all of them alike. Printed are medians per stage and the ratio to the first arm.

    # images processed once a group or once a sample
    python measure/step_time.py --data DIR --model DIR
    python measure/step_time.py --data DIR --model DIR \\
        --arm spark: --arm grpo:spark.enable=false,data.train_batch_size=16

``DIR`` are the folders that the quickstart leaves in ``outputs/quickstart`` (``data``, ``model``).
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from runs import run

STAGES = ("step", "gen", "old_log_prob", "ref", "update_actor")
MEDIA_ARMS = ["per sample:spark.share_media=false", "once a group:spark.share_media=true"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.parquet and test.parquet")
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--arm", action="append", help="name:override,override,... (at least two)")
    parser.add_argument("--steps", type=int, default=10, help="steps measured per run")
    parser.add_argument("--skip", type=int, default=2, help="first steps left out: they contain warm-up")
    parser.add_argument("--repeats", type=int, default=2, help="runs per arm")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    arms = {}
    for arm in arguments.arm or MEDIA_ARMS:
        name, _, overrides = arm.partition(":")
        arms[name] = [item for item in overrides.split(",") if item]
    seconds: dict[str, dict[str, list[float]]] = {name: {stage: [] for stage in STAGES} for name in arms}
    for repeat in range(arguments.repeats):
        for name, overrides in arms.items():
            print(f"run {repeat + 1}/{arguments.repeats}: {name}", flush=True)
            data, model = arguments.data.resolve(), arguments.model.resolve()
            for step in run(overrides, data, model, arguments.steps, arguments.skip):
                for stage in STAGES:
                    seconds[name][stage].append(step[f"timing_s/{stage}"])
    medians = {name: {s: statistics.median(v) for s, v in stages.items()} for name, stages in seconds.items()}
    first = next(iter(medians))
    print(f"\n{'median seconds':<24}" + "".join(f"{stage:>14}" for stage in STAGES))
    for name, stages in medians.items():
        cells = "".join(f"{value:>8.2f} {value / medians[first][stage]:>4.2f}x" for stage, value in stages.items())
        print(f"{name:<24}{cells}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"medians": medians, "seconds": seconds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
