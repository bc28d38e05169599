"""Rewards of groups and lengths of responses, by objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from spark_verl.report import style
from spark_verl.report.frame import Run, first_and_last_third
from spark_verl.report.section import NO_ROLLOUTS, Section, lacking
from spark_verl.report.style import Chart, Table
from spark_verl.vocabulary import Objective

BINS = 9
"""Of a group's mean reward: with 8 samples and rewards of 0 and 1, one for each value it can have."""

DASHES = dict(zip(Objective, ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1, 1.5))), strict=True))

THIRDS = ("first third", "last third")


def rewards(runs: Sequence[Run]) -> Section:
    """What groups scored, and how many of them have anything to teach."""
    findings = []
    for run in runs:
        some, every = run.rollouts["step"].nunique(), len(run.rollout_files)
        if some < every:
            findings.append((run.name, f"Read from {some} of {every} rollout dumps, evenly spread."))
    no_signal = lines(
        runs,
        "zero_variance_rate",
        "groups",
        name="no-signal",
        title="Groups whose samples all scored the same",
        caption="Share of groups without an advantage: all right or all wrong. Moving average.",
    )
    return Section(
        "rewards",
        "Rewards",
        "What groups of samples scored, and how many of them have anything to teach.",
        findings,
        [group_rewards(runs), no_signal],
        missing=lacking(runs, lambda run: run.rollouts.empty, "Reward distribution", NO_ROLLOUTS),
    )


def lengths(runs: Sequence[Run]) -> Section:
    """How long responses are."""
    means = lines(
        runs,
        "response_length/mean",
        "count",
        name="lengths",
        title="Mean response length, tokens",
        caption="Mean number of generated tokens by objective. Moving average.",
    )
    return Section(
        "lengths",
        "Response lengths",
        "Tokens from the log; the spread within a step from the rollout dumps.",
        charts=[means, length_spread(runs)],
        missing=lacking(runs, lambda run: run.rollouts.empty, "Spread of response lengths", NO_ROLLOUTS),
    )


# ---------------------------------------------------------------------- from the dumps


def pooled(runs: Sequence[Run]) -> pd.DataFrame:
    """Rows of all runs' rollout dumps in the :data:`THIRDS` of the run, with columns ``run`` (its name) and ``third``.

    Of a run with one dump there is only a last third.
    """
    parts = []
    for run in runs:
        first, last = first_and_last_third(pd.Series(run.rollouts["step"].unique()))
        thirds = dict.fromkeys(first, THIRDS[0]) | dict.fromkeys(last, THIRDS[1])
        parts.append(run.rollouts.assign(run=run.name, third=run.rollouts["step"].map(thirds)))
    orders = {"run": [run.name for run in runs], "objective": [o.value for o in Objective], "third": list(THIRDS)}
    rows = pd.concat(parts).dropna(subset="third")
    return rows.astype({name: pd.CategoricalDtype(order) for name, order in orders.items()})


