"""Rewards of groups and lengths of responses, by objective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from spark_verl.report.frame import Run, first_and_last_third
from spark_verl.report.section import NO_ROLLOUTS, Section, lacking
from spark_verl.report.style import (
    COLOURS,
    INK,
    MUTED,
    NAMES,
    Chart,
    Table,
    legend_above,
    name_axis,
    panels,
    percent,
    percent_axis,
    percent_ticks,
    step_axis,
)
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
        findings.append(
            (run.name, f"Read from {some} of {every} rollout dumps, evenly spread." if some < every else "")
        )
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


def early_and_late(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of the dumps in the :data:`THIRDS` of the run; with one dump, there is only a last third."""
    steps = pd.Series(rows["step"].unique())
    first, last = (rows[rows["step"].isin(third)] for third in first_and_last_third(steps))
    return {THIRDS[0]: first, THIRDS[1]: last} if len(steps) > 1 else {THIRDS[1]: last}


def _dumped(runs: Sequence[Run]) -> tuple[list[Run], list[Objective]]:
    """The runs with rollout dumps, and the objectives of their rows."""
    found = [run for run in runs if len(run.rollouts)]
    return found, [o for o in Objective if any((run.rollouts["objective"] == o).any() for run in found)]


def group_rewards(runs: Sequence[Run]) -> Chart | None:
    """How the mean reward of a group is distributed, early and late; None without rollout dumps."""
    found, objectives = _dumped(runs)
    if not found:
        return None
    groups = [run.rollouts.groupby(["step", "objective", "group"])["score"].mean().reset_index() for run in found]
    scores = pd.concat(each["score"] for each in groups)
    low, high = min(0.0, scores.min()), max(1.0, scores.max())
    step = (high - low) / (BINS - 1)
    edges = np.linspace(low - step / 2, high + step / 2, BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    shown = [
        (run, objective, {name: rows.loc[rows["objective"] == objective, "score"] for name, rows in parts.items()})
        for run, parts in zip(found, map(early_and_late, groups), strict=True)
        for objective in objectives
    ]

    def draw(figure: Figure, narrow: bool) -> None:
        grid = panels(figure, len(shown), 2 if narrow else 4, sharex=True, sharey=True)
        for axes, (run, objective, thirds) in zip(grid, shown, strict=True):
            for name, scores in thirds.items():
                if scores.empty:
                    continue
                shares = np.histogram(scores, edges)[0] / len(scores)
                if name == THIRDS[1]:
                    axes.bar(centres, shares, 0.72 * step, color=COLOURS[objective], alpha=0.75)
                else:
                    axes.stairs(shares, edges, color=INK, linewidth=1.2)
            title = NAMES[objective].removeprefix("Judge, ").capitalize()
            axes.set_title(title if len(found) == 1 else f"{run.name} · {title}")
            axes.set_xticks([low, (low + high) / 2, high])
            axes.yaxis.set_major_formatter(percent_ticks)
            if axes.get_subplotspec().is_last_row():
                axes.set_xlabel("mean reward of a group")
        handles = [Line2D([], [], color=INK, linewidth=1.2), Patch(color=MUTED)]
        figure.legend(handles, ["first third of the steps", "last third"], loc="outside upper left", ncols=2)

    rows = []
    for run, objective, thirds in shown:
        cells = []
        for scores in (thirds.get(name, pd.Series(dtype=float)) for name in THIRDS):
            alike = ((scores <= low) | (scores >= high)).mean()
            cells += ["–", "–"] if scores.empty else [f"{scores.mean():.2f}", percent(alike, 0)]
        rows.append((run.name, NAMES[objective], *cells))
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
    found, objectives = _dumped(runs)
    if not found:
        return None
    # One unit for all: tokens only if every row has them.
    unit = "tokens" if all(run.rollouts["tokens"].notna().all() for run in found) else "characters"

    def boxes(run: Run) -> Iterator[tuple[int, str, np.ndarray]]:
        """Of each objective (its number) and third: the 5, 25, 50, 75 and 95 % quantiles."""
        thirds = early_and_late(run.rollouts)
        for number, objective in enumerate(objectives):
            for name, rows in thirds.items():
                values = rows.loc[rows["objective"] == objective, unit]
                if len(values):
                    yield number, name, np.percentile(values, [5, 25, 50, 75, 95])

    def draw(figure: Figure, narrow: bool) -> None:
        grid = panels(figure, len(found), 1 if narrow else len(found), sharex=True, sharey=True)
        for axes, run in zip(grid, found, strict=True):
            for number, name, (p5, p25, p50, p75, p95) in boxes(run):
                colour, late = COLOURS[objectives[number]], name == THIRDS[1]
                y, face = (number + 0.17, colour) if late else (number - 0.17, "none")
                axes.plot((p5, p95), (y, y), color=colour, linewidth=1)
                middle = max(p75 - p25, 1e-9)
                axes.barh(y, middle, 0.26, p25, color=face, alpha=0.85, edgecolor=colour, linewidth=1.2)
                axes.plot((p50, p50), (y - 0.16, y + 0.16), color=INK, linewidth=2)
            name_axis(axes, [NAMES[objective] for objective in objectives], narrow)
            axes.set_ylim(len(objectives) - 0.5, -0.5)
            axes.set_xlim(left=0)
            axes.set_xlabel(f"response length, {unit}", color=MUTED)
            axes.set_title(run.name if len(found) > 1 else "")

    rows = [
        (run.name, NAMES[objectives[number]], name, *(f"{value:.0f}" for value in values))
        for run in found
        for number, name, values in boxes(run)
    ]
    told = "; ".join(f"{row[0]}, {row[1]}, {row[2]}: median {row[5]}" for row in rows)
    return Chart(
        name="length-spread",
        alt=f"Distribution of response lengths in {unit} by objective, first and last third of the steps. {told}.",
        caption="Hollow: first third of the steps. Filled: last third. Box: middle half, thick mark: median, "
        "line: 5 to 95\u00a0%.",
        draw=draw,
        wide=0.6 + 0.5 * len(objectives),
        narrow=(0.6 + 0.55 * len(objectives)) * len(found),
        table=Table(("run", "objective", "steps", "5 %", "25 %", "median", "75 %", "95 %"), tuple(rows)),
    )


# ---------------------------------------------------------------------- from the log


def lines(runs: Sequence[Run], metric: str, weight: str, *, name: str, title: str, caption: str) -> Chart | None:
    """A metric of every objective over the steps; None when the log does not have it."""
    found = [(run, o, curve) for run in runs for o in Objective if len(curve := run.curve(o, metric, weight))]
    if not found:
        return None
    share = metric.endswith("_rate")

    def draw(figure: Figure, narrow: bool) -> None:
        grid = panels(figure, len(runs), 1 if narrow else len(runs), sharex=True, sharey=True)
        for axes, run in zip(grid, runs, strict=True):
            for objective, curve in [(objective, curve) for of, objective, curve in found if of is run]:
                style = {"marker": "o", "markersize": 5} if len(curve) == 1 else {"linestyle": DASHES[objective]}
                axes.plot(curve["mean"], color=COLOURS[objective], label=NAMES[objective], **style)
            axes.set_title(title if len(runs) == 1 else run.name if narrow else f"{run.name} · {title}")
            percent_axis(axes) if share else axes.set_ylim(bottom=0)
            step_axis(axes)
        legend_above(figure, grid, 2 if narrow else 4)

    rows = []
    for run, objective, curve in found:
        ends = [np.average(third["value"], weights=third["weight"]) for third in first_and_last_third(curve)]
        rows.append((run.name, NAMES[objective], *(percent(end, 0) if share else f"{end:.1f}" for end in ends)))
    told = "; ".join(f"{row[0]}, {row[1]}: {row[2]} early, {row[3]} late" for row in rows)
    return Chart(
        name=name,
        alt=f"{title}, by objective over the steps. {told}.",
        caption=caption,
        draw=draw,
        wide=2.9,
        narrow=0.6 + 2.3 * len(runs),
        table=Table(("run", "objective", *THIRDS), tuple(rows)),
    )
