"""Tables of what did not go to plan: verification, judge prompts that were not built, rows that were lost."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from spark_verl.report.frame import Run, first_and_last_third
from spark_verl.report.section import NO_METRICS, Section, lacking
from spark_verl.report.style import NAMES, Table, percent
from spark_verl.vocabulary import JUDGE_OBJECTIVES, Objective, Status

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

VERIFIER = {
    f"{Status.UNPARSABLE}_rate": "no answer could be parsed",
    f"{Status.TIMEOUT}_rate": "ran into the time limit",
    f"{Status.ERROR}_rate": "failed",
    "symbolic_rate": "needed algebra",
    "seconds/mean": "seconds, mean",
    "seconds/max": "seconds, longest",
}
"""Metrics of ``spark/verify/*`` → what they mean."""

LOST = {
    "spark/failed_groups": "groups that failed",
    "spark/padding_rows": "padding rows",
    "spark/judge/dropped": "judge prompts that no step was left for, or whose question is gone after a resume",
    "spark/leaked_keys": "keys left in TransferQueue",
}
"""Counters that should be zero, or small."""


def counters(runs: Sequence[Run]) -> Section:
    """What failed, was skipped or was lost."""
    return Section(
        "counters",
        "What did not go to plan",
        "Whatever fails is counted and left out; it is never a wrong answer.",
        tables=[
            ("Judge prompts", judge_prompts(runs)),
            ("Parsable answers", parse_rates(runs)),
            ("Verifier", verifier(runs)),
            ("Lost rows", lost_rows(runs)),
        ],
        missing=lacking(runs, lambda run: run.trained.empty, "Counters", NO_METRICS),
    )


def judge_prompts(runs: Sequence[Run]) -> Table | None:
    """Judge prompts built, adapted and skipped over the whole run; None when the log has none."""
    rows = []
    for run in runs:
        for objective in JUDGE_OBJECTIVES:
            if built := run.of(objective, "groups")["groups"].sum():
                rows.append((run.name, "built", NAMES[objective], f"{built:,.0f}"))
        for kind in ("adapted", "skipped"):
            prefix = f"spark/judge/{kind}/"
            for key in sorted(name for name in run.metrics if name.startswith(prefix)):
                reason = key.removeprefix(prefix)
                rows.append((run.name, kind, REASONS.get(reason, reason), f"{run.metrics[key].sum():,.0f}"))
    return _table(("run", "judge prompts", "what", "in all"), rows)


def parse_rates(runs: Sequence[Run]) -> Table | None:
    """Share of rows with a parsable answer by objective; None when the log has none."""
    rates = [(run.name, NAMES[o], run.of(o, "parse_rate")["parse_rate"]) for run in runs for o in Objective]
    rows = [(run, name, *map(percent, _ends(values))) for run, name, values in rates if len(values)]
    return _table(("run", "rows with a parsable answer", "first third", "last third"), rows)


def verifier(runs: Sequence[Run]) -> Table | None:
    """Shares of rows by what the verifier found, and its seconds; None when the log has none."""
    rows = []
    for run in runs:
        for key, label in VERIFIER.items():
            values = run.series(f"spark/verify/{key}")
            if len(values):
                figures = [*_ends(values), values.max()]
                texts = [f"{each:.3f}" if key.startswith("seconds") else percent(each, 2) for each in figures]
                rows.append((run.name, label, *texts))
    return _table(("run", "rows of the verifier", "first third", "last third", "worst step"), rows)


def lost_rows(runs: Sequence[Run]) -> Table | None:
    """The counters of :data:`LOST`; None when the log has none."""
    counted = [(run.name, label, run.series(key)) for run in runs for key, label in LOST.items()]
    rows = [(run, label, f"{each.sum():,.0f}", f"{each.max():,.0f}") for run, label, each in counted if len(each)]
    return _table(("run", "counter", "in all", "worst step"), rows)


def _ends(values: pd.Series) -> list[float]:
    """Means of the first and of the last third of the steps."""
    return [third.mean() for third in first_and_last_third(values)]


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Table | None:
    return Table(header, rows) if rows else None
