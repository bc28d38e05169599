"""The ablation's pictures: accuracies over training, and means with intervals and single seeds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from results import FIGURES, Results, figure, smooth

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def draw_curves(results: Results, path: Path) -> None:
    """Accuracies over training steps: the policy's in every step, the judge's when it was validated.

    Thin lines are seeds, thick ones their mean; the judge's begin with the arm ``base``.
    """
    panels = {"pointwise": "spark/pointwise", "pairwise": "spark/pairwise", "shown wrong, fixed": "spark/reflection"}
    chart, axes = plt.subplots(1, len(panels) + 1, figsize=(3.6 * (len(panels) + 1), 3.4), sharey=True)
    # Ten strong colours, then ten pale ones.
    palette = plt.get_cmap("tab20").colors
    colours = dict(zip(results, palette[::2] + palette[1::2], strict=False))
    policies = {
        arm: [smooth(result["policy_curve"]) for result in seeds.values() if result.get("policy_curve")]
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
