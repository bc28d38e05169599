"""Charts of rewards and response lengths by objective."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from spark_verl.report.charts_learning import prefix
from spark_verl.report.run import Run
from spark_verl.report.style import (
    COLOURS,
    INK,
    MUTED,
    NAMES,
    Chart,
    Table,
    legend_of,
    nothing,
    percent,
    percent_axis,
    step_axis,
)
from spark_verl.runs.dumps import OBJECTIVES, Dump
from spark_verl.runs.metrics import rolling, smoothing_width, weighted

BINS = 9
"""Of a group's mean reward: with 8 samples and rewards of 0 and 1, one for each value it can have."""


def halves(dumps: Sequence[Dump]) -> tuple[list[Dump], list[Dump]]:
    """The dumps of the first and of the last third of a run; of one dump, only the last."""
    size = max(1, len(dumps) // 3)
    return (list(dumps[:size]) if len(dumps) > 1 else [], list(dumps[-size:]))


def _pooled(dumps: Sequence[Dump], field: str, objective: str) -> np.ndarray:
    parts = [getattr(dump, field)[objective] for dump in dumps if objective in getattr(dump, field)]
    return np.concatenate(parts) if parts else np.array([])


def group_rewards(runs: Sequence[Run]) -> Chart | None:
    """How the mean reward of a group is distributed, early and late; None without rollout dumps."""
    found = [run for run in runs if run.rollouts]
    objectives = [o for o in OBJECTIVES if any(o in dump.scores for run in found for dump in run.rollouts)]
    if not objectives:
        return None
    everything = np.concatenate([_pooled(run.rollouts, "group_scores", o) for run in found for o in objectives])
    low, high = min(0.0, float(everything.min())), max(1.0, float(everything.max()))
    step = (high - low) / (BINS - 1)
    edges = np.linspace(low - step / 2, high + step / 2, BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2

    def draw(figure: Figure, narrow: bool) -> None:
        shape = (2 * len(found), 2) if narrow else (len(found), 4)
        grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
        for i, run in enumerate(found):
            early, late = halves(run.rollouts)
            for j in range(4):
                axes = grid[4 * i + j]
                if j >= len(objectives):
                    nothing(axes, "")
                    continue
                objective = objectives[j]
                for dumps, is_late in ((early, False), (late, True)):
                    values = _pooled(dumps, "group_scores", objective)
                    if not len(values):
                        continue
                    shares = np.histogram(values, edges)[0] / len(values)
                    if is_late:
                        axes.bar(centres, shares, 0.72 * step, color=COLOURS[objective], alpha=0.75)
                    else:
                        axes.step(
                            np.append(edges[:-1], edges[-1]),
                            np.append(shares, shares[-1]),
                            where="post",
                            color=INK,
                            linewidth=1.2,
                        )
                title = NAMES[objective].removeprefix("Judge, ").capitalize()
                axes.set_title(title if len(found) == 1 else f"{run.name} · {title}")
                axes.set_xticks([low, (low + high) / 2, high])
                axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
                if axes.get_subplotspec().is_last_row():
                    axes.set_xlabel("mean reward of a group")
        handles = [Line2D([], [], color=INK, linewidth=1.2), Patch(color=MUTED)]
        figure.legend(handles, ["first third of the steps", "last third"], loc="outside upper left", ncols=2)

    rows = []
    for run in found:
        for objective in objectives:
            cells = []
            for dumps in halves(run.rollouts):
                values = _pooled(dumps, "group_scores", objective)
                cells += (
                    [f"{values.mean():.2f}", percent(float(np.mean((values <= low) | (values >= high))), 0)]
                    if len(values)
                    else ["–", "–"]
                )
            rows.append((run.name, NAMES[objective], *cells))
    told = "; ".join(f"{row[0]}, {row[1]}: mean {row[2]} early, {row[4]} late" for row in rows)
    return Chart(
        name="group-rewards",
        alt=f"Distribution of the mean reward of a group in the first and the last third of the steps. {told}.",
        caption="Outline: first third of the steps. Bars: last third. A group whose samples all score the same (far "
        "left, far right) teaches nothing.",
        draw=draw,
        wide=0.8 + 2.0 * len(found),
        narrow=0.8 + 3.4 * len(found),
        table=Table(
            ("run", "objective", "mean, first third", "all alike", "mean, last third", "all alike"), tuple(rows)
        ),
    )


def zero_variance(runs: Sequence[Run]) -> Chart | None:
    """Share of groups that teach nothing, over the steps; None when the log does not have it."""
    objectives = [
        o for o in OBJECTIVES if any(len(r.metrics.series(f"{prefix(o)}/zero_variance_rate")[0]) for r in runs)
    ]
    return _lines(
        runs,
        objectives,
        "zero_variance_rate",
        "groups",
        name="no-signal",
        title="Groups whose samples all scored the same",
        caption="Share of groups without an advantage: all right or all wrong. Moving average.",
        share=True,
    )


def length_lines(runs: Sequence[Run]) -> Chart | None:
    """Mean response length in tokens over the steps; None when the log does not have it."""
    objectives = [
        o for o in OBJECTIVES if any(len(r.metrics.series(f"{prefix(o)}/response_length/mean")[0]) for r in runs)
    ]
    return _lines(
        runs,
        objectives,
        "response_length/mean",
        "count",
        name="lengths",
        title="Mean response length, tokens",
        caption="Mean number of generated tokens by objective. Moving average.",
        share=False,
    )


def _lines(
    runs: Sequence[Run],
    objectives: list[str],
    metric: str,
    weight: str,
    *,
    name: str,
    title: str,
    caption: str,
    share: bool,
) -> Chart | None:
    if not objectives:
        return None

    def text(value: float) -> str:
        return percent(value, 0) if share else f"{value:.1f}"

    def draw(figure: Figure, narrow: bool) -> None:
        shape = (len(runs), 1) if narrow else (1, len(runs))
        grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, run in zip(grid, runs, strict=True):
            for objective, dash in zip(
                OBJECTIVES, ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (6, 1.5, 1, 1.5))), strict=True
            ):
                if objective not in objectives:
                    continue
                steps, values, weights = weighted(
                    run.metrics, f"{prefix(objective)}/{metric}", f"{prefix(objective)}/{weight}"
                )
                if len(steps):
                    smooth = rolling(steps, values, weights, smoothing_width(run.metrics.trained))
                    axes.plot(steps, smooth, color=COLOURS[objective], linestyle=dash, label=NAMES[objective])
                    if len(steps) == 1:
                        axes.plot(steps, values, "o", color=COLOURS[objective], markersize=5)
            axes.set_title(title if len(runs) == 1 else f"{run.name} · {title}" if not narrow else run.name)
            if share:
                percent_axis(axes)
            else:
                axes.set_ylim(bottom=0)
            step_axis(axes)
        handles, labels = legend_of(grid)
        figure.legend(handles, labels, loc="outside upper left", ncols=2 if narrow else 4)

    rows = []
    for run in runs:
        for objective in objectives:
            steps, values, weights = weighted(
                run.metrics, f"{prefix(objective)}/{metric}", f"{prefix(objective)}/{weight}"
            )
            if len(steps):
                size = max(1, len(steps) // 3)
                ends = [
                    float(np.average(values[part], weights=weights[part])) for part in (slice(size), slice(-size, None))
                ]
                rows.append((run.name, NAMES[objective], text(ends[0]), text(ends[1])))
    told = "; ".join(f"{row[0]}, {row[1]}: {row[2]} early, {row[3]} late" for row in rows)
    return Chart(
        name=name,
        alt=f"{title}, by objective over the steps. {told}.",
        caption=caption,
        draw=draw,
        wide=2.9,
        narrow=0.6 + 2.3 * len(runs),
        table=Table(("run", "objective", "first third", "last third"), tuple(rows)),
    )


def length_spread(runs: Sequence[Run]) -> Chart | None:
    """How response lengths are distributed, early and late; None without rollout dumps."""
    found = [run for run in runs if run.rollouts]
    objectives = [o for o in OBJECTIVES if any(o in dump.lengths for run in found for dump in run.rollouts)]
    if not objectives:
        return None
    in_tokens = all(dump.in_tokens for run in found for dump in run.rollouts)
    unit = "tokens" if in_tokens else "characters"

    def boxes(run: Run) -> list[tuple[str, bool, np.ndarray]]:
        early, late = halves(run.rollouts)
        made = []
        for objective in objectives:
            for dumps, is_late in ((early, False), (late, True)):
                values = _pooled([dump for dump in dumps if dump.in_tokens == in_tokens], "lengths", objective)
                if len(values):
                    made.append((objective, is_late, np.percentile(values, [5, 25, 50, 75, 95])))
        return made

    def draw(figure: Figure, narrow: bool) -> None:
        shape = (len(found), 1) if narrow else (1, len(found))
        grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, run in zip(grid, found, strict=True):
            for objective, is_late, (p5, p25, p50, p75, p95) in boxes(run):
                y = objectives.index(objective) + (0.17 if is_late else -0.17)
                colour = COLOURS[objective]
                axes.plot((p5, p95), (y, y), color=colour, linewidth=1)
                axes.barh(
                    y,
                    max(p75 - p25, 1e-9),
                    0.26,
                    p25,
                    color=colour if is_late else "none",
                    alpha=0.85,
                    edgecolor=colour,
                    linewidth=1.2,
                )
                axes.plot((p50, p50), (y - 0.16, y + 0.16), color=INK, linewidth=2)
            names = [NAMES[o].replace(", ", ",\n") if narrow else NAMES[o] for o in objectives]
            axes.set_yticks(range(len(objectives)), names)
            axes.tick_params(axis="y", labelcolor=INK)
            axes.set_ylim(len(objectives) - 0.5, -0.5)
            axes.set_xlim(left=0)
            axes.grid(visible=True, axis="x")
            axes.grid(visible=False, axis="y")
            axes.set_xlabel(f"response length, {unit}", color=MUTED)
            axes.set_title(run.name if len(found) > 1 else "")

    rows = [
        (run.name, NAMES[objective], "last third" if is_late else "first third", *(f"{value:.0f}" for value in values))
        for run in found
        for objective, is_late, values in boxes(run)
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
