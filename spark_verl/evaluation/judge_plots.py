"""Pictures of a judge: reliability, and P(right) of its own right and wrong answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from spark_verl.evaluation.judge_quality import BINS, Judged
from spark_verl.vocabulary import LabelForm

_BLUE, _ORANGE, _GREY = "#2a6fbb", "#d9822b", "#8a8f98"


def reliability(figures: Mapping[str, Any], path: Path) -> bool:
    """Draw one reliability diagram per kind of judgement.

    Args:
        figures: From :func:`spark_verl.evaluation.judge_quality.report`.
        path: PNG file.

    Returns:
        Whether anything had probabilities to draw.
    """
    found = [(name, figure) for name, figure in figures.items() if figure["calibration"]]
    if not found:
        return False
    # Without pyplot: no global state, no display.
    canvas = Figure(figsize=(3.6 * len(found), 3.9), layout="constrained")
    FigureCanvasAgg(canvas)
    for number, (name, figure) in enumerate(found, 1):
        axes = canvas.add_subplot(1, len(found), number)
        bins = figure["calibration"]["bins"]
        counts = np.array([bin["count"] for bin in bins])
        axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
        axes.bar(
            [bin["low"] for bin in bins], counts / counts.sum(), width=1 / BINS, align="edge", color=_GREY, alpha=0.25
        )
        points = [b["probability"] for b in bins], [b["frequency"] for b in bins]
        # A bin with a handful of judgements must not look like one with hundreds.
        axes.scatter(*points, s=10 + 120 * counts / counts.sum(), color=_BLUE, zorder=3, clip_on=False)
        ece, brier = figure["calibration"]["ece"], figure["calibration"]["brier"]
        axes.set_title(f"{name}\nECE {ece:.3f}, Brier {brier:.3f}, n={counts.sum()}", fontsize=9)
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.set_xlabel(f"P({figure['label_form'].labels[0]})")
        if number == 1:
            axes.set_ylabel("how often it is true (grey: share of judgements)")
    canvas.savefig(path, dpi=150)
    return True


def own_answers(items: Sequence[Judged], path: Path) -> bool:
    """Draw how P(right) is distributed over the model's own right and wrong answers (SPARK, figure 4).

    Args:
        items: Judgements on own answers, labels Yes and No.
        path: PNG file.

    Returns:
        Whether there was anything to draw.
    """
    kinds = zip(LabelForm.YES_NO.labels, ("right", "wrong"), (_BLUE, _ORANGE), strict=True)
    known = [
        (name, colour, values)
        for label, name, colour in kinds
        if (values := [item.p_positive for item in items if item.label == label and item.p_positive is not None])
    ]
    if not known:
        return False
    canvas = Figure(figsize=(4.6, 3.4), layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.add_subplot()
    edges = np.linspace(0, 1, BINS + 1).tolist()
    for name, colour, values in known:
        # Each kind sums to 1, or the rarer one could not be seen.
        weights = np.full(len(values), 1 / len(values))
        text = f"own {name} answers (n={len(values)})"
        axes.hist(values, edges, weights=weights, color=colour, alpha=0.6, label=text)
    axes.set(xlim=(0, 1), xlabel="P(right) by the model itself", ylabel="share")
    axes.legend(fontsize=8, loc="upper center")
    canvas.savefig(path, dpi=150)
    return True
