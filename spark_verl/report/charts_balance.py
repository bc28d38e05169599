"""Charts of the judge's labels and verdicts: are they balanced, and does the judge follow them?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_verl.report.run import Run
from spark_verl.report.style import (
    BAND,
    COLOURS,
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
from spark_verl.runs.metrics import rolling, weighted

WINDOW = 20
"""Steps over which the balance is planned to hold."""


@dataclass(frozen=True)
class Side:
    """One of the two shares that are steered.

    Attributes:
        objective: "pointwise" or "pairwise".
        key: Of the verdicts' share; "label_" + key is the labels'.
        word: The verdict that is counted.
        band: Target of the labels over any :data:`WINDOW` steps.
    """

    objective: str
    key: str
    word: str
    band: tuple[float, float]

    @property
    def prefix(self) -> str:
        """Of its metrics."""
        return f"spark/judge/{self.objective}"


SIDES = (Side("pointwise", "yes_rate", "Yes", (0.45, 0.55)), Side("pairwise", "a_rate", "A", (0.48, 0.52)))


@dataclass(frozen=True)
class Skew:
    """Shares of one run and side.

    Attributes:
        steps, each: Steps with such prompts and the labels' share in each, shape (n,).
        groups: Prompts of each step, shape (n,).
        labels, verdicts: Shares over the last :data:`WINDOW` steps, shape (n,).
        whole: Labels' share of the whole run.
        verdict_whole: Verdicts' share of the whole run.
        inside: Share of the windows whose labels are in the band; None when the run is shorter than a window.
    """

    steps: np.ndarray
    each: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    verdicts: np.ndarray
    whole: float
    verdict_whole: float
    inside: float | None


def said(run: Run, side: Side, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The verdicts' share at these steps and how many verdicts it is of, shape (n,); 0 of 0 where none was parsed."""
    shares, counts = np.zeros(len(steps)), np.zeros(len(steps))
    for place, step in enumerate(steps):
        values = run.metrics.steps[int(step)]
        share = values.get(f"{side.prefix}/{side.key}")
        if share is not None:
            shares[place] = share
            counts[place] = values.get(f"{side.prefix}/count", 1.0) * values.get(f"{side.prefix}/parse_rate", 1.0)
    return shares, counts


def skew(run: Run, side: Side) -> Skew | None:
    """How a run's labels and verdicts were shared; None without such prompts."""
    steps, each, groups = weighted(run.metrics, f"{side.prefix}/label_{side.key}", f"{side.prefix}/groups")
    if not len(steps):
        return None
    verdicts, counts = said(run, side, steps)
    labels = rolling(steps, each, groups, WINDOW, trailing=True)
    full = steps >= run.metrics.trained[0] + WINDOW - 1 if run.metrics.trained else np.zeros(len(steps), bool)
    low, high = side.band
    return Skew(
        steps=steps,
        each=each,
        groups=groups,
        labels=labels,
        verdicts=rolling(steps, verdicts, counts, WINDOW, trailing=True),
        whole=float(np.average(each, weights=groups)),
        verdict_whole=float(np.average(verdicts, weights=counts)) if counts.any() else math.nan,
        inside=float(np.mean((labels[full] >= low) & (labels[full] <= high))) if full.any() else None,
    )


