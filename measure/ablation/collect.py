"""The ablation's tables and pictures from what ``run.py`` has finished so far.

    python measure/ablation/collect.py outputs/ablation --output docs/results

writes, for each variant of the digits model that was run, ``digits_VARIANT.json`` (every figure of every arm and
seed), ``digits_VARIANT.md`` (means over seeds with 95 % intervals, and differences to SPARK on the same seeds) and
two pictures. Intervals are Student's over seeds: with three seeds they are wide, and say how far another seed may be
off, which an interval over questions does not.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from arms import ARMS
from scipy import stats

from spark_verl.report.frame import rolling
from spark_verl.runs.metrics import read_metrics

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Result = dict[str, Any]


def _test(strategy: str) -> Callable[[Result], float]:
    return lambda result: result["evaluation"]["benchmarks"]["test"][strategy]["accuracy"]["value"]


def _tokens(strategy: str) -> Callable[[Result], float]:
    return lambda result: result["evaluation"]["benchmarks"]["test"][strategy]["tokens"]


def _judge(name: str, *path: str) -> Callable[[Result], float]:
    def read(result: Result) -> float:
        value = result["evaluation"]["judge"][name]
        for key in path:
            value = value[key]
        return value

    return read


def _reflection(source: str) -> Callable[[Result], float]:
    key = f"accuracy/data_source=spark/{source}"
    return lambda result: result["evaluation"]["benchmarks"]["judge_test"]["single"]["benchmark"][key]


def _reflected(change: str) -> Callable[[Result], float]:
    """Share of wrong first answers that ``reflect`` set right ("fixed"), or of right ones that it broke ("broken")."""

    def read(result: Result) -> float:
        single = _test("single")(result)
        changed = result["evaluation"]["benchmarks"]["test"]["reflect"]["judge"][change]
        return changed / (1.0 - single if change == "fixed" else single)

    return read


def _equal_tokens(strategy: str) -> Callable[[Result], float]:
    return lambda result: result["evaluation"]["benchmarks"]["test"][strategy]["equal_tokens"]["accuracy"]["value"]


def _training(result: Result) -> float:
    curve = result["policy_curve"]
    return sum(curve.values()) / len(curve)


def _after(step: int) -> Callable[[Result], float]:
    return lambda result: _smooth(result["policy_curve"])[step]


FIGURES: dict[str, tuple[str, Callable[[Result], float], bool]] = {
    "policy, single pass": ("%", _test("single"), True),
    "policy after 20 steps": ("%", _after(20), True),
    "policy after 30 steps": ("%", _after(30), True),
    "policy, mean over training": ("%", _training, True),
    "reflect": ("%", _test("reflect"), True),
    "majority at reflect's tokens": ("%", _equal_tokens("reflect"), True),
    "best of n": ("%", _test("best_of_n"), True),
    "weighted vote": ("%", _test("weighted_vote"), True),
    "majority at the vote's tokens": ("%", _equal_tokens("weighted_vote"), True),
    "pointwise": ("%", _judge("judge_test: spark/pointwise", "accuracy"), True),
    "pairwise": ("%", _judge("judge_test: spark/pairwise", "accuracy"), True),
    "position bias": ("%", _judge("judge_test: spark/pairwise", "position", "bias"), False),
    "reflect: wrong fixed": ("%", _reflected("fixed"), True),
    "reflect: right broken": ("%", _reflected("broken"), False),
    "shown wrong, fixed": ("%", _reflection("reflection"), True),
    "shown right, broken": ("%", lambda result: 1.0 - _reflection("reflection_keep")(result), False),
    "ECE, own answers": ("", _judge("test: own answers", "calibration", "ece"), False),
    "tokens, single pass": ("tokens", _tokens("single"), False),
    "tokens, reflect": ("tokens", _tokens("reflect"), False),
    "tokens, weighted vote": ("tokens", _tokens("weighted_vote"), False),
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


def read_results(folder: Path) -> dict[str, dict[int, Result]]:
    """Finished runs of a variant, ``{arm: {seed: result}}``, arms in the order of ``arms.py``.

    ``result["policy_curve"]`` is :func:`policy_curve`, and ``result["cost"]["learning"]`` :func:`learning_share`.
    """
    found: dict[str, dict[int, Result]] = {name: {} for name in ARMS}
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


def summarize(results: dict[str, dict[int, Result]]) -> dict[str, dict[str, Any]]:
    """``{arm: {figure: {"seeds", "mean", "half_width", "spark_minus_this"}}}``, differences paired by seed."""
    summary: dict[str, dict[str, Any]] = {}
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
            spark = {s: figure(result, name) for s, result in results.get("spark", {}).items()}
            pairs = [spark[s] - value for s, value in by_seed.items() if spark.get(s) is not None]
            if arm != "spark" and pairs:
                difference, width = interval(pairs)
                entry["spark_minus_this"] = difference
                entry["spark_minus_this_half_width"] = width if math.isfinite(width) else None
            summary[arm][name] = entry
    return summary


def _cell(mean: float, half: float | None, unit: str) -> str:
    scale, digits = (100.0, 1) if unit == "%" else (1.0, 0 if unit == "tokens" else 3)
    width = "" if half is None else f" ± {scale * half:.{digits}f}"
    return f"{scale * mean:.{digits}f}{width}"


def tables(results: dict[str, dict[int, Result]], summary: dict[str, dict[str, Any]], variant: str) -> str:
    """The Markdown page of a variant. Arms are columns: there are more figures than fit beside each other."""
    arms = list(summary)
    lines = [f"# Ablation on the digits task, variant `{variant}`", ""]
    lines += [
        f"Made by `bash run_scripts/ablate.sh --variant {variant}` (`--arms` and `--seeds` choose what is listed here)"
        " and `measure/ablation/collect.py`.",
        "",
    ]
    lines += [f"- **{arm}**: {ARMS[arm].about}; seeds {', '.join(map(str, sorted(results[arm])))}" for arm in arms]
    lines += [
        "",
        "Accuracies and rates in %, mean ± half of Student's 95 % interval over seeds (none for one seed). The policy"
        " after 20 and 30 steps and over training is measured on training questions, each seen for the first time; all"
        " else on held-out ones.",
    ]
    for title, prefix in (("Figures", ""), ("SPARK minus the arm, on the same seeds", "spark_minus_this")):
        shown = [arm for arm in arms if not prefix or arm != "spark"]
        rows = []
        for name, (unit, _, _) in FIGURES.items():
            cells = []
            for arm in shown:
                entry = summary[arm].get(name, {})
                mean, half = entry.get(prefix or "mean"), entry.get(f"{prefix}_half_width" if prefix else "half_width")
                cells.append("–" if mean is None else _cell(mean, half, unit))
            if set(cells) != {"–"}:
                rows.append(f"| {name} | " + " | ".join(cells) + " |")
        if rows:
            lines += ["", f"## {title}", "", "| | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|", *rows]
    lines += half_right_table(results)
    lines += ["", "## Cost of training", "", "Means over seeds.", ""]
    lines += ["| | steps | sequences | of them with an advantage | tokens | seconds |", "|---" * 6 + "|"]
    for arm, seeds in results.items():
        costs = [result["cost"] for result in seeds.values() if result["cost"]]
        if costs:
            mean = {key: np.mean([cost[key] for cost in costs]) for key in ("steps", "sequences", "tokens", "seconds")}
            shares = [cost["learning"] for cost in costs if cost["learning"] is not None]
            learning = f"{np.mean(shares):.0%}" if shares else "–"
            lines.append(
                f"| {arm} | {mean['steps']:.0f} | {mean['sequences']:,.0f} | {learning} | {mean['tokens']:,.0f} |"
                f" {mean['seconds']:.0f} |"
            )
    return "\n".join(lines) + "\n"


def half_right(curve: dict[int, float]) -> str:
    """The first step at which half of the training answers are right (mean of three steps), or "> last step"."""
    found = next((step for step, share in _smooth(curve).items() if share >= 0.5), None)
    return f"> {max(curve)}" if found is None else str(found)


def half_right_table(results: dict[str, dict[int, Result]]) -> list[str]:
    """Markdown lines: :func:`half_right` of every arm and seed; none where no curve is known."""
    curves = {
        arm: {seed: result["policy_curve"] for seed, result in seeds.items() if result.get("policy_curve")}
        for arm, seeds in results.items()
    }
    seeds = sorted({seed for by_seed in curves.values() for seed in by_seed})
    if not seeds:
        return []
    rows = [
        f"| {arm} | " + " | ".join(half_right(by_seed[seed]) if seed in by_seed else "–" for seed in seeds) + " |"
        for arm, by_seed in curves.items()
        if by_seed
    ]
    title = "First step at which half of the training answers are right (mean of three steps), by seed."
    head = ["| seed | " + " | ".join(map(str, seeds)) + " |", "|---" * (len(seeds) + 1) + "|"]
    return ["", "## How soon", "", title, "", *head, *rows]


def draw_curves(results: dict[str, dict[int, Result]], path: Path) -> None:
    """Accuracies over training steps: the policy's in every step, the judge's when it was validated.

    Thin lines are seeds, thick ones their mean; the judge's begin with the arm ``base``.
    """
    panels = {"pointwise": "spark/pointwise", "pairwise": "spark/pairwise", "shown wrong, fixed": "spark/reflection"}
    chart, axes = plt.subplots(1, len(panels) + 1, figsize=(3.6 * (len(panels) + 1), 3.4), sharey=True)
    # Ten strong colours, then ten pale ones.
    palette = plt.get_cmap("tab20").colors
    colours = dict(zip(results, palette[::2] + palette[1::2], strict=False))
    policies = {
        arm: [_smooth(result["policy_curve"]) for result in seeds.values() if result.get("policy_curve")]
        for arm, seeds in results.items()
    }
    _panel(axes[0], policies, colours, "", "policy, single pass\n(training questions, mean of 3 steps)")
    for axis, (title, source) in zip(axes[1:], panels.items(), strict=True):
        key = f"val-core/{source}/acc/mean@1"
        start = {seed: figure(result, title) for seed, result in results.get("base", {}).items()}
        judges = {
            arm: [
                ({} if start.get(seed) is None else {0: start[seed]})
                | {int(step): values[key] for step, values in result["cost"]["curve"].items() if key in values}
                for seed, result in seeds.items()
                if result["cost"]
            ]
            for arm, seeds in results.items()
        }
        _panel(axis, judges, colours, "o", f"{title}\n(held out, sampled at temperature 1)")
    axes[0].set_ylabel("%", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    chart.legend(handles, labels, loc="lower center", ncols=max(1, len(labels)), fontsize=8, frameon=False)
    chart.tight_layout(rect=(0, 0.09, 1, 1))
    chart.savefig(path, dpi=150)
    plt.close(chart)


def _smooth(curve: dict[int, float]) -> dict[int, float]:
    """Mean of each step and its neighbours."""
    values = rolling(np.array(list(curve)), np.array(list(curve.values())), np.ones(len(curve)), 3)
    return dict(zip(curve, values.tolist(), strict=True))


def _panel(axis: Any, curves: dict[str, list[dict[int, float]]], colours: dict, marker: str, title: str) -> None:
    for arm, seeds in curves.items():
        for curve in seeds:
            axis.plot(list(curve), [100 * value for value in curve.values()], color=colours[arm], alpha=0.25, lw=1)
        steps = sorted(set.intersection(*map(set, seeds))) if seeds else []
        if steps:
            means = [100 * float(np.mean([curve[step] for curve in seeds])) for step in steps]
            axis.plot(steps, means, f"{marker}-", color=colours[arm], label=arm, markersize=3, lw=1.8)
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("step", fontsize=9)
    axis.grid(alpha=0.3)


def draw(summary: dict[str, dict[str, Any]], path: Path) -> None:
    """Means, intervals and single seeds of the accuracies."""
    shown = [name for name, (unit, _, better) in FIGURES.items() if unit == "%" and better]
    columns = 4
    rows = math.ceil(len(shown) / columns)
    arms = list(summary)
    size = (3.2 * columns, (0.3 * len(arms) + 1.2) * rows)
    chart, axes = plt.subplots(rows, columns, figsize=size, sharey=True)
    for axis, name in zip(axes.flat, shown, strict=False):
        for place, arm in enumerate(arms):
            entry = summary[arm].get(name)
            if entry is None:
                continue
            colour = "#b5482a" if arm == "spark" else "#35618f"
            values = [100 * value for value in entry["seeds"].values()]
            axis.plot(values, [place] * len(values), "o", color=colour, alpha=0.35, markersize=4)
            half = None if entry["half_width"] is None else 100 * entry["half_width"]
            axis.errorbar(100 * entry["mean"], place, xerr=half, fmt="D", color=colour, markersize=5, capsize=3)
        axis.set_title(name, fontsize=10)
        # With two seeds an interval can be wider than what a rate can be.
        axis.set_xlim(0, 100)
        axis.set_yticks(range(len(arms)), arms)
        axis.grid(axis="x", alpha=0.3)
    axes.flat[0].invert_yaxis()
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    chart.supxlabel("%", fontsize=9)
    chart.tight_layout()
    chart.savefig(path, dpi=150)
    plt.close(chart)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="the folder that run.py wrote")
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    variants = {folder.name: read_results(folder) for folder in sorted(arguments.results.glob("*")) if folder.is_dir()}
    variants = {name: results for name, results in variants.items() if results}
    if not variants:
        raise SystemExit(f"no finished run in {arguments.results}: */seed_*/*/result.json")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for variant, results in variants.items():
        summary = summarize(results)
        costs = {arm: {seed: result["cost"] for seed, result in seeds.items()} for arm, seeds in results.items()}
        page, stem = tables(results, summary, variant), arguments.output / f"digits_{variant}"
        curves = {
            arm: {seed: result.get("policy_curve") for seed, result in seeds.items()} for arm, seeds in results.items()
        }
        figures = json.dumps({"variant": variant, "figures": summary, "cost": costs, "policy": curves}, indent=1)
        stem.with_suffix(".json").write_text(figures + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(
            f"{page}\n![figures]({stem.name}.png)\n\n![curves]({stem.name}_curves.png)\n", encoding="utf-8"
        )
        draw(summary, stem.with_suffix(".png"))
        draw_curves(results, stem.with_name(f"{stem.name}_curves.png"))
        print(page)


if __name__ == "__main__":
    main()
