"""The judge's labels and verdicts: are they balanced, and does the judge only agree with itself?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_verl.report import style
from spark_verl.report.frame import Run, first_and_last_third, rolling
from spark_verl.report.section import NO_JUDGE, Section, lacking
from spark_verl.report.style import Chart, Table
from spark_verl.trainer.alarm import ACCURACY, LABEL_YES_RATE, YES_RATE, Drift, compare, policy_progress
from spark_verl.vocabulary import Objective

WINDOW = 20
"""Steps over which the balance is planned to hold."""


@dataclass(frozen=True)
class Side:
    """One of the two shares that are steered.

    Attributes:
        objective: Whose verdicts.
        key: Of the verdicts' share; "label_" + key is the labels'.
        word: The verdict that is counted.
        band: Target of the labels over any :data:`WINDOW` steps.
    """

    objective: Objective
    key: str
    word: str
    band: tuple[float, float]

    @property
    def target(self) -> str:
        """The band as text, in percent."""
        return f"{100 * self.band[0]:.0f} to {100 * self.band[1]:.0f} %"


POINTWISE = Side(Objective.POINTWISE, "yes_rate", "Yes", (0.45, 0.55))
SIDES = (POINTWISE, Side(Objective.PAIRWISE, "a_rate", "A", (0.48, 0.52)))


@dataclass(frozen=True)
class Skew:
    """Shares of one run and side.

    Attributes:
        steps: A row per step with such prompts: ``label`` and ``verdict``, their shares in this step (NaN where no
            verdict was parsed); ``groups``, its prompts; ``labels`` and ``verdicts``, the shares over the last
            :data:`WINDOW` steps.
        labels: Labels' share of the whole run.
        verdicts: Verdicts' share of the whole run; NaN without any.
        inside: Share of the windows whose labels are in the band; None when the run is shorter than a window.
    """

    steps: pd.DataFrame
    labels: float
    verdicts: float
    inside: float | None


def skew(run: Run, side: Side) -> Skew | None:
    """How a run's labels and verdicts were shared; None without such prompts."""
    found = run.of(side.objective, f"label_{side.key}", side.key, "groups", "count", "parse_rate")
    if found.empty:
        return None
    found = found.set_axis(["label", "verdict", "groups", "count", "parse_rate"], axis=1)
    found = found.fillna({"groups": 1.0, "count": 1.0, "parse_rate": 1.0})
    said = found["verdict"].fillna(0.0)
    parsed = (found["count"] * found["parse_rate"]).where(found["verdict"].notna(), 0.0)
    steps = found.index.to_numpy()
    for name, share, weights in (("labels", found["label"], found["groups"]), ("verdicts", said, parsed)):
        found[name] = rolling(steps, share.to_numpy(), weights.to_numpy(), WINDOW, trailing=True)
    full = found["labels"][steps - WINDOW + 1 >= run.trained.min()]
    return Skew(
        steps=found,
        labels=float(np.average(found["label"], weights=found["groups"])),
        verdicts=float(np.average(said, weights=parsed)) if parsed.any() else math.nan,
        inside=float(full.between(*side.band).mean()) if len(full) else None,
    )


# ---------------------------------------------------------------------- labels and positions


def balance(runs: Sequence[Run]) -> Section:
    """Shares of Yes and A among labels and verdicts."""
    skews = [(run, side, skew(run, side)) for run in runs for side in SIDES]
    of_run = {run.name: [(side, found) for of, side, found in skews if of is run and found] for run in runs}
    findings = []
    for run in runs:
        told = [
            f"{style.percent(found.labels)} of the {side.objective} labels are {side.word} (target {side.target}), "
            f"{style.percent(found.verdicts)} of the verdicts"
            for side, found in of_run[run.name]
        ]
        findings.append((run.name, f"{'; '.join(told)}." if told else ""))
    return Section(
        "balance",
        "Labels and positions",
        "A judge that sees mostly right answers learns to say Yes, so both are steered towards one half.",
        findings,
        [balance_chart(runs, skews)],
        missing=lacking(runs, lambda run: not of_run[run.name], "Balance of labels", NO_JUDGE),
    )