def balance(runs: Sequence[Run]) -> Chart | None:
    """Shares of Yes and A among labels and verdicts over the steps; None without judge rows."""
    skews = [[skew(run, side) for side in SIDES] for run in runs]
    if not any(found for row in skews for found in row):
        return None

    def draw(figure: Figure, narrow: bool) -> None:
        shape = (len(SIDES) * len(runs), 1) if narrow else (len(runs), len(SIDES))
        grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel()
        order = [(i, j) for i in range(len(runs)) for j in range(len(SIDES))]
        for axes, (i, j) in zip(grid, order, strict=True):
            title = f"{NAMES[SIDES[j].objective]}: share of {SIDES[j].word}"
            _panel(axes, SIDES[j], skews[i][j], title if len(runs) == 1 else f"{runs[i].name} · {title}")
            step_axis(axes, label=axes.get_subplotspec().is_last_row())
        # The first run that is compared may have no judge rows.
        drawn = next(axes for axes in grid if axes.get_legend_handles_labels()[0])
        drawn.legend(loc="lower left", ncols=1 if narrow else 3)

    rows = []
    for run, row in zip(runs, skews, strict=True):
        for side, found in zip(SIDES, row, strict=True):
            if found:
                low, high = side.band
                rows.append(
                    (
                        run.name,
                        f"{NAMES[side.objective]}, {side.word}",
                        f"{100 * low:.0f} – {100 * high:.0f} %",
                        percent(found.whole),
                        percent(found.inside, 0),
                        percent(found.verdict_whole),
                    )
                )
    told = "; ".join(f"{row[0]}, {row[1]}: labels {row[3]}, verdicts {row[5]}, target {row[2]}" for row in rows)
    return Chart(
        name="balance",
        alt=f"Shares of Yes among pointwise and of A among pairwise prompts over the steps. {told}.",
        caption=f"Shaded: target for the labels of any {WINDOW} steps. Solid: labels of the last {WINDOW} steps. "
        f"Dashed: verdicts of the last {WINDOW} steps. Dots: labels of one step, larger with more prompts.",
        draw=draw,
        wide=0.5 + 2.3 * len(runs),
        narrow=0.4 + 2.0 * len(SIDES) * len(runs),
        table=Table(
            ("run", "share of", "target", "labels, whole run", f"windows of {WINDOW} steps in target", "verdicts"),
            tuple(rows),
        ),
    )


def _panel(axes: Axes, side: Side, found: Skew | None, title: str) -> None:
    if found is None:
        nothing(axes, f"no {side.objective} prompts")
        return
    colour = COLOURS[side.objective]
    axes.axhspan(*side.band, color=BAND, linewidth=0)
    axes.axhline(0.5, color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
    size = 5 + 26 * found.groups / max(1.0, float(found.groups.max()))
    axes.scatter(
        found.steps, found.each, s=size, color=colour, alpha=0.25 if len(found.steps) <= 100 else 0.08, linewidths=0
    )
    axes.plot(found.steps, found.labels, color=colour, label="labels")
    axes.plot(found.steps, found.verdicts, color=INK, linestyle=(0, (3, 2)), linewidth=1.4, label="verdicts")
    axes.set_title(title)
    percent_axis(axes)


# ---------------------------------------------------------------------- self-confirmation


def self_confirmation(runs: Sequence[Run]) -> Chart | None:
    """How much more often than right the judge says Yes, beside accuracy; None without pointwise rows."""
    skews = [skew(run, SIDES[0]) for run in runs]
    if not any(skews):
        return None

    def draw(figure: Figure, narrow: bool) -> None:
        left, right = figure.subplots(*((2, 1) if narrow else (1, 2)), sharex=True)
        left.axhline(0, color=MUTED, linewidth=0.8)
        for number, (run, found) in reversed(list(enumerate(zip(runs, skews, strict=True)))):
            dash = "-" if number == 0 else (0, (4, 2))
            if found is not None:
                colour = COLOURS["pointwise"] if number == 0 else OTHER
                excess = found.verdicts - found.labels
                if number == 0:
                    left.fill_between(found.steps, 0, excess, color=colour, alpha=0.18, linewidth=0)
                left.plot(found.steps, excess, color=colour, linestyle=dash)
                points = held_out_excess(run)
                left.plot(list(points), list(points.values()), "D", color=colour, markersize=5)
            colour = COLOURS["policy"] if number == 0 else OTHER
            steps, values, weights = weighted(run.metrics, "spark/policy/acc", "spark/policy/count")
            if len(steps):
                right.plot(steps, rolling(steps, values, weights, WINDOW, trailing=True), color=colour, linestyle=dash)
            for point in run.held_out.get("policy_acc", []):
                right.plot(point.step, point.share, "D", color=colour, markersize=5)
        left.set_title("Pointwise judge: Yes said, minus Yes right")
        right.set_title("Policy: accuracy")
        low, high = left.get_ylim()
        left.set_ylim(min(low, -0.2), max(high, 0.3))
        left.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f}" if value else "0")
        left.set_ylabel("points")
        percent_axis(right)
        step_axis(left, label=not narrow)
        step_axis(right)

    rows = []
    for run in runs:
        if (drift := yes_drift(run)) is not None:
            rows.append((run.name, *(points_text(value) for value in (drift.early, drift.late, drift.progress))))
    told = "; ".join(f"{row[0]}: {row[1]} in the first third, {row[2]} in the last" for row in rows)
    return Chart(
        name="self-confirmation",
        alt=f"How much more often the judge says Yes than Yes is right, beside the policy's accuracy. {told}.",
        caption=f"Lines: prompts of the last {WINDOW} steps. Diamonds: held out. To worry about is a rising left side "
        "beside a right side that does not rise."
        + (f" Colour: {runs[0].name}; grey and dashed: {runs[1].name}." if len(runs) > 1 else ""),
        draw=draw,
        wide=2.7,
        narrow=4.4,
        table=Table(("run", "excess of Yes, first third", "last third", "change of accuracy"), tuple(rows)),
    )


