"""What a section of the page consists of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_verl.report.frame import Run
from spark_verl.report.style import Chart, Table


@dataclass(frozen=True)
class Missing:
    """A part of the page that could not be made.

    Attributes:
        run: Name of the run that lacks it.
        what: The part.
        why: The file that is not there, or what is wrong with it.
        remedy: The option that produces it.
    """

    run: str
    what: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} not shown: {self.why}. To have it: {self.remedy}."


@dataclass
class Section:
    """One section.

    Attributes:
        id: Anchor; letters and "-".
        title: Heading.
        lead: What there is to see, in one or two sentences.
        findings: (name of the run, what its figures say; "" for nothing).
        charts: In order; None for one that could not be made.
        tables: (title, table) shown below the charts; None for one that has no rows.
        missing: What could not be shown.
        content: For the template ``<id>.html.jinja``, where a section has more than charts and tables.
    """

    id: str
    title: str
    lead: str = ""
    findings: list[tuple[str, str]] = field(default_factory=list)
    charts: Sequence[Chart | None] = field(default_factory=list)
    tables: Sequence[tuple[str, Table | None]] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    content: dict[str, Any] | None = None


def lacking(runs: Sequence[Run], lacks: Callable[[Run], bool], what: str, texts: tuple[str, str]) -> list[Missing]:
    """A note for each run that lacks a part; ``texts``: why, and the remedy."""
    return [Missing(run.name, what, *texts) for run in runs if lacks(run)]


NO_METRICS = (
    "no metrics.jsonl in the run folder",
    "train with `file` among trainer.logger and VERL_FILE_LOGGER_PATH=RUN_DIR/metrics.jsonl, or give --metrics FILE",
)
NO_JUDGE = ("the log has no rows of a judge", "train with spark.enable=true and steps enough for mixed groups")
NO_ROLLOUTS = ("there are no rollout dumps", "set trainer.rollout_data_dir")
"""Why something is missing, and the remedy, where several sections say it."""
