"""The figures of an audit as a table of text, and as one picture in the style of the report."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spark_verl.audit.advice import Advice, density
from spark_verl.evaluation.figures import markdown, number, percent, spread
from spark_verl.report import style
from spark_verl.vocabulary import Objective, SelfRewardKind

RIGHT, WRONG = style.COLOURS[Objective.POLICY], style.COLOURS[Objective.POINTWISE]
_REWARDS = {
    SelfRewardKind.POSTERIOR: "posterior",
    SelfRewardKind.JUDGE: "verdicts",
    SelfRewardKind.VOTE: "votes",
    SelfRewardKind.VOTE_JUDGE: "vote × verdicts",
    SelfRewardKind.MAJORITY: "majority",
}
_MAIN = (SelfRewardKind.POSTERIOR, SelfRewardKind.JUDGE, SelfRewardKind.VOTE)
_RATES = {"Yes on right (TPR)": "tpr", "Yes on wrong (FPR)": "fpr", "J = TPR − FPR": "youden"}


def _plain(interval: Mapping[str, Any]) -> str:
    value, low, high = (number(interval[name], ".2f") for name in ("value", "low", "high"))
    return value if interval["value"] is None else f"{value} [{low}, {high}]"


def table(figures: Mapping[str, Any]) -> str:
    """The most important figures as a Markdown table, with 95 % intervals over questions; shares in per cent.

    Args:
        figures: Of :func:`spark_verl.audit.figures.figures`, None in place of NaN.
    """
    picks, gate, posterior = figures["picks"], figures["gate"], figures["calibration"]["posterior"]
    closed = f" ({gate['closed']})" if gate["closed"] else ""
    rows = [
        ("answers right", spread(figures["pass_rate"])),
        ("groups without signal", spread(figures["no_signal"])),
        ("of them all right / all wrong", f"{spread(figures['all_right'])} / {spread(figures['all_wrong'])}"),
        ("the reward is", density(figures)),
        ("judge: TPR / FPR", f"{spread(figures['tpr'])} / {spread(figures['fpr'])}"),
        ("judge: J", _plain(figures["youden"])),
        ("judge: errors that repeat", spread(figures["repeating"])),
        ("judge: unreadable", spread(figures["unreadable"])),
        *((f"ρ of {_REWARDS[kind]}", _plain(figures["rho"][kind])) for kind in _MAIN),
        ("posterior: Brier / ECE", f"{_plain(posterior['brier'])} / {_plain(posterior['ece'])}"),
        *((f"right when picked by {_REWARDS[kind]}", spread(picks[kind])) for kind in _MAIN),
        ("some sample is right", spread(picks["best"])),
        ("judge agrees with vote", spread(picks["agreement"])),
        *((f"{name}, per question", _spent(figures["cost"][name])) for name in ("answering", "judging")),
        ("the gate would start at", f"{gate['weight']:.2f}{closed}"),
    ]
    return markdown([(f"{figures['questions']} questions", "[95 %]"), *rows])


def _spent(cost: Mapping[str, Any]) -> str:
    return f"{cost['tokens']['value']:.0f} tokens, {cost['seconds']['value']:.2f} s"


def advice_text(advice: Sequence[Advice]) -> str:
    """One paragraph per piece of advice."""
    return "\n".join(textwrap.fill(f"{each.topic}: {each.text}", 100, subsequent_indent="  ") for each in advice)


def picture(figures: Mapping[str, Any], title: str, path: Path) -> None:
    """Draw the figures into one PNG.

    Args:
        figures: As in :func:`table`.
        title: Above it.
        path: The file.
    """
    with matplotlib.rc_context(style.STYLE):
        canvas = Figure(figsize=(12, 6.6))
        canvas.suptitle(title, x=0.01, ha="left", fontsize=10)
        panels = canvas.subplots(2, 3).ravel()
        draw = (_groups, _picks, _rho, _verdicts, _reliability, _judge)
        for axes, panel in zip(panels, draw, strict=True):
            panel(axes, figures)
        canvas.savefig(path, dpi=150, facecolor="white")


def _groups(axes: Axes, figures: Mapping[str, Any]) -> None:
    counts = np.array(figures["right_per_question"])
    signal = np.ones(len(counts), dtype=bool)
    signal[[0, -1]] = False
    axes.bar(np.arange(len(counts)), counts, color=np.where(signal, RIGHT, style.OTHER))
    axes.set(title="Right samples per question (grey: no signal)", ylabel="questions")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _dots(axes: Axes, rows: Mapping[str, Mapping[str, Any]], colour: str) -> None:
    """An interval per row, the first one on top; what is not defined is left empty."""
    for place, found in enumerate(rows.values()):
        if found["value"] is not None:
            axes.plot([found["low"], found["high"]], [place, place], color=colour)
            axes.plot(found["value"], place, "o", color=colour)
    style.name_axis(axes, list(rows), narrow=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)


def _picks(axes: Axes, figures: Mapping[str, Any]) -> None:
    picked = {f"by {_REWARDS[kind]}": figures["picks"][kind] for kind in _MAIN}
    _dots(axes, {"any sample": figures["pass_rate"], **picked, "the best": figures["picks"]["best"]}, RIGHT)
    axes.set(title="How often the picked answer is right", xlim=(-0.03, 1.03))
    axes.xaxis.set_major_formatter(style.percent_ticks)


def _rho(axes: Axes, figures: Mapping[str, Any]) -> None:
    _dots(axes, {name: figures["rho"][kind] for kind, name in _REWARDS.items()}, RIGHT)
    axes.axvline(0, color=style.MUTED, linewidth=1)
    weight, closed = figures["gate"]["weight"], figures["gate"]["closed"]
    axes.set(title="ρ: do rewards go with the truth?")
    axes.set_xlabel(f"the gate would be closed: {closed}" if closed else f"the gate would start at w = {weight:.2f}")


def _judge(axes: Axes, figures: Mapping[str, Any]) -> None:
    rows = {name: figures[key] for name, key in _RATES.items()}
    rows |= {"wrong verdicts": figures["error"], "wrong once, wrong again": figures["again"]}
    rows |= {"errors that repeat": figures["repeating"], "unreadable": figures["unreadable"]}
    _dots(axes, rows, WRONG)
    axes.axvline(0, color=style.MUTED, linewidth=1)
    axes.set(title="The judge")
    axes.xaxis.set_major_formatter(style.percent_ticks)


def _verdicts(axes: Axes, figures: Mapping[str, Any]) -> None:
    for offset, (name, colour) in zip((-0.2, 0.2), (("right", RIGHT), ("wrong", WRONG)), strict=True):
        counts = np.array(figures["yes"][name], dtype=float)
        total = int(counts.sum())
        places = np.arange(len(counts)) + offset
        axes.bar(places, counts / max(total, 1), 0.4, color=colour, label=f"{name} answers (n={total})")
    axes.set(title="Yes verdicts per answer", ylabel="share of answers")
    axes.yaxis.set_major_formatter(style.percent_ticks)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()


def _reliability(axes: Axes, figures: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1, linestyle=style.DASHED)
    for kind, name, colour in (("posterior", "posterior", RIGHT), ("judge", "share of Yes", style.OTHER)):
        found = figures["calibration"][kind]
        bins, ece = found["bins"], found["ece"]["value"]
        sizes = [12 + 150 * each["answers"] / found["ece"]["count"] for each in bins]
        label = f"{name}, ECE {percent(ece)} %"
        places = [each["reward"] for each in bins], [each["right"] for each in bins]
        axes.scatter(*places, s=sizes, color=colour, alpha=0.8, label=label, clip_on=False)
    axes.set(title="Reliability (size: answers)", xlim=(0, 1), ylim=(0, 1))
    axes.set(xlabel="reward", ylabel="share that is right")
    axes.legend(loc="upper left")
