"""What a step costs: seconds by stage, rows and tokens by objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_verl.report import style
from spark_verl.report.frame import Run
from spark_verl.report.section import NO_METRICS, Section, lacking
from spark_verl.report.style import Chart, Table
from spark_verl.vocabulary import Objective

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

OUTSIDE = ["step", "testing", "start_profile", "stop_profile"]
"""``timing_s/*`` that are no part of a step, or all of it."""

MOST_STAGES = 6
MOST_BARS = 60


def time(runs: Sequence[Run]) -> Section:
    """Where the time goes."""
    findings = []
    for run in runs:
        totals = stages(run).sum().sort_values(ascending=False)
        told = [f"{_stage(name)} {style.percent(seconds / totals.sum(), 0)}" for name, seconds in totals[:3].items()]
        findings.append((run.name, f"Of a step's time: {', '.join(told)}." if told else ""))
    return Section(
        "time",
        "Where the time goes",
        findings=findings,
        charts=[time_by_stage(runs), rows_and_tokens(runs)],
        missing=lacking(runs, lambda run: run.trained.empty, "Times and counts", NO_METRICS),
    )


def stages(run: Run) -> pd.DataFrame:
    """Seconds of each stage (columns, from the longest to the shortest) in each step (rows).

    What no stage accounts for is "other", and so are the shortest ones beyond :data:`MOST_STAGES`.
    """
    total = run.series("timing_s/step")
    # Nested names are parts of a stage that is counted already.
    named = run.metrics.loc[total.index].filter(regex="^timing_s/[^/]+$").fillna(0.0)
    named = named.rename(columns=lambda name: name.removeprefix("timing_s/")).drop(columns=OUTSIDE, errors="ignore")
    sums = named.sum().sort_values(ascending=False)
    shown = named[sums[sums > 0].index[:MOST_STAGES]]
    rest = (total - shown.sum(axis=1)).clip(lower=0.0)
    return shown.assign(other=rest) if rest.sum() > 0 else shown


def _stage(name: str) -> str:
    return STAGE_NAMES.get(name, name)


def _stack(axes: Axes, steps: pd.DataFrame, colours: Mapping[Any, str], names: Mapping[Any, str]) -> None:
    """A bar per step (or several of them, in a long run), a part of it per column."""
    count = min(MOST_BARS, len(steps))
    bars = steps.assign(at=steps.index).groupby(np.arange(len(steps)) * count // len(steps)).mean()
    at = bars.pop("at")
    width = 0.84 * (at.diff().mean() if len(at) > 1 else 1.0)
    bottom = np.zeros(count)
    for name, height in bars.items():
        axes.bar(at, height, width, bottom, color=colours[name], label=names.get(name, name), linewidth=0)
        bottom += height
    style.step_axis(axes)


def time_by_stage(runs: Sequence[Run]) -> Chart | None:
    """Seconds of a step by stage; None when the log has no timings."""
    found = [(run, shown) for run in runs if len(shown := stages(run))]
    if not found:
        return None
    names = dict.fromkeys(name for _, shown in found for name in shown if name != "other")
    colours = {name: style.STAGES[i % len(style.STAGES)] for i, name in enumerate(names)} | {"other": style.STAGES[-1]}

    def draw(figure: Figure, narrow: bool) -> None:
        columns, legend = (1, 1) if narrow else (len(found), 4)
        for axes, (run, shown) in style.panels(figure, found, columns, legend, sharey=True):
            _stack(axes, shown, colours, STAGE_NAMES)
            axes.set_title(run.name if len(found) > 1 else "")
            axes.set_xlabel("training step")
            axes.set_ylabel("seconds per step")

    rows = []
    for run, shown in found:
        total = shown.to_numpy().sum()
        for name, seconds in shown.items():
            cells = (f"{seconds.median():.2f}", f"{seconds.sum():.1f}", style.percent(seconds.sum() / total))
            rows.append((run.name, _stage(str(name)), *cells))
        testing = run.series("timing_s/testing").sum()
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
        table=Table(("run", "stage", "median s per step", "s in all", "share"), rows),
    )


def counts(run: Run) -> dict[str, pd.DataFrame]:
    """Rows and generated tokens of each trained step, a column per objective."""
    found = {o: run.of(o, "count", "response_length/mean").reindex(run.trained).fillna(0.0) for o in Objective}
    rows = pd.DataFrame({objective: each["count"] for objective, each in found.items()})
    lengths = pd.DataFrame({objective: each["response_length/mean"] for objective, each in found.items()})
    return {"rows per step": rows, "generated tokens per step": rows * lengths}


def rows_and_tokens(runs: Sequence[Run]) -> Chart | None:
    """Rows and generated tokens of each step by objective; None when the log has no counts."""
    objectives = [o for o in Objective if any(len(run.of(o, "count")) for run in runs)]
    if not objectives:
        return None
    found = [(run, what, amounts[objectives]) for run in runs for what, amounts in counts(run).items()]

    def draw(figure: Figure, narrow: bool) -> None:
        columns, legend = (1, 2) if narrow else (2, 4)
        for axes, (run, what, amounts) in style.panels(figure, found, columns, legend):
            if amounts.empty:
                style.nothing(axes, "no steps")
                continue
            _stack(axes, amounts, style.COLOURS, style.NAMES)
            axes.set_title(what.capitalize() if len(runs) == 1 else f"{run.name} · {what}")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")

    rows = []
    for run in runs:
        row_sums, token_sums = (amounts[objectives].sum() for amounts in counts(run).values())
        for objective in objectives:
            cells = []
            for sums in (row_sums, token_sums):
                cells += [
                    f"{sums[objective]:,.0f}",
                    style.percent(sums[objective] / sums.sum() if sums.sum() else None),
                ]
            rows.append((run.name, style.NAMES[objective], *cells))
        whole = run.series("perf/total_num_tokens").sum()
        if whole:
            prompts = max(0.0, whole - token_sums.sum())
            rows.append((run.name, "prompts of all rows", "–", "–", f"{prompts:,.0f}", "–"))
    told = "; ".join(f"{row[0]}, {row[1]}: {row[3]} of rows, {row[5]} of tokens" for row in rows if row[3] != "–")
    return Chart(
        name="rows-and-tokens",
        alt=f"Rows and generated tokens of each step by objective. {told}.",
        caption="All rows of a step are trained in one update. Prompt tokens, in the numbers below, are read but not "
        "generated.",
        draw=draw,
        wide=0.7 + 2.2 * len(runs),
        narrow=0.9 + 1.9 * len(found),
        table=Table(("run", "objective", "rows", "share", "tokens", "share of generated"), rows),
    )