def balance_chart(runs: Sequence[Run], shown: Sequence[tuple[Run, Side, Skew | None]]) -> Chart | None:
    """Shares over the steps of every run and side; None without judge rows."""
    # The first run that is compared may have no judge rows.
    with_legend = next((found for _, _, found in shown if found), None)
    if with_legend is None:
        return None

    def draw(figure: Figure, narrow: bool) -> None:
        panels = style.panels(figure, shown, 1 if narrow else len(SIDES), sharex=True, sharey=True)
        for axes, (run, side, found) in panels:
            title = f"{style.NAMES[side.objective]}: share of {side.word}"
            _shares(axes, side, found, title if len(runs) == 1 else f"{run.name} · {title}")
            style.step_axis(axes)
            if found is with_legend:
                axes.legend(loc="lower left", ncols=1 if narrow else 3)

    rows = []
    for run, side, found in shown:
        if found:
            shares = (style.percent(found.labels), style.percent(found.inside, 0), style.percent(found.verdicts))
            rows.append((run.name, f"{style.NAMES[side.objective]}, {side.word}", side.target, *shares))
    told = "; ".join(f"{row[0]}, {row[1]}: labels {row[3]}, verdicts {row[5]}, target {row[2]}" for row in rows)
    return Chart(
        name="balance",
        alt=f"Shares of Yes among pointwise and of A among pairwise prompts over the steps. {told}.",
        caption=f"Shaded: target for the labels of any {WINDOW} steps. Solid: labels of the last {WINDOW} steps. "
        f"Dashed: verdicts of the last {WINDOW} steps. Dots: labels of one step, larger with more prompts.",
        draw=draw,
        wide=0.5 + 2.3 * len(runs),
        narrow=0.4 + 2.0 * len(shown),
        table=Table(
            ("run", "share of", "target", "labels, whole run", f"windows of {WINDOW} steps in target", "verdicts"),
            rows,
        ),
    )


def _shares(axes: Axes, side: Side, found: Skew | None, title: str) -> None:
    if found is None:
        style.nothing(axes, f"no {side.objective} prompts")
        return
    colour, steps = style.COLOURS[side.objective], found.steps
    axes.axhspan(*side.band, color=style.BAND, linewidth=0)
    axes.axhline(0.5, color=style.MUTED, linewidth=0.7, linestyle=style.DOTTED)
    size = 5 + 26 * steps["groups"] / max(1.0, steps["groups"].max())
    faint = 0.25 if len(steps) <= 100 else 0.08
    axes.scatter(steps.index, steps["label"], s=size, color=colour, alpha=faint, linewidths=0)
    axes.plot(steps["labels"], color=colour, label="labels")
    axes.plot(steps["verdicts"], color=style.INK, linestyle=(0, (3, 2)), linewidth=1.4, label="verdicts")
    axes.set_title(title)
    style.percent_axis(axes)


# ---------------------------------------------------------------------- self-confirmation


def self_confirmation(runs: Sequence[Run]) -> Section:
    """Whether the judge learned to agree with the policy, by the rule of the trainer's alarm."""
    return Section(
        "self-confirmation",
        "Does the judge just agree with itself?",
        "A judge can learn to say Yes to whatever the policy writes. The verifier's labels tell.",
        [(run.name, _verdict_on(run)) for run in runs],
        [self_confirmation_chart(runs)],
        missing=lacking(runs, lambda run: run.of(Objective.POINTWISE, "label_yes_rate").empty, "Yes rate", NO_JUDGE),
    )


def yes_drift(run: Run) -> Drift | None:
    """The first against the last third of a run's steps with verdicts; None with fewer than two steps in a third."""
    steps = run.metrics.reindex(columns=[YES_RATE, LABEL_YES_RATE, ACCURACY]).dropna()
    if len(steps) < 6:
        return None
    thirds = first_and_last_third(steps)
    earlier, later = ((third[YES_RATE] - third[LABEL_YES_RATE]).tolist() for third in thirds)
    validated = [point.share for point in run.held_out.get("policy_acc", [])]
    in_training = [third[ACCURACY].tolist() for third in thirds]
    return compare(earlier, later, policy_progress((validated[:1], validated[1:]), in_training))


