"""``python -m spark_verl.runs.summary RUN_DIR``: what a run achieved, as a short table and as JSON.

Reads the files that verl's loggers wrote: ``metrics.jsonl`` (one line per step) and nothing else, so it works on any
run of this package whose ``trainer.logger`` has ``file``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

VALIDATED = {
    "policy_acc": ("policy: answers right", lambda source: not source.startswith("spark/")),
    "pointwise_acc": ("judge, pointwise: is this answer right?", lambda source: source == "spark/pointwise"),
    "pairwise_acc": ("judge, pairwise: which one is right?", lambda source: source == "spark/pairwise"),
    "reflection_fix_rate": ("reflection: wrong attempts put right", lambda source: source == "spark/reflection"),
    "reflection_keep_rate": ("reflection: right attempts kept", lambda source: source == "spark/reflection_keep"),
}
"""Name in the JSON → what it is, and which validation data sources it averages."""


def read_metrics(path: Path) -> dict[int, dict[str, Any]]:
    """Read verl's file logger: ``{step: metrics}``; lines of the same step are merged.

    Raises:
        FileNotFoundError: There is no such file: the run wrote no metrics.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: did the run start, with `file` among trainer.logger?")
    steps: dict[int, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # a run that was killed, or is writing, can leave a part of a line
        if isinstance(record, dict) and "step" in record and "data" in record:
            steps.setdefault(int(record["step"]), {}).update(record["data"])
    return steps


def validation_accuracy(metrics: dict[str, Any]) -> dict[str, float]:
    """The validated quantities of one step: ``{name: accuracy}`` for those that were validated then."""
    by_source = {}
    for key, value in metrics.items():
        parts = key.split("/")
        if parts[0] == "val-core" and parts[-2] == "acc" and parts[-1].startswith("mean@"):
            by_source["/".join(parts[1:-2])] = float(value)
    found = {}
    for name, (_, belongs) in VALIDATED.items():
        values = [value for source, value in by_source.items() if belongs(source)]
        if values:
            found[name] = statistics.fmean(values)
    return found


def summarize(steps: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Summary of a run: steps, seconds, and every validated accuracy at the first and the last validation.

    Args:
        steps: As from :func:`read_metrics`.
    """
    trained = {step: data for step, data in steps.items() if "timing_s/step" in data}
    validated = {step: found for step, data in sorted(steps.items()) if (found := validation_accuracy(data))}
    summary: dict[str, Any] = {"steps": len(trained)}
    if trained:
        seconds = [data["timing_s/step"] - data.get("timing_s/save_checkpoint", 0.0) for data in trained.values()]
        summary["step_s_median"] = round(statistics.median(seconds), 2)
        summary["startup_s"] = round(next(iter(trained.values())).get("spark/startup_seconds", 0.0), 1)
        summary["train_s"] = round(sum(data["timing_s/step"] for data in trained.values()), 1)
    if validated:
        first, last = min(validated), max(validated)
        for name in VALIDATED:
            if name in validated[first]:
                summary[f"{name}_before"] = round(validated[first][name], 4)
            if last != first and name in validated[last]:
                summary[f"{name}_after"] = round(validated[last][name], 4)
    return summary


def table(summary: dict[str, Any]) -> str:
    """The summary as a table a person reads."""
    lines = [f"{'held-out accuracy, sampled at the training temperature':<58}{'before':>8}{'after':>8}"]
    for name, (text, _) in VALIDATED.items():
        before, after = summary.get(f"{name}_before"), summary.get(f"{name}_after")
        if before is not None:
            lines.append(f"  {text:<56}{_percent(before):>8}{_percent(after):>8}")
    times = [f"{summary['steps']} steps"] if "steps" in summary else []
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
    summary = summarize(read_metrics(arguments.run_dir / "metrics.jsonl"))
    for key in ("wall_s", "seed"):
        if getattr(arguments, key) is not None:
            summary[key] = getattr(arguments, key)
    (arguments.run_dir / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(table(summary))


if __name__ == "__main__":
    main()
