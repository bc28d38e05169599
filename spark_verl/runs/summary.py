"""``python -m spark_verl.runs.summary RUN_DIR``: what a run achieved, as a short table and as JSON; and advice.

Reads ``metrics.jsonl`` and nothing else, so it works on any run whose ``trainer.logger`` has ``file``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from spark_verl.runs import advice
from spark_verl.runs.metrics import Steps, read
from spark_verl.runs.validation import QUANTITIES, validated


def summarize(steps: Steps) -> dict[str, Any]:
    """Steps, seconds, and every validated share at the first and the last validation.

    Args:
        steps: As from :attr:`spark_verl.runs.metrics.Metrics.steps`.
    """
    trained = [data for data in steps.values() if "timing_s/step" in data]
    validations = [found for data in steps.values() if (found := validated(data))]
    summary: dict[str, Any] = {"steps": len(trained)}
    if trained:
        seconds = [data["timing_s/step"] - data.get("timing_s/save_checkpoint", 0.0) for data in trained]
        summary["step_s_median"] = round(statistics.median(seconds), 2)
        summary["startup_s"] = round(trained[0].get("spark/startup_seconds", 0.0), 1)
        summary["train_s"] = round(sum(data["timing_s/step"] for data in trained), 1)
    for name in QUANTITIES:
        if validations and name in validations[0]:
            summary[f"{name}_before"] = round(validations[0][name], 4)
        if len(validations) > 1 and name in validations[-1]:
            summary[f"{name}_after"] = round(validations[-1][name], 4)
    return summary


def table(summary: dict[str, Any]) -> str:
    """The summary as a table a person reads."""
    lines = [f"{'held-out accuracy, sampled at the training temperature':<58}{'before':>8}{'after':>8}"]
    for name, quantity in QUANTITIES.items():
        before, after = summary.get(f"{name}_before"), summary.get(f"{name}_after")
        if before is not None:
            lines.append(f"  {quantity.text:<56}{_percent(before):>8}{_percent(after):>8}")
    times = [f"{summary['steps']} steps"]
    for key, text in (("step_s_median", "a step (median)"), ("startup_s", "start-up"), ("wall_s", "in all")):
        if key in summary:
            times.append(f"{text} {summary[key]:.0f} s" if summary[key] >= 20 else f"{text} {summary[key]:.1f} s")
    return "\n".join([*lines, "", ", ".join(times)])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Summarize a run from its metrics.jsonl.")
    parser.add_argument("run_dir", type=Path, help="folder with metrics.jsonl; summary.json is written there")
    parser.add_argument("--wall_s", type=float, help="seconds of the whole script, to be put into the summary")
    parser.add_argument("--seed", type=int, help="seed of the run, to be put into the summary")
    arguments = parser.parse_args()
    log = read(arguments.run_dir / "metrics.jsonl")
    summary = summarize(log.steps)
    for key in ("wall_s", "seed"):
        if getattr(arguments, key) is not None:
            summary[key] = getattr(arguments, key)
    (arguments.run_dir / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(table(summary))
    if found := advice.table(advice.advise(log)):
        print(f"\n{found}")


if __name__ == "__main__":
    main()
