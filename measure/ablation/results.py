"""What ``run.py`` has finished so far: every figure of every arm and seed, and their means over seeds.

Intervals are Student's over seeds: with three seeds they are wide, and say how far another seed may be off, which an
interval over questions does not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
from arms import ARMS
from scipy import stats

from spark_verl.report.frame import rolling
from spark_verl.runs.metrics import read_metrics

Result = dict[str, Any]
Results = dict[str, dict[int, Result]]
"""``{arm: {seed: result}}``."""


def _at(*path: str) -> Callable[[Result], Any]:
    return lambda result: reduce(getitem, path, result)


def _test(strategy: str, *path: str) -> Callable[[Result], Any]:
    return _at("evaluation", "benchmarks", "test", strategy, *path)


def _accuracy(strategy: str) -> Callable[[Result], float]:
    return _test(strategy, "accuracy", "value")


def _equal_tokens(strategy: str) -> Callable[[Result], float]:
    return _test(strategy, "equal_tokens", "accuracy", "value")


def _judge(name: str, *path: str) -> Callable[[Result], float]:
    return _at("evaluation", "judge", name, *path)


def _reflection(source: str) -> Callable[[Result], float]:
    rows = f"accuracy/data_source=spark/{source}"
    return _at("evaluation", "benchmarks", "judge_test", "single", "benchmark", rows)


def _reflected(change: str) -> Callable[[Result], float]:
    """Share of wrong first answers that ``reflect`` set right ("fixed"), or of right ones that it broke ("broken")."""

    def read(result: Result) -> float:
        right = _accuracy("single")(result)
        return _test("reflect", "judge", change)(result) / (1.0 - right if change == "fixed" else right)

    return read


def _training(result: Result) -> float:
    curve = result["policy_curve"]
    return sum(curve.values()) / len(curve)


def _after(step: int) -> Callable[[Result], float]:
    return lambda result: smooth(result["policy_curve"])[step]


FIGURES: dict[str, tuple[str, Callable[[Result], float], bool]] = {
    "policy, single pass": ("%", _accuracy("single"), True),
    "policy after 20 steps": ("%", _after(20), True),
    "policy after 30 steps": ("%", _after(30), True),
    "policy, mean over training": ("%", _training, True),
    "reflect": ("%", _accuracy("reflect"), True),
    "majority at reflect's tokens": ("%", _equal_tokens("reflect"), True),
    "best of n": ("%", _accuracy("best_of_n"), True),
    "weighted vote": ("%", _accuracy("weighted_vote"), True),
    "majority at the vote's tokens": ("%", _equal_tokens("weighted_vote"), True),
    "pointwise": ("%", _judge("judge_test: spark/pointwise", "accuracy"), True),
    "pairwise": ("%", _judge("judge_test: spark/pairwise", "accuracy"), True),
    "position bias": ("%", _judge("judge_test: spark/pairwise", "position", "bias"), False),
    "reflect: wrong fixed": ("%", _reflected("fixed"), True),
    "reflect: right broken": ("%", _reflected("broken"), False),
    "shown wrong, fixed": ("%", _reflection("reflection"), True),
    "shown right, broken": ("%", lambda result: 1.0 - _reflection("reflection_keep")(result), False),
    "ECE, own answers": ("", _judge("test: own answers", "calibration", "ece"), False),
    "tokens, single pass": ("tokens", _test("single", "tokens"), False),
    "tokens, reflect": ("tokens", _test("reflect", "tokens"), False),
    "tokens, weighted vote": ("tokens", _test("weighted_vote", "tokens"), False),
}
"""Name → unit, how it is read from a result, and whether more is better."""


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half-width of Student's 95 % interval; infinite for one value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.inf
    return mean, float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def learning_share(metrics: Path) -> float | None:
    """Share of a run's sequences whose group had different rewards: the others have advantage 0 and teach nothing."""
    if not metrics.is_file():
        return None
    rows = useful = 0.0
    for values in read_metrics(metrics).values():
        for name, count in values.items():
            if name.startswith("spark/") and name.endswith("/count"):
                rows += count
                useful += count * (1.0 - values[f"{name.removesuffix('/count')}/zero_variance_rate"])
    return useful / rows if rows else None


def policy_curve(folder: Path) -> dict[int, float]:
    """The policy's accuracy in every training step of an arm, on questions that it sees for the first time.

    From the rollout dump where there is one (the arm ``offline``), else from the metrics; empty without both.
    """
    if (folder / "rollouts").is_dir():
        curve = {}
        for file in (folder / "rollouts").glob("*.jsonl"):
            rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            curve[int(file.stem)] = float(
                np.mean([row["acc"] for row in rows if not str(row["data_source"]).startswith("spark/")])
            )
        return dict(sorted(curve.items()))
    if not (folder / "metrics.jsonl").is_file():
        return {}
    metrics = read_metrics(folder / "metrics.jsonl")
    name = "spark/policy/acc"
    return {step: values[name] for step, values in sorted(metrics.items()) if name in values}


def read_results(folder: Path) -> Results:
    """Finished runs of a variant, ``{arm: {seed: result}}``, arms in the order of ``arms.py``.

    ``result["policy_curve"]`` is :func:`policy_curve`, and ``result["cost"]["learning"]`` :func:`learning_share`.
    """
    found: Results = {name: {} for name in ARMS}
    for file in sorted(folder.glob("seed_*/*/result.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["cost"]:
            result["cost"]["learning"] = learning_share(file.with_name("metrics.jsonl"))
            result["policy_curve"] = policy_curve(file.parent)
        found[result["arm"]][result["seed"]] = result
    return {name: seeds for name, seeds in found.items() if seeds}


def figure(result: Result, name: str) -> float | None:
    """A figure of a result; None where the evaluation has none, such as a calibration without any judgement."""
    try:
        value = FIGURES[name][1](result)
    except (KeyError, TypeError, ZeroDivisionError):
        return None
    return None if value is None else float(value)


def reference_arm(results: Results) -> str:
    """The arm that all others are compared with: SPARK, or gated self-reward."""
    return "spark" if "spark" in results else "gated"


def summarize(results: Results) -> dict[str, dict[str, Any]]:
    """``{arm: {figure: {"seeds", "mean", "half_width", "reference_minus_this"}}}``, differences paired by seed."""
    summary: dict[str, dict[str, Any]] = {}
    reference = reference_arm(results)
    for arm, seeds in results.items():
        summary[arm] = {}
        for name in FIGURES:
            by_seed = {seed: value for seed, result in seeds.items() if (value := figure(result, name)) is not None}
            if not by_seed:
                continue
            mean, half = interval(list(by_seed.values()))
            entry: dict[str, Any] = {
                "seeds": by_seed,
                "mean": mean,
                "half_width": half if math.isfinite(half) else None,
            }
            full = {s: figure(result, name) for s, result in results.get(reference, {}).items()}
            pairs = [full[s] - value for s, value in by_seed.items() if full.get(s) is not None]
            if arm != reference and pairs:
                difference, width = interval(pairs)
                entry["reference_minus_this"] = difference
                entry["reference_minus_this_half_width"] = width if math.isfinite(width) else None
            summary[arm][name] = entry
    return summary


def smooth(curve: dict[int, float]) -> dict[int, float]:
    """Mean of each step and its neighbours."""
    values = rolling(np.array(list(curve)), np.array(list(curve.values())), np.ones(len(curve)), 3)
    return dict(zip(curve, values.tolist(), strict=True))
