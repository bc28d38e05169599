"""Seconds per training step of several variants of one run, side by side.

Each arm is the quickstart's run with its own overrides; arms are run alternately, ``--repeats`` times, so that a busy
machine hits all of them alike. Printed are medians per stage and the ratio to the first arm.

    # images processed once a group or once a sample
    python benchmarks/step_time.py --data DIR --model DIR
    python benchmarks/step_time.py --data DIR --model DIR \\
        --arm spark: --arm grpo:spark.enable=false,data.train_batch_size=16

``DIR`` are the folders that the quickstart leaves in ``outputs/quickstart`` (``data``, ``model``).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from spark_verl.summary import read_metrics

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("step", "gen", "old_log_prob", "ref", "update_actor")
MEDIA_ARMS = ["per sample:spark.share_media=false", "once a group:spark.share_media=true"]


def run_arm(overrides: list[str], data: Path, model: Path, steps: int, skip: int) -> dict[str, list[float]]:
    """One run; returns ``{stage: seconds of each step}`` without the first ``skip`` steps."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "spark_verl.main"),
            *("--config-path", str(ROOT / "recipes"), "--config-name", "quickstart"),
            f"data.train_files={data}/train.parquet",
            f"data.val_files={data}/test.parquet",
            f"actor_rollout_ref.model.path={model}",
            f"trainer.default_local_dir={folder}",
            f"trainer.total_training_steps={steps + skip}",
            *("trainer.val_before_train=false", "trainer.test_freq=-1", "trainer.save_freq=-1"),
            *("trainer.rollout_data_dir=null", "trainer.validation_data_dir=null"),
            *overrides,
        ]
        metrics = Path(folder) / "metrics.jsonl"
        environment = {**os.environ, "VERL_FILE_LOGGER_PATH": str(metrics), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"the run failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        measured = [data for step, data in sorted(read_metrics(metrics).items()) if step > skip]
    return {stage: [data[f"timing_s/{stage}"] for data in measured] for stage in STAGES}


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
            found = run_arm(
                overrides, arguments.data.resolve(), arguments.model.resolve(), arguments.steps, arguments.skip
            )
            for stage, values in found.items():
                seconds[name][stage].extend(values)
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