def _verdict_on(run: Run) -> str:
    drift = yes_drift(run)
    if drift is None:
        return "Too few steps with pointwise prompts to tell."
    if drift.suspicious:
        verdict = "This is the pattern of self-confirmation: it says Yes more and more while the policy gets no better."
    elif drift.rising:
        verdict = "It says Yes more often than at first, measured against what is right; yet the policy did get better."
    else:
        verdict = "No sign of it."
    rang = run.series("spark/alarm/self_confirmation")
    if rang.any():
        verdict += f" The trainer's alarm rang at step {', '.join(map(str, rang.index[rang > 0][:8]))}."
    earlier, later, progress = map(style.points, (drift.earlier, drift.later, drift.progress))
    where = "on held-out questions" if len(run.held_out.get("policy_acc", [])) > 1 else "in training"
    text = (
        f"{verdict} Yes said minus Yes right: {earlier} in the first third of the steps, {later} in the last; "
        f"the policy's accuracy {where} changed by {progress}."
    )
    held_out = held_out_excess(run)
    if len(held_out) > 1:
        before, after = held_out.iloc[[0, -1]]
        text += f" On held-out judge prompts it was {style.points(before)} before and {style.points(after)} after."
    return text


def held_out_excess(run: Run) -> pd.Series:
    """Share of Yes among verdicts minus among labels on held-out pointwise prompts, by step."""
    return run.validations.dropna(subset="yes_excess").groupby("step")["yes_excess"].mean()


def self_confirmation_chart(runs: Sequence[Run]) -> Chart | None:
    """How much more often than right the judge says Yes, beside accuracy; None without pointwise rows."""
    skews = [skew(run, POINTWISE) for run in runs]
    if not any(skews):
        return None

    def draw(figure: Figure, narrow: bool) -> None:
        left, right = figure.subplots(*((2, 1) if narrow else (1, 2)), sharex=True)
        left.axhline(0, color=style.MUTED, linewidth=0.8)
        for number, (run, found) in reversed(list(enumerate(zip(runs, skews, strict=True)))):
            judge, policy = (style.colour_of(one, number) for one in (Objective.POINTWISE, Objective.POLICY))
            dash = style.dash_of(number)
            if found is not None:
                excess = found.steps["verdicts"] - found.steps["labels"]
                if number == 0:
                    left.fill_between(excess.index, 0, excess, color=judge, alpha=0.18, linewidth=0)
                left.plot(excess, color=judge, linestyle=dash)
                left.plot(held_out_excess(run), "D", color=judge, markersize=5)
            right.plot(run.curve(Objective.POLICY, "acc", window=WINDOW)["mean"], color=policy, linestyle=dash)
            for point in run.held_out.get("policy_acc", []):
                right.plot(point.step, point.share, "D", color=policy, markersize=5)
        left.set_title("Pointwise judge: Yes said, minus Yes right")
        right.set_title("Policy: accuracy")
        low, high = left.get_ylim()
        left.set_ylim(min(low, -0.2), max(high, 0.3))
        left.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.0f}" if value else "0")
        left.set_ylabel("points")
        style.percent_axis(right)
        style.step_axis(left)
        style.step_axis(right)

    drifts = [(run.name, found) for run in runs if (found := yes_drift(run))]
    rows = [(name, *map(style.points, (one.earlier, one.later, one.progress))) for name, one in drifts]
    told = "; ".join(f"{row[0]}: {row[1]} in the first third, {row[2]} in the last" for row in rows)
    return Chart(
        name="self-confirmation",
        alt=f"How much more often the judge says Yes than Yes is right, beside the policy's accuracy. {told}.",
        caption=f"Lines: prompts of the last {WINDOW} steps. Diamonds: held out. To worry about is a rising left side "
        "beside a right side that does not rise." + style.told_apart([run.name for run in runs], "grey and dashed"),
        draw=draw,
        wide=2.7,
        narrow=4.4,
        table=Table(("run", "excess of Yes, first third", "last third", "change of accuracy"), rows),
    )
