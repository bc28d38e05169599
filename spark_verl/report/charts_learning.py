"""Charts of what was learned: before and after, curves per objective, and whether the judge only confirms itself."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_verl.report.heldout import OBJECTIVE_OF, SHORT, HeldOut
from spark_verl.report.run import Run
from spark_verl.report.style import (
    COLOURS,
    GRID,
    INK,
    MUTED,
    NAMES,
    OTHER,
    Chart,
    Table,
    nothing,
    percent,
    percent_axis,
    step_axis,
)
from spark_verl.runs.dumps import OBJECTIVES
from spark_verl.runs.metrics import rolling, smoothing_width, weighted


def prefix(objective: str) -> str:
    """Where the log has the metrics of an objective."""
    return "spark/policy" if objective == "policy" else f"spark/judge/{objective}"


def colour_of(objective: str, number: int) -> str:
    """The objective's colour in the report's run, grey in the run compared with."""
    return COLOURS[objective] if number == 0 else OTHER


# ---------------------------------------------------------------------- before and after


def before_after(runs: Sequence[Run]) -> Chart | None:
    """First and last held-out accuracy of every objective with intervals; None when nothing was validated."""
    names = [name for name in SHORT if any(name in run.held_out for run in runs)]
    if not names:
        return None

    def draw(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for row, name in enumerate(names):
            for number, run in enumerate(runs):
                points = run.held_out.get(name)
                if points:
                    offset = 0.0 if len(runs) == 1 else (-0.17, 0.19)[number]
                    _dumbbell(axes, row + offset, points[0], points[-1], colour_of(OBJECTIVE_OF[name], number), narrow)
        axes.set_yticks(
            range(len(names)), [SHORT[name].replace(", ", ",\n") if narrow else SHORT[name] for name in names]
        )
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(len(names) - 0.45, -0.6)
        axes.set_xlim(-0.02, 1.06)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("held-out accuracy")

    rows, told = [], []
    for run in runs:
        for name in names:
            if points := run.held_out.get(name):
                first, last = points[0], points[-1]
                label = SHORT[name] if len(runs) == 1 else f"{run.name}: {SHORT[name]}"
                rows.append((label, with_interval(first), with_interval(last), str(last.prompts or "–")))
                for source, part in last.sources.items():
                    earlier = with_interval(first.sources[source]) if source in first.sources else "–"
                    rows.append((f"{label}: {source}", earlier, with_interval(part), str(part.prompts or "–")))
                told.append(f"{label} {percent(first.share)} to {percent(last.share)}")
    return Chart(
        name="before-after",
        alt="Held-out accuracy before and after training. " + "; ".join(told) + ".",
        caption="Hollow: first validation. Filled: last validation. Bars are 95 % intervals."
        + (f" Colour: {runs[0].name}; grey: {runs[1].name}." if len(runs) > 1 else ""),
        draw=draw,
        wide=0.62 + (0.36 if len(runs) == 1 else 0.52) * len(names),
        narrow=0.62 + (0.46 if len(runs) == 1 else 0.6) * len(names),
        table=Table(("", "before (95 % interval)", "after (95 % interval)", "prompts"), tuple(rows)),
    )


def _dumbbell(axes: Axes, y: float, first: HeldOut, last: HeldOut, colour: str, narrow: bool) -> None:
    moved = first.step != last.step
    if moved:
        axes.annotate(
            "",
            (last.share, y),
            (first.share, y),
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 1.4, "alpha": 0.5},
        )
    for point, filled in ((first, not moved), (last, True)):
        if point.bounds:
            axes.plot(point.bounds[1:], (y, y), color=colour, linewidth=4.5, alpha=0.28, solid_capstyle="butt")
        face = colour if filled else "none"
        axes.plot(point.share, y, "o", markersize=7, color=colour, markerfacecolor=face, markeredgewidth=1.6)


def with_interval(point: HeldOut) -> str:
    """ "95.3 % (92.3 – 97.2)", or without the interval where there is none."""
    if point.bounds is None:
        return percent(point.share)
    return f"{percent(point.share)} ({100 * point.bounds[1]:.1f} – {100 * point.bounds[2]:.1f})"


# ---------------------------------------------------------------------- curves


def curves(runs: Sequence[Run]) -> Chart | None:
    """Accuracy of every objective over the steps, in training and held out; None without any."""
    objectives = [o for o in OBJECTIVES if any(len(run.metrics.series(f"{prefix(o)}/acc")[0]) for run in runs)]
    held = {OBJECTIVE_OF[name] for run in runs for name in run.held_out}
    objectives = [o for o in OBJECTIVES if o in objectives or o in held]
    if not objectives:
        return None

    def draw(figure: Figure, narrow: bool) -> None:
        columns = 1 if narrow else min(2, len(objectives))
        lines = -(-len(objectives) // columns)
        grid = figure.subplots(lines, columns, sharey=True, sharex=True, squeeze=False).ravel()
        for axes, objective in zip(grid, objectives, strict=False):
            _panel(axes, runs, objective)
            step_axis(axes, label=axes.get_subplotspec().is_last_row())
        for axes in grid[len(objectives) :]:
            nothing(axes, "")

    told, rows = [], []
    for run in runs:
        for objective in objectives:
            steps, values, weights = weighted(run.metrics, f"{prefix(objective)}/acc", f"{prefix(objective)}/count")
            if len(steps):
                smooth = rolling(steps, values, weights, smoothing_width(run.metrics.trained))
                told.append(f"{NAMES[objective]} {percent(smooth[0], 0)} to {percent(smooth[-1], 0)}")
                for index in sorted({round(i * (len(steps) - 1) / 9) for i in range(10)}):
                    share = percent(float(values[index]))
                    mean = percent(float(smooth[index]))
                    rows.append((run.name, NAMES[objective], str(steps[index]), f"{weights[index]:.0f}", share, mean))
    width = smoothing_width(runs[0].metrics.trained)
    return Chart(
        name="curves",
        alt="Training accuracy over the steps by objective: " + "; ".join(told) + ".",
        caption=f"Dots: one step's rows, which differ in difficulty. Line: moving average over {width} steps, "
        "weighted by rows. Diamonds: held-out accuracy with 95 % intervals (reflection: filled for wrong attempts put "
        "right, "
        "hollow for right ones kept). Dotted: guessing."
        + (f" Colour: {runs[0].name}; grey and dashed: {runs[1].name}." if len(runs) > 1 else ""),
        draw=draw,
        wide=0.5 + 2.1 * -(-len(objectives) // 2),
        narrow=0.4 + 1.75 * len(objectives),
        table=Table(("run", "objective", "step", "rows", "accuracy", "moving average"), tuple(rows)),
    )


def _panel(axes: Axes, runs: Sequence[Run], objective: str) -> None:
    for number, run in reversed(list(enumerate(runs))):
        colour = colour_of(objective, number)
        steps, values, weights = weighted(run.metrics, f"{prefix(objective)}/acc", f"{prefix(objective)}/count")
        if len(steps):
            smooth = rolling(steps, values, weights, smoothing_width(run.metrics.trained))
            if number == 0:
                faint = 0.4 if len(steps) <= 100 else 0.15
                axes.plot(steps, values, "o", color=colour, markersize=2.6, alpha=faint, markeredgewidth=0)
            axes.plot(steps, smooth, color=colour, linestyle="-" if number == 0 else (0, (4, 2)))
        for name, points in run.held_out.items():
            if OBJECTIVE_OF[name] == objective:
                if len(points) > 2:
                    places = [point.step for point in points], [point.share for point in points]
                    axes.plot(*places, color=colour, linewidth=0.9, linestyle=(0, (1, 1.5)))
                face = "none" if name == "reflection_keep_rate" else colour
                for point in points:
                    if point.bounds:
                        axes.plot((point.step,) * 2, point.bounds[1:], color=colour, linewidth=1.1, alpha=0.8)
                    axes.plot(point.step, point.share, "D", color=colour, markersize=5, markerfacecolor=face)
    axes.set_title(NAMES[objective], color=COLOURS[objective])
    if objective in ("pointwise", "pairwise"):
        axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.spines["bottom"].set_color(GRID)
    percent_axis(axes)
