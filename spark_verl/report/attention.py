"""What needs attention: the advice that a run's metrics call for."""

from __future__ import annotations

from collections.abc import Sequence

from spark_verl.report.frame import Run
from spark_verl.report.section import Section
from spark_verl.report.style import Table
from spark_verl.runs.advice import RULES, advise


def attention(runs: Sequence[Run]) -> Section | None:
    """Advice with its thresholds; None where nothing was trained."""
    runs = [run for run in runs if len(run.trained)]
    if not runs:
        return None
    found = [(run.name, one) for run in runs for one in advise(run.log)]
    quiet = [run.name for run in runs if run.name not in {name for name, _ in found}]
    rows = [(name, one.text, one.remedy, one.because) for name, one in found]
    return Section(
        "attention",
        "Does it need attention?",
        "Rules of thumb about the metrics, each with what to do about it.",
        [(name, f"None of {len(RULES)} rules calls for anything.") for name in quiet],
        tables=[("Advice", Table(("run", "what was seen", "what to do", "seen when"), rows) if rows else None)],
    )