def held_out_excess(run: Run) -> dict[int, float]:
    """Share of Yes among verdicts minus among labels on held-out pointwise prompts, ``{step: difference}``."""
    return {dump.step: dump.yes_excess for dump in run.validations if dump.yes_excess is not None}


@dataclass(frozen=True)
class YesDrift:
    """Whether the judge learned to agree with the policy.

    Attributes:
        early, late: Share of Yes among verdicts minus among labels, first and last third of the run.
        progress: Change of the policy's accuracy meanwhile: held out where validated twice, else in training.
        held_out: Whether ``progress`` is held out.
        held_out_early, held_out_late: The excess on held-out prompts, first and last validation; None without dumps.
        logged: Steps at which the trainer's own alarm rang; None when it was not on.
    """

    early: float
    late: float
    progress: float
    held_out: bool
    held_out_early: float | None
    held_out_late: float | None
    logged: tuple[int, ...] | None

    @property
    def rising(self) -> bool:
        """The judge says Yes 5 points more often than right than it did at first, and more often than right."""
        return self.late - self.early >= 0.05 and self.late > 0

    @property
    def suspicious(self) -> bool:
        """It does so while the policy gets no better."""
        return self.rising and self.progress <= 0


def yes_drift(run: Run) -> YesDrift | None:
    """Compare the first with the last third of a run; None below three steps with pointwise rows and verdicts."""
    found = skew(run, SIDES[0])
    size = len(found.steps) // 3 if found else 0
    if found is None or size == 0:
        return None
    shares, counts = said(run, SIDES[0], found.steps)
    parts = (slice(None, size), slice(-size, None))
    if not all(counts[part].any() for part in parts):
        return None
    excess = [
        float(np.average(shares[part], weights=counts[part]) - np.average(found.each[part], weights=found.groups[part]))
        for part in parts
    ]
    points = run.held_out.get("policy_acc", [])
    if len(points) > 1:
        progress = points[-1].share - points[0].share
    else:
        _, values = run.metrics.series("spark/policy/acc")
        third = len(values) // 3
        progress = float(values[-third:].mean() - values[:third].mean()) if third else 0.0
    names = [name for name in run.metrics.names("spark/") if name.endswith("self_confirmation")]
    logged = None
    if names:
        steps, rang = run.metrics.series(f"spark/{names[0]}")
        logged = tuple(int(step) for step in steps[rang > 0])
    dumped = list(held_out_excess(run).values())
    ends = (dumped[0], dumped[-1]) if len(dumped) > 1 else (None, None)
    return YesDrift(excess[0], excess[1], progress, len(points) > 1, *ends, logged)


def points_text(value: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * value:+.1f}\u00a0points".replace("-", "\u2212")
