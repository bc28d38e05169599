"""Tables of what did not go to plan: verification, judge prompts that were not built, rows that were lost."""

from __future__ import annotations

from collections.abc import Sequence

from spark_verl.report.charts_learning import prefix
from spark_verl.report.run import Run
from spark_verl.report.style import NAMES, Table, percent
from spark_verl.runs.dumps import OBJECTIVES

REASONS = {
    "all_right": "a group was all right; left out for balance",
    "all_wrong": "a group was all wrong; left out for balance",
    "no_wrong_attempt": "nothing to reflect on: no wrong attempt",
    "no_right_attempt": "nothing to reflect on: no right attempt",
    "no_usable_pair": "no right and wrong candidate that could be shown",
    "no_usable_candidate": "no candidate that could be shown",
    "repeated": "would have been the same as another prompt of the group",
    "too_long": "does not fit data.max_prompt_length",
    "special_token": "its text has a special token",
    "shortened": "the middle of a chain of thought was left out",
    "answer_only": "the answer is shown instead of a long chain of thought",
    "other_source": "answer shown for chain of thought, or the other way round",
    "other_label": "right candidate shown for a wrong one, or the other way round",
}
"""Reasons of ``spark/judge/{skipped,adapted}/*`` → what they mean; others keep their name."""

ROWS = {
    "spark/failed_groups": "groups that failed",
    "spark/padding_rows": "padding rows",
    "spark/leaked_keys": "keys left in TransferQueue",
}


def judge_prompts(runs: Sequence[Run]) -> Table | None:
    """Judge prompts built, adapted and skipped over the whole run; None when the log has none."""
    rows = []
    for run in runs:
        metrics = run.metrics
        for objective in OBJECTIVES[1:]:
            built = metrics.total(f"{prefix(objective)}/groups")
            if built:
                rows.append((run.name, "built", NAMES[objective], f"{built:,.0f}"))
        for kind in ("adapted", "skipped"):
            for reason in metrics.names(f"spark/judge/{kind}/"):
                total = metrics.total(f"spark/judge/{kind}/{reason}")
                rows.append((run.name, kind, REASONS.get(reason, reason), f"{total:,.0f}"))
    return Table(("run", "judge prompts", "what", "in all"), tuple(rows)) if rows else None


def verifier(runs: Sequence[Run]) -> Table | None:
    """Shares of rows by what the verifier found, and its seconds; None when the log has none."""
    rows = []
    for run in runs:
        for key, label in (
            ("unparsable_rate", "no answer could be parsed"),
            ("timeout_rate", "ran into the time limit"),
            ("error_rate", "failed"),
            ("symbolic_rate", "needed algebra"),
            ("seconds/mean", "seconds, mean"),
            ("seconds/max", "seconds, longest"),
        ):
            _, values = run.metrics.series(f"spark/verify/{key}")
            if not len(values):
                continue
            third = max(1, len(values) // 3)
            if key.startswith("seconds"):
                cells = [f"{value:.3f}" for value in (values[:third].mean(), values[-third:].mean(), values.max())]
            else:
                cells = [
                    percent(float(value), 2) for value in (values[:third].mean(), values[-third:].mean(), values.max())
                ]
            rows.append((run.name, label, *cells))
    return (
        Table(("run", "rows of the verifier", "first third", "last third", "worst step"), tuple(rows)) if rows else None
    )


def lost_rows(runs: Sequence[Run]) -> Table | None:
    """Counters that should be zero, or small; None when the log has none."""
    rows = []
    for run in runs:
        for key, label in ROWS.items():
            _, values = run.metrics.series(key)
            if len(values):
                rows.append((run.name, label, f"{values.sum():,.0f}", f"{values.max():,.0f}"))
    return Table(("run", "counter", "in all", "worst step"), tuple(rows)) if rows else None


def parse_rates(runs: Sequence[Run]) -> Table | None:
    """Share of rows with a parsable answer by objective; None when the log has none."""
    rows = []
    for run in runs:
        for objective in OBJECTIVES:
            _, values = run.metrics.series(f"{prefix(objective)}/parse_rate")
            if len(values):
                third = max(1, len(values) // 3)
                ends = (percent(float(values[:third].mean())), percent(float(values[-third:].mean())))
                rows.append((run.name, NAMES[objective], *ends))
    return Table(("run", "rows with a parsable answer", "first third", "last third"), tuple(rows)) if rows else None
