"""What was learned: accuracy before and after, and its curves per objective."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_verl.report import style
from spark_verl.report.frame import Run
from spark_verl.report.heldout import HeldOut
from spark_verl.report.section import NO_METRICS, Section, lacking
from spark_verl.report.style import Chart, Table
from spark_verl.runs.validation import QUANTITIES
from spark_verl.vocabulary import Objective

NO_VALIDATION = (
    "the log has no val-core/* values",
    "set data.val_files, trainer.val_before_train=true and trainer.test_freq",
)
NO_INTERVALS = (
    "nothing tells how many prompts were validated",
    "set trainer.validation_data_dir, or keep the files of data.val_files where they were",
)

# ---------------------------------------------------------------------- before and after


def before_after(runs: Sequence[Run]) -> Section:
    """Held-out accuracy at the first and the last validation."""

    def without_intervals(run: Run) -> bool:
        return any(point.bounds is None for points in run.held_out.values() for point in points)

    return Section(
        "before-after",
        "Did it get better?",
        "Accuracy on prompts that were never trained on, at the first and at the last validation.",
        charts=[before_after_chart(runs)],
        missing=[
            *lacking(runs, lambda run: run.metrics.empty, "All curves", NO_METRICS),
            *lacking(runs, lambda run: not (run.metrics.empty or run.held_out), "Held-out accuracy", NO_VALIDATION),
            *lacking(runs, without_intervals, "Intervals of held-out accuracy", NO_INTERVALS),
        ],
    )


def before_after_chart(runs: Sequence[Run]) -> Chart | None:
    """First and last held-out accuracy of every objective with intervals; None when nothing was validated."""
    names = [name for name in QUANTITIES if any(name in run.held_out for run in runs)]
    if not names:
        return None
    validated = [(i, name, run.held_out[name]) for i, run in enumerate(runs) for name in names if name in run.held_out]

    def draw(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for i, name, points in validated:
            offset = 0.0 if len(runs) == 1 else (-0.17, 0.19)[i]
            colour = style.colour_of(QUANTITIES[name].objective, i)
            _dumbbell(axes, names.index(name) + offset, points[0], points[-1], colour)
        style.name_axis(axes, [QUANTITIES[name].label for name in names], narrow)
        axes.set_ylim(len(names) - 0.45, -0.6)
        axes.set_xlim(-0.02, 1.06)
        axes.xaxis.set_major_formatter(style.percent_ticks)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
        axes.set_xlabel("held-out accuracy")

    rows, told = [], []
    for i, name, points in validated:
        first, last = points[0], points[-1]
        label = QUANTITIES[name].label if len(runs) == 1 else f"{runs[i].name}: {QUANTITIES[name].label}"
        rows.append((label, with_interval(first), with_interval(last), str(last.prompts or "–")))
        for source, part in last.sources.items():
            earlier = with_interval(first.sources[source]) if source in first.sources else "–"
            rows.append((f"{label}: {source}", earlier, with_interval(part), str(part.prompts or "–")))
        told.append(f"{label} {style.percent(first.share)} to {style.percent(last.share)}")
    return Chart(
        name="before-after",
        alt="Held-out accuracy before and after training. " + "; ".join(told) + ".",
        caption="Hollow: first validation. Filled: last validation. Bars are 95 % intervals."
        + style.told_apart([run.name for run in runs], "grey"),
        draw=draw,
        wide=0.62 + (0.36 if len(runs) == 1 else 0.52) * len(names),
        narrow=0.62 + (0.46 if len(runs) == 1 else 0.6) * len(names),
        table=Table(("", "before (95 % interval)", "after (95 % interval)", "prompts"), rows),
    )


def _dumbbell(axes: Axes, y: float, first: HeldOut, last: HeldOut, colour: str) -> None:
    moved = first.step != last.step
    if moved:
        line = {"arrowstyle": "-", "color": colour, "linewidth": 1.4, "alpha": 0.5}
        axes.annotate("", (last.share, y), (first.share, y), arrowprops=line)
    for point, filled in ((first, not moved), (last, True)):
        if point.bounds:
            axes.plot(point.bounds[1:], (y, y), color=colour, linewidth=4.5, alpha=0.28, solid_capstyle="butt")
        face = colour if filled else "none"
        axes.plot(point.share, y, "o", markersize=7, color=colour, markerfacecolor=face, markeredgewidth=1.6)


def with_interval(point: HeldOut) -> str:
    """ "95.3 % (92.3 – 97.2)", or without the interval where there is none."""
    if point.bounds is None:
        return style.percent(point.share)
    return f"{style.percent(point.share)} ({100 * point.bounds[1]:.1f} – {100 * point.bounds[2]:.1f})"


# ---------------------------------------------------------------------- curves


def curves(runs: Sequence[Run]) -> Section:
    """Accuracy over the steps."""
    return Section(
        "curves",
        "Learning curves",
        "What the policy's answers and the judge's verdicts scored on the prompts of each step. Judge prompts are made "
        "of the policy's own rollouts, so they get harder as it gets better: held-out points tell what was learned.",
        charts=[curves_chart(runs)],
        missing=lacking(runs, lambda run: run.trained.empty, "Learning curves", NO_METRICS),
    )


def curves_chart(runs: Sequence[Run]) -> Chart | None:
    """Accuracy of every objective over the steps, in training and held out; None without any."""
    held = {QUANTITIES[name].objective for run in runs for name in run.held_out}
    objectives = [o for o in Objective if o in held or any(len(run.of(o, "acc")) for run in runs)]
    if not objectives:
        return None

    def draw(figure: Figure, narrow: bool) -> None:
        columns = 1 if narrow else min(2, len(objectives))
        for axes, objective in style.panels(figure, objectives, columns, sharex=True, sharey=True):
            for number, run in reversed(list(enumerate(runs))):
                _curve(axes, run, objective, number)
            axes.set_title(style.NAMES[objective], color=style.COLOURS[objective])
            if objective in (Objective.POINTWISE, Objective.PAIRWISE):
                axes.axhline(0.5, color=style.MUTED, linewidth=0.8, linestyle=style.DOTTED)
            axes.spines["bottom"].set_color(style.GRID)
            style.percent_axis(axes)
            style.step_axis(axes)

    told, rows = [], []
    for run in runs:
        for objective in objectives:
            found = run.curve(objective, "acc")
            if len(found):
                first, last = found["mean"].iloc[[0, -1]]
                told.append(f"{style.NAMES[objective]} {style.percent(first, 0)} to {style.percent(last, 0)}")
                places = sorted({round(i * (len(found) - 1) / 9) for i in range(10)})
                for step, value, weight, mean in found.iloc[places].itertuples():
                    cells = (str(step), f"{weight:.0f}", style.percent(value), style.percent(mean))
                    rows.append((run.name, style.NAMES[objective], *cells))
    return Chart(
        name="curves",
        alt="Training accuracy over the steps by objective: " + "; ".join(told) + ".",
        caption=f"Dots: one step's rows, which differ in difficulty. Line: moving average over {runs[0].width} steps, "
        "weighted by rows. Diamonds: held-out accuracy with 95 % intervals (reflection: filled for wrong attempts put "
        "right, hollow for right ones kept). Dotted: guessing."
        + style.told_apart([run.name for run in runs], "grey and dashed"),
        draw=draw,
        wide=0.5 + 2.1 * -(-len(objectives) // 2),
        narrow=0.4 + 1.75 * len(objectives),
        table=Table(("run", "objective", "step", "rows", "accuracy", "moving average"), rows),
    )


def _curve(axes: Axes, run: Run, objective: Objective, number: int) -> None:
    """Accuracy in training and held out of the first run (0) or of the one that it is compared with (1)."""
    found, colour = run.curve(objective, "acc"), style.colour_of(objective, number)
    if number == 0:
        faint = 0.4 if len(found) <= 100 else 0.15
        axes.plot(found["value"], "o", color=colour, markersize=2.6, alpha=faint, markeredgewidth=0)
    axes.plot(found["mean"], color=colour, linestyle=style.dash_of(number))
    for name, points in run.held_out.items():
        if QUANTITIES[name].objective != objective:
            continue
        if len(points) > 2:
            places = [point.step for point in points], [point.share for point in points]
            axes.plot(*places, color=colour, linewidth=0.9, linestyle=(0, (1, 1.5)))
        face = "none" if name == "reflection_keep_rate" else colour
        for point in points:
            if point.bounds:
                axes.plot((point.step,) * 2, point.bounds[1:], color=colour, linewidth=1.1, alpha=0.8)
            axes.plot(point.step, point.share, "D", color=colour, markersize=5, markerfacecolor=face)
