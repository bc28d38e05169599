"""Charts of what a step costs: seconds by stage, rows and tokens by role; and of the verifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from spark_verl.report.charts_learning import prefix
from spark_verl.report.run import Run
from spark_verl.report.style import (
    COLOURS,
    NAMES,
    STAGES,
    Chart,
    Table,
    legend_of,
    nothing,
    percent,
    step_axis,
)
from spark_verl.runs.dumps import OBJECTIVES

STAGE_NAMES = {
    "gen": "generation, judging included",
    "reward": "reward",
    "old_log_prob": "old log-probabilities",
    "ref": "reference log-probabilities",
    "values": "values",
    "adv": "advantages",
    "update_critic": "critic update",
    "update_actor": "actor update",
    "update_weights": "weights to the engines",
    "dump_rollout_generations": "rollout dump",
    "save_checkpoint": "checkpoint",
}
"""verl's name of a stage → what it is; others keep their name."""

OUTSIDE = ("step", "testing", "start_profile", "stop_profile")
"""``timing_s/*`` that are no part of a step, or all of it."""

MOST_STAGES = 6
MOST_BARS = 60


def stages(run: Run) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Seconds of each stage in each step.

    Returns:
        Steps of shape (n,), and ``{stage: shape (n,)}`` from the longest to the shortest; what no stage accounts for
        is "other", and so are the shortest ones beyond :data:`MOST_STAGES`.
    """
    steps, total = run.metrics.series("timing_s/step")
    named = {
        # Nested names are parts of a stage that is counted already.
        name: np.array([run.metrics.steps[int(step)].get(f"timing_s/{name}", 0.0) for step in steps])
        for name in run.metrics.names("timing_s/")
        if name not in OUTSIDE and "/" not in name
    }
    order = sorted(named, key=lambda name: -named[name].sum())
    shown = {name: named[name] for name in order[:MOST_STAGES] if named[name].sum() > 0}
    rest = np.maximum(0.0, total - sum(shown.values(), np.zeros(len(steps))))
    if len(steps) and rest.sum() > 0:
        shown["other"] = rest
    return steps, shown


def _bins(steps: np.ndarray) -> list[np.ndarray]:
    """Indices of the steps of each bar."""
    return np.array_split(np.arange(len(steps)), min(MOST_BARS, len(steps)))


def time_by_stage(runs: Sequence[Run]) -> Chart | None:
    """Seconds of a step by stage; None when the log has no timings."""
    found = [(run, *stages(run)) for run in runs]
    found = [(run, steps, shown) for run, steps, shown in found if len(steps)]
    if not found:
        return None
    names = list(dict.fromkeys(name for _, _, shown in found for name in shown if name != "other")) + ["other"]
    colours = {name: STAGES[i % len(STAGES)] for i, name in enumerate(names)} | {"other": STAGES[-1]}

    def draw(figure: Figure, narrow: bool) -> None:
        shape = (len(found), 1) if narrow else (1, len(found))
        grid = figure.subplots(*shape, sharey=True, squeeze=False).ravel()
        for axes, (run, steps, shown) in zip(grid, found, strict=True):
            bins = _bins(steps)
            bottom = np.zeros(len(bins))
            at = np.array([steps[part].mean() for part in bins])
            width = 0.84 * (np.diff(at).mean() if len(at) > 1 else 1.0)
            for name, values in shown.items():
                height = np.array([values[part].mean() for part in bins])
                axes.bar(at, height, width, bottom, color=colours[name], label=_stage(name), linewidth=0)
                bottom += height
            axes.set_title(run.name if len(found) > 1 else "")
            step_axis(axes)
            axes.set_ylabel("seconds per step")
        handles, labels = legend_of(grid)
        figure.legend(handles, labels, loc="outside upper left", ncols=1 if narrow else 4)

    rows = []
    for run, _, shown in found:
        total = sum(values.sum() for values in shown.values())
        for name, values in shown.items():
            share = percent(float(values.sum() / total))
            rows.append((run.name, _stage(name), f"{np.median(values):.2f}", f"{values.sum():.1f}", share))
        testing = run.metrics.total("timing_s/testing")
        if testing:
            rows.append((run.name, "validation (between steps)", "–", f"{testing:.1f}", "–"))
    told = "; ".join(f"{row[0]}, {row[1]} {row[4]}" for row in rows if row[4] != "–")
    return Chart(
        name="time-by-stage",
        alt=f"Seconds of each step by stage. Shares of the whole: {told}.",
        caption="Bars of long runs are means over several steps. Judge prompts are sampled while answers still are, so "
        "their time cannot be told from the policy's; their tokens can.",
        draw=draw,
        wide=3.4,
        narrow=1.4 + 2.4 * len(found),
        table=Table(("run", "stage", "median s per step", "s in all", "share"), tuple(rows)),
    )


def _stage(name: str) -> str:
    return STAGE_NAMES.get(name, name)


def rows_and_tokens(runs: Sequence[Run]) -> Chart | None:
    """Rows and generated tokens of each step by objective; None when the log has no counts."""
    objectives = [o for o in OBJECTIVES if any(len(run.metrics.series(f"{prefix(o)}/count")[0]) for run in runs)]
    if not objectives:
        return None
    panels = [(run, what) for run in runs for what in ("rows per step", "generated tokens per step")]

    def counts(run: Run, what: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        steps = np.array(run.metrics.trained, dtype=int)
        found = {}
        for objective in objectives:
            data = [run.metrics.steps[int(step)] for step in steps]
            amount = np.array([row.get(f"{prefix(objective)}/count", 0.0) for row in data])
            if what != "rows per step":
                amount = amount * [row.get(f"{prefix(objective)}/response_length/mean", 0.0) for row in data]
            found[objective] = amount
        return steps, found

    def draw(figure: Figure, narrow: bool) -> None:
        shape = (len(panels), 1) if narrow else (len(runs), 2)
        grid = figure.subplots(*shape, squeeze=False).ravel()
        for axes, (run, what) in zip(grid, panels, strict=True):
            steps, found = counts(run, what)
            if not len(steps):
                nothing(axes, "no steps")
                continue
            bins = _bins(steps)
            at = np.array([steps[part].mean() for part in bins])
            width = 0.84 * (np.diff(at).mean() if len(at) > 1 else 1.0)
            bottom = np.zeros(len(bins))
            for objective, values in found.items():
                height = np.array([values[part].mean() for part in bins])
                axes.bar(at, height, width, bottom, color=COLOURS[objective], label=NAMES[objective], linewidth=0)
                bottom += height
            axes.set_title(what.capitalize() if len(runs) == 1 else f"{run.name} · {what}")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            step_axis(axes, label=axes.get_subplotspec().is_last_row())
        handles, labels = legend_of(grid)
        figure.legend(handles, labels, loc="outside upper left", ncols=2 if narrow else 4)

    rows = []
    for run in runs:
        _, row_counts = counts(run, "rows per step")
        _, tokens = counts(run, "generated tokens per step")
        all_rows, all_tokens = (sum(v.sum() for v in part.values()) for part in (row_counts, tokens))
        for objective in objectives:
            r, t = row_counts[objective].sum(), tokens[objective].sum()
            rows.append(
                (
                    run.name,
                    NAMES[objective],
                    f"{r:,.0f}",
                    percent(_ratio(r, all_rows)),
                    f"{t:,.0f}",
                    percent(_ratio(t, all_tokens)),
                )
            )
        whole = run.metrics.total("perf/total_num_tokens")
        if whole:
            rows.append((run.name, "prompts of all rows", "–", "–", f"{max(0.0, whole - all_tokens):,.0f}", "–"))
    told = "; ".join(f"{row[0]}, {row[1]}: {row[3]} of rows, {row[5]} of tokens" for row in rows if row[3] != "–")
    return Chart(
        name="rows-and-tokens",
        alt=f"Rows and generated tokens of each step by objective. {told}.",
        caption="All rows of a step are trained in one update. Prompt tokens, in the numbers below, are read but not "
        "generated.",
        draw=draw,
        wide=0.7 + 2.2 * len(runs),
        narrow=0.9 + 1.9 * len(panels),
        table=Table(("run", "objective", "rows", "share", "tokens", "share of generated"), tuple(rows)),
    )


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
