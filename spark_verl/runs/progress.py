"""``python -m spark_verl.runs.progress --log L --metrics M --steps N -- COMMAND``: run a command, show how it does.

The command's own output (hundreds of lines from ten processes) goes to the log; here stand one bar, how long it still
takes, and the metrics that matter. On failure the end of the log is printed and the command's exit code is passed on.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import psutil
from tqdm import tqdm

from spark_verl.runs.metrics import read_metrics
from spark_verl.trainer.ending import SIGNALS

SHOWN = {
    "policy": "spark/policy/acc",
    "pointwise": "spark/judge/pointwise/acc",
    "pairwise": "spark/judge/pairwise/acc",
    "reflect": "spark/judge/reflection/acc",
    "s/step": "timing_s/step",
}
TAIL_LINES = 40

STARTUP_CPU_S, VALIDATION_CPU_S, STEP_CPU_S = 110.0, 32.0, 7.0
"""CPU seconds that the quickstart's start-up, one of its validations and a step take, about. Only what comes before the
first step has to rely on them: CPU seconds count the work, and how fast they pass counts the machine and whatever else
it does."""


def bar_options() -> dict[str, Any]:
    """How often a bar is drawn: on a terminal smoothly, in a log file every half minute, where each drawing stays."""
    return {"dynamic_ncols": True} if sys.stderr.isatty() else {"mininterval": 30.0, "ncols": 120}


def remaining_seconds(
    steps: int, elapsed_s: float, cpu_s: float, metrics: Mapping[int, Mapping[str, float]], since_s: float = 0.0
) -> float | None:
    """How long a training command still takes.

    Args:
        steps: Training steps that it will do.
        elapsed_s: Seconds since it was started.
        cpu_s: CPU seconds that it and its children have used.
        metrics: ``{step: metrics}`` so far; step 0 is the validation before training.
        since_s: Seconds since the last of them came.

    Returns:
        Seconds; None while nothing is known.
    """
    done = [metrics[step] for step in sorted(metrics) if "timing_s/step" in metrics[step]]
    speed = cpu_s / elapsed_s if elapsed_s > 0 else 0.0
    if len(done) < 2:  # the first step may have to warm up, and says little
        if speed <= 0:
            return None
        ahead = VALIDATION_CPU_S + (steps - len(done)) * STEP_CPU_S
        before = max(0.0, STARTUP_CPU_S + VALIDATION_CPU_S - cpu_s) if not metrics else 0.0
        return max(0.0, (before + ahead) / speed - since_s)
    # The last step's seconds hold the validation and the checkpoint that follow it.
    recent = [each["timing_s/step"] - each.get("timing_s/testing", 0.0) for each in done[-5:]]
    last = VALIDATION_CPU_S / speed if len(done) < steps else 0.0
    return max(0.0, (steps - len(done)) * fmean(recent) + last - since_s)


def family_cpu_seconds(process: psutil.Process, seen: dict[int, float]) -> float:
    """CPU seconds of a process and everything it started; ``seen`` keeps those of processes that are gone."""
    for member in [process, *process.children(recursive=True)]:
        try:
            times = member.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seen[member.pid] = times.user + times.system
    return sum(seen.values())


def _clock(seconds: float | None) -> str:
    return "?" if seconds is None else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def watch(process: subprocess.Popen, metrics_file: Path, steps: int, poll_s: float = 1.0) -> int:
    """Show a bar until the process ends; returns its exit code.

    Args:
        process: The training command.
        metrics_file: verl's file logger output of this very run.
        steps: Number of training steps expected.
        poll_s: Seconds between two looks.
    """
    started = time.time()
    cpu: dict[int, float] = {}
    bar_format = "{desc}: {n_fmt}/{total_fmt} |{bar}| {elapsed}{postfix}"
    with tqdm(total=steps, desc="starting processes", bar_format=bar_format, **bar_options()) as bar:
        while (code := process.poll()) is None:
            metrics, since = {}, 0.0
            # The file of an earlier run may still be there while this one starts up.
            if metrics_file.is_file() and metrics_file.stat().st_mtime >= started - 1:
                metrics = read_metrics(metrics_file)
                since = time.time() - metrics_file.stat().st_mtime
            try:
                used = family_cpu_seconds(psutil.Process(process.pid), cpu)
            except psutil.NoSuchProcess:
                continue  # it ended between the two questions
            left = remaining_seconds(steps, time.time() - started, used, metrics, since)
            _show(bar, metrics, left)
            time.sleep(poll_s)
        if metrics_file.is_file():
            _show(bar, read_metrics(metrics_file), 0.0)
    return code


def _show(bar: tqdm, metrics: Mapping[int, Mapping[str, float]], left_s: float | None) -> None:
    """Draw what is known; ``bar.update`` decides how often."""
    done = [step for step in metrics if "timing_s/step" in metrics[step]]
    if metrics:
        bar.set_description_str("step", refresh=False)
    last = metrics[max(done)] if done else {}
    shown = [f"{name} {last[key]:.2f}" for name, key in SHOWN.items() if key in last]
    bar.set_postfix_str(", ".join([f"about {_clock(left_s)} left", *shown]), refresh=False)
    bar.update(len(done) - bar.n)
    if sys.stderr.isatty():
        bar.refresh()  # the clock goes on while nothing else does


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Run a training command and show its progress.")
    parser.add_argument("--log", type=Path, required=True, help="where the command's output goes")
    parser.add_argument("--metrics", type=Path, required=True, help="metrics file of verl's file logger")
    parser.add_argument("--steps", type=int, required=True, help="expected number of training steps")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        parser.error("no command given after --")
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    with arguments.log.open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        # Whoever stops us wants the training stopped, too: it would go on alone otherwise.
        for asking in SIGNALS:
            signal.signal(asking, lambda number, _: process.send_signal(number))
        try:
            code = watch(process, arguments.metrics, arguments.steps)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            code = process.wait()
    if code != 0:
        with arguments.log.open(encoding="utf-8", errors="replace") as log:
            tail = "".join(deque(log, maxlen=TAIL_LINES))
        print(f"\nThe command ended with exit code {code}. End of {arguments.log}:\n\n{tail}", file=sys.stderr)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
