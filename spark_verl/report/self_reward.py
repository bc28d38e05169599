"""Self-reward: what was promised and what came true, how far the gate was open and why not, and examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spark_verl.report import style
from spark_verl.report.data_rows import images, user_text
from spark_verl.report.frame import Run
from spark_verl.report.section import Section
from spark_verl.report.style import Chart, Table
from spark_verl.runs import dumps
from spark_verl.self_reward import DUMP_FOLDER
from spark_verl.self_reward.controller import Closed
from spark_verl.vocabulary import Supervision

PREFIX = "spark/self_reward"
REASONS = {
    Closed.FEW_GROUPS: "too few audit groups yet",
    Closed.BOUND: "its rewards do not go with the truth",
    Closed.CALIBRATION: "what it promised was not kept",
    Closed.UNREADABLE: "too many verdicts could not be read",
    Closed.ALARM: "the self-confirmation alarm rang",
}

EXAMPLES = 3


@dataclass(frozen=True)
class Example:
    """An unlabelled group that was judged: its question, and how the dump of self-reward has it."""

    step: int
    question: str
    images: Sequence[str]
    group: Mapping[str, Any]


def self_reward(runs: Sequence[Run]) -> Section | None:
    """The section; None where no run has rewarded itself."""
    runs = [run for run in runs if len(run.series(f"{PREFIX}/weight"))]
    if not runs:
        return None
    return Section(
        "self-reward",
        "Self-reward",
        "Answers to questions without ground truth are rewarded by the model's own judgement, as far as audit "
        "questions, whose truth is known and never trained on, show it to be right.",
        [(run.name, _finding(run)) for run in runs],
        [promise_chart(runs), gate_chart(runs)],
        [("Why the gate was closed", _closed(runs))],
        content={"runs": [(run.name, found) for run in runs if (found := examples(run))]},
    )


def _finding(run: Run) -> str:
    gate = run.under(PREFIX, "weight", "taught_groups", "groups")
    opened = gate["weight"] > 0
    told = f"The gate was open in {int(opened.sum())} of {len(gate)} steps"
    told += f", with a mean weight of {gate['weight'][opened].mean():.2f}. " if opened.any() else ". "
    if gate["groups"].sum():
        told += f"{style.percent(gate['taught_groups'].sum() / gate['groups'].sum())} of the unlabelled groups taught. "
    measured = run.under(PREFIX, "audit/rho", "audit/low", "audit/high", "audit/youden", "audit/first")
    if len(measured):
        last = measured.iloc[-1]
        told += (
            f"At the end rewards go with the truth at ρ = {last['audit/rho']:.2f} (95 %: {last['audit/low']:.2f} to "
            f"{last['audit/high']:.2f})"
        )
        if pd.notna(last["audit/youden"]):
            told += f"; the judge's J = TPR − FPR is {last['audit/youden']:.2f}"
        if pd.notna(last["audit/first"]):
            told += f"; a right answer ranks first in {style.percent(last['audit/first'])} of the groups that have one"
        told += "."
    return told


def _closed(runs: Sequence[Run]) -> Table | None:
    rows = []
    for run in runs:
        for reason, words in REASONS.items():
            steps = run.series(f"{PREFIX}/closed/{reason}")
            if steps.any():
                shut = steps.index[steps > 0]
                rows.append((run.name, words, str(len(shut)), f"{shut.min()} to {shut.max()}"))
    return Table(("run", "reason", "steps", "between"), rows) if rows else None


# ---------------------------------------------------------------------- charts

PROMISES = (
    ("audit questions", "audit/reward", "audit/accuracy"),
    ("unlabelled questions", "realised/reward", "realised/acc"),
)
"""(Of which questions, what was promised, what came true). The latter is known of unlabelled ones in experiments."""


def promise_chart(runs: Sequence[Run]) -> Chart | None:
    """Mean reward against accuracy, on audit questions and, where their truth was hidden but stored, on others."""
    shown = [
        (run, title, run.under(PREFIX, said, true).set_axis(["said", "true"], axis=1))
        for run in runs
        for title, said, true in PROMISES
        if len(run.under(PREFIX, said))
    ]
    if not shown:
        return None

    def draw(figure: Figure, narrow: bool) -> None:
        columns = 1 if narrow else 2
        for axes, (run, title, found) in style.panels(figure, shown, columns, columns, sharex=True, sharey=True):
            axes.plot(found["said"], color=style.STAGES[0], label="mean reward: what was promised")
            axes.plot(found["true"], color=style.INK, linestyle=style.DASHED, label="accuracy: what came true")
            _finish(axes, run.name, title, len(runs) > 1)

    rows = [
        (run.name, title, f"{found['said'].mean():.2f}", f"{found['true'].mean():.2f}") for run, title, found in shown
    ]
    told = "; ".join(f"{row[0]}, {row[1]}: promised {row[2]}, true {row[3]}" for row in rows)
    return Chart(
        name="self-reward-promise",
        alt=f"Mean reward and accuracy of samples over the steps. {told}.",
        caption="Where the lines part, the model's judgement says less than it claims. Rewards are probabilities only "
        "with spark.self_reward.reward=posterior.",
        draw=draw,
        wide=0.8 + 2.3 * -(-len(shown) // 2),
        narrow=0.8 + 2.0 * len(shown),
        table=Table(("run", "questions", "mean reward", "accuracy"), rows),
    )


def gate_chart(runs: Sequence[Run]) -> Chart | None:
    """The correlation with the truth, its interval, and the weight that follows."""
    columns = ("audit/rho", "audit/low", "audit/high", "weight", "audit/youden")
    shown = [(run, run.under(PREFIX, *columns)) for run in runs if len(run.under(PREFIX, "audit/rho"))]
    if not shown:
        return None

    def draw(figure: Figure, narrow: bool) -> None:
        columns, legend = (1, 1) if narrow else (len(shown), 3)
        for axes, (run, found) in style.panels(figure, shown, columns, legend, sharex=True, sharey=True):
            axes.fill_between(found.index, found["audit/low"], found["audit/high"], color=style.BAND, linewidth=0)
            axes.plot(found["audit/rho"], color=style.STAGES[2], label="ρ: rewards against truth")
            axes.plot(found["audit/youden"], color=style.STAGES[5], linestyle=style.DOTTED, label="J = TPR − FPR")
            axes.step(found.index, found["weight"], where="mid", color=style.INK, label="weight of the gate")
            axes.axhline(0, color=style.MUTED, linewidth=0.7)
            _finish(axes, run.name, "The gate", len(runs) > 1)

    rows = [
        (run.name, *(f"{found[name].iloc[-1]:.2f}" for name in columns[:3]), f"{found['weight'].mean():.2f}")
        for run, found in shown
    ]
    told = "; ".join(f"{row[0]}: ρ {row[1]} ({row[2]} to {row[3]}) at the end, mean weight {row[4]}" for row in rows)
    return Chart(
        name="self-reward-gate",
        alt=f"Correlation of rewards with the truth, and weight of the gate, over the steps. {told}.",
        caption="Shaded: 95 % interval of ρ, drawn by question. The weight is its lower bound (with "
        "weight=estimate ρ itself), 0 where the gate is closed.",
        draw=draw,
        wide=3.0,
        narrow=0.8 + 2.2 * len(shown),
        table=Table(("run", "ρ at the end", "low", "high", "mean weight"), rows),
    )


def _finish(axes: Axes, run: str, title: str, several: bool) -> None:
    axes.set_title(f"{run} · {title}" if several else title)
    axes.set_ylim(top=1.03)
    style.step_axis(axes)


# ---------------------------------------------------------------------- examples


def examples(run: Run) -> list[Example]:
    """Of steps spread over the run, the first unlabelled group that taught something."""
    found = []
    for step, path in dumps.spread(run.rollout_files, EXAMPLES).items():
        judged = path.parent / DUMP_FOLDER / path.name
        taught = [group for group in _groups(judged) if group["advantages"]] if judged.is_file() else []
        by_uid = {group["uid"]: group for group in taught}
        row = next((row for row in dumps.rows(path) if dumps.group_of(row) in by_uid), None)
        if row:
            prompt = str(row.get("input", ""))
            data_row = run.data.row_of("train", prompt, str(row.get("gts")), row.get("index"))
            shown = images(data_row) if data_row else ()
            found.append(Example(step, user_text(prompt)[:1000], shown, by_uid[dumps.group_of(row)]))
    return found


def _groups(path: Path) -> list[dict[str, Any]]:
    groups = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [group for group in groups if group["supervision"] == Supervision.UNLABELLED]
