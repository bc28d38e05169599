"""The head of the page: what one wants to know of a run first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from spark_verl.report.frame import Run
from spark_verl.report.style import percent
from spark_verl.runs.validation import QUANTITIES
from spark_verl.statistics import newcombe


@dataclass(frozen=True)
class Card:
    """One validated quantity, first and last.

    Attributes:
        objective: Gives the colour.
        label: Name of the quantity.
        before, after: The shares.
        change: Their difference in points; None where it was validated only once.
        interval: Its 95 % interval; "" where it is not known.
        clear: Whether the interval leaves out zero.
    """

    objective: str
    label: str
    before: str
    after: str
    change: str | None
    interval: str
    clear: bool


@dataclass(frozen=True)
class Head:
    """What stands above the sections for a run: (name, value) facts, cards, and what is odd about its log."""

    name: str
    facts: list[tuple[str, str]]
    cards: list[Card]
    warnings: list[str]


def head(run: Run) -> Head:
    """The head of a run."""
    return Head(run.name, facts(run), cards(run), warnings(run))


def cards(run: Run) -> list[Card]:
    """One for each quantity that was validated."""
    found = []
    for name, points in run.held_out.items():
        first, last = points[0], points[-1]
        change, interval, clear = None, "", False
        if first.step != last.step:
            change = f"{_signed(last.share - first.share)} points"
            if first.bounds and last.bounds:
                _, low, high = newcombe(first.bounds, last.bounds)
                interval, clear = f"{_signed(low)} to {_signed(high)}", low > 0 or high < 0
        shares = percent(first.share), percent(last.share)
        found.append(Card(QUANTITIES[name].objective, QUANTITIES[name].label, *shares, change, interval, clear))
    return found


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "\u2212")


def facts(run: Run) -> list[tuple[str, str]]:
    """Name and value, as far as they are known."""
    trained, planned = len(run.trained), run.config.values.get("trainer.total_training_steps")
    found = [("steps", f"{trained} of {planned}" if planned and planned != trained else str(trained))]
    if model := run.config.values.get("actor_rollout_ref.model.path"):
        found.append(("model", "/".join(Path(model).parts[-2:])))
    if run.config.recipe_name:
        found.append(("recipe", run.config.recipe_name))
    if "seed" in run.summary:
        found.append(("seed", str(run.summary["seed"])))
    for key, label in (("wall_s", "in all"), ("step_s_median", "a step (median)")):
        if key in run.summary:
            found.append((label, seconds(run.summary[key])))
    return found


def warnings(run: Run) -> list[str]:
    """What is odd about the run's log."""
    log, found = run.log, []
    if log.resumed_after:
        steps = ", ".join(str(step) for step in log.resumed_after)
        found.append(f"The run was resumed after step {steps}; what the log has of abandoned steps is left out.")
    if log.unreadable_lines:
        found.append(f"{log.unreadable_lines} line(s) of the log could not be read and are left out.")
    if log.not_finite:
        listed = ", ".join(f"{key} ({count})" for key, count in log.not_finite.most_common(5))
        more = len(log.not_finite) - 5
        found.append(f"Not a finite number, and left out: {listed}{f' and {more} more metrics' if more > 0 else ''}.")
    return found


def seconds(value: float) -> str:
    """A duration for people."""
    if value >= 5400:
        return f"{value / 3600:.1f} h"
    return f"{value / 60:.1f} min" if value >= 100 else f"{value:.1f} s"