def group_rewards(runs: Sequence[Run]) -> Chart | None:
    """How the mean reward of a group is distributed, early and late; None without rollout dumps."""
    keys = ["run", "objective", "step", "group", "third"]
    groups = pooled(runs).groupby(keys, observed=True)["score"].mean().reset_index()
    if groups.empty:
        return None
    low, high = min(0.0, groups["score"].min()), max(1.0, groups["score"].max())
    step = (high - low) / (BINS - 1)
    edges = np.linspace(low - step / 2, high + step / 2, BINS + 1)
    several = groups["run"].nunique() > 1
    shown = {
        key: {third: part.loc[part["third"] == third, "score"] for third in THIRDS}
        for key, part in groups.groupby(["run", "objective"], observed=True)
    }

    def draw(figure: Figure, narrow: bool) -> None:
        panels = style.panels(figure, shown.items(), 2 if narrow else 4, sharex=True, sharey=True)
        for axes, ((run, objective), scores) in panels:
            early, late = (np.histogram(each, edges)[0] / max(1, len(each)) for each in scores.values())
            axes.bar((edges[:-1] + edges[1:]) / 2, late, 0.72 * step, color=style.COLOURS[objective], alpha=0.75)
            if early.any():
                axes.stairs(early, edges, color=style.INK, linewidth=1.2)
            title = style.NAMES[objective].removeprefix("Judge, ").capitalize()
            axes.set_title(f"{run} · {title}" if several else title)
            axes.set_xticks([low, (low + high) / 2, high])
            axes.yaxis.set_major_formatter(style.percent_ticks)
            if axes.get_subplotspec().is_last_row():  # ty: ignore[missing-union-attribute]
                axes.set_xlabel("mean reward of a group")
        handles = [Line2D([], [], color=style.INK, linewidth=1.2), Patch(color=style.MUTED)]
        figure.legend(handles, ["first third of the steps", "last third"], loc="outside upper left", ncols=2)

    def cells(scores: pd.Series) -> tuple[str, str]:
        alike = ((scores <= low) | (scores >= high)).mean()
        return ("–", "–") if scores.empty else (f"{scores.mean():.2f}", style.percent(alike, 0))

    rows = [
        (run, style.NAMES[objective], *cells(scores[THIRDS[0]]), *cells(scores[THIRDS[1]]))
        for (run, objective), scores in shown.items()
    ]
    told = "; ".join(f"{row[0]}, {row[1]}: mean {row[2]} early, {row[4]} late" for row in rows)
    return Chart(
        name="group-rewards",
        alt=f"Distribution of the mean reward of a group in the first and the last third of the steps. {told}.",
        caption="Outline: first third of the steps. Bars: last third. A group whose samples all score the same (far "
        "left, far right) teaches nothing.",
        draw=draw,
        wide=0.8 + 2.0 * -(-len(shown) // 4),
        narrow=0.8 + 1.7 * -(-len(shown) // 2),
        table=Table(
            ("run", "objective", "mean, first third", "all alike", "mean, last third", "all alike"), tuple(rows)
        ),
    )


def length_spread(runs: Sequence[Run]) -> Chart | None:
    """How response lengths are distributed, early and late; None without rollout dumps."""
    dumped = pooled(runs)
    if dumped.empty:
        return None
    # One unit for all: tokens only if every row has them.
    unit = "tokens" if dumped["tokens"].notna().all() else "characters"
    thirds = dumped.groupby(["run", "objective", "third"], observed=True)[unit]
    boxes = thirds.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).unstack()  # ty: ignore[invalid-argument-type]
    names = list(boxes.index.unique("run"))
    objectives = [o for o in Objective if o in boxes.index.unique("objective")]

    def draw(figure: Figure, narrow: bool) -> None:
        for axes, run in style.panels(figure, names, 1 if narrow else len(names), sharex=True, sharey=True):
            for objective, third, p5, p25, p50, p75, p95 in boxes.loc[run].reset_index().itertuples(index=False):
                colour, late = style.COLOURS[objective], third == THIRDS[1]
                y, face = objectives.index(objective) + (0.17 if late else -0.17), colour if late else "none"
                axes.plot((p5, p95), (y, y), color=colour, linewidth=1)
                middle = max(p75 - p25, 1e-9)
                axes.barh(y, middle, 0.26, p25, color=face, alpha=0.85, edgecolor=colour, linewidth=1.2)
                axes.plot((p50, p50), (y - 0.16, y + 0.16), color=style.INK, linewidth=2)
            style.name_axis(axes, [style.NAMES[objective] for objective in objectives], narrow)
            axes.set_ylim(len(objectives) - 0.5, -0.5)
            axes.set_xlim(left=0)
            axes.set_xlabel(f"response length, {unit}", color=style.MUTED)
            axes.set_title(run if len(names) > 1 else "")

    rows = [
        (run, style.NAMES[objective], third, *(f"{value:.0f}" for value in values))
        for (run, objective, third), values in zip(boxes.index, boxes.to_numpy(), strict=True)
    ]
    told = "; ".join(f"{row[0]}, {row[1]}, {row[2]}: median {row[5]}" for row in rows)
    return Chart(
        name="length-spread",
        alt=f"Distribution of response lengths in {unit} by objective, first and last third of the steps. {told}.",
        caption="Hollow: first third of the steps. Filled: last third. Box: middle half, thick mark: median, "
        "line: 5 to 95\u00a0%.",
        draw=draw,
        wide=0.6 + 0.5 * len(objectives),
        narrow=(0.6 + 0.55 * len(objectives)) * len(names),
        table=Table(("run", "objective", "steps", "5 %", "25 %", "median", "75 %", "95 %"), rows),
    )


# ---------------------------------------------------------------------- from the log


def lines(runs: Sequence[Run], metric: str, weight: str, *, name: str, title: str, caption: str) -> Chart | None:
    """A metric of every objective over the steps; None when the log does not have it."""
    found = [(run, o, curve) for run in runs for o in Objective if len(curve := run.curve(o, metric, weight))]
    if not found:
        return None
    share = metric.endswith("_rate")

    def draw(figure: Figure, narrow: bool) -> None:
        columns, legend = (1, 2) if narrow else (len(runs), 4)
        for axes, run in style.panels(figure, runs, columns, legend, sharex=True, sharey=True):
            for objective, curve in [(objective, curve) for of, objective, curve in found if of is run]:
                look: Any = {"marker": "o", "markersize": 5} if len(curve) == 1 else {"linestyle": DASHES[objective]}
                axes.plot(curve["mean"], color=style.COLOURS[objective], label=style.NAMES[objective], **look)
            axes.set_title(title if len(runs) == 1 else run.name if narrow else f"{run.name} · {title}")
            style.percent_axis(axes) if share else axes.set_ylim(bottom=0)
            style.step_axis(axes)

    rows = []
    for run, objective, curve in found:
        ends = [np.average(third["value"], weights=third["weight"]) for third in first_and_last_third(curve)]
        texts = [style.percent(end, 0) if share else f"{end:.1f}" for end in ends]
        rows.append((run.name, style.NAMES[objective], *texts))
    told = "; ".join(f"{row[0]}, {row[1]}: {row[2]} early, {row[3]} late" for row in rows)
    return Chart(
        name=name,
        alt=f"{title}, by objective over the steps. {told}.",
        caption=caption,
        draw=draw,
        wide=2.9,
        narrow=0.6 + 2.3 * len(runs),
        table=Table(("run", "objective", *THIRDS), rows),
    )
