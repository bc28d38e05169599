"""From what the arms wrote to a table, and to pass or fail with reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from gpu_check.arms import sequences
from gpu_check.sizes import Size
from spark_verl.runs.metrics import Steps

STAGES = ("gen", "old_log_prob", "ref", "update_actor", "update_weights", "step")
CORRELATION, LEAKED, GRADIENT = "training/rollout_actor_probs_pearson_corr", "spark/leaked_keys", "actor/grad_norm"
COLUMNS = {
    **{f"timing_s/{stage}": f"{stage}, s" for stage in STAGES},
    "tokens/s": "tokens/s",
    "perf/mfu/actor": "MFU of the update",
    "training/rollout_probs_diff_mean": "sampler-actor difference, mean",
    "sequences": "sequences",
}
"""Metric, or what is computed from some, to its row in the table: a median, without the first step, which compiles."""
WORST: dict[str, tuple[str, Callable[..., float]]] = {
    CORRELATION: ("sampler-actor correlation, lowest", min),
    GRADIENT: ("gradient's norm, lowest", min),
    LEAKED: ("leaked keys, most", max),
    "spark/failed_groups": ("failed groups, most", max),
    "actor/perf/max_memory_allocated_gb": ("actor's peak, GiB", max),
}
"""The same for what one bad step decides: the worst of all steps. A step without it (NaN) leaves none."""

KERNEL_ERROR = 0.02
"""Of the kernels' outputs and gradients, relative: bf16 has 8 bits, and a product of attention adds up thousands."""
ON_CPU = {
    "policy_acc": 0.87,
    "pointwise_acc": 0.86,
    "pairwise_acc": 0.825,
    "reflection_fix_rate": 0.80,
    "reflection_keep_rate": 0.86,
}
"""The quickstart's accuracies on a CPU: the lowest of three seeds, less four points for the sample."""

Figures = dict[str, float]


class Goal(NamedTuple):
    """What a figure has to be, and what it was.

    Attributes:
        name: What is measured.
        value: None where it was not measured; then it is missed.
        met: Whether it is as it has to be.
        reason: Limit and value, or why there is none.
    """

    name: str
    value: float | None
    met: bool
    reason: str


@dataclass
class Findings:
    """What the check has found.

    Attributes:
        size: Of model and batches.
        failed: ``{stage: reason}`` of those that failed or were left out.
        installation: As ``installation.py`` writes it.
        steps: The metrics of each arm that has run.
        quickstart: Its ``summary.json``; None where it was not asked for or has failed.
        peak_mib: Largest memory in use on the GPU.
    """

    size: Size
    failed: dict[str, str] = field(default_factory=dict)
    installation: dict = field(default_factory=dict)
    steps: dict[str, Steps] = field(default_factory=dict)
    quickstart: dict[str, float] | None = None
    peak_mib: int | None = None

    def figures(self) -> dict[str, Figures]:
        """The figures of each arm: :data:`COLUMNS` and :data:`WORST`."""
        return {name: _figures(steps, self._sequences(name)) for name, steps in self.steps.items() if steps}

    def whole(self) -> dict[str, Figures]:
        """Those of arms that have run to their end: what an unfinished one has measured is compared with nothing."""
        return {name: figures for name, figures in self.figures().items() if name not in self.failed}

    def _sequences(self, arm: str) -> int:
        return sequences(self.size) // (2 if arm == "policy" else 1)


def _figures(steps: Steps, planned: int) -> Figures:
    rows = [_with_own(data, planned) for data in steps.values() if "timing_s/step" in data]
    counted = rows[1:] or rows
    found = {key: median(values) for key in COLUMNS if (values := [row[key] for row in counted if key in row])}
    worst = {
        key: worst(row[key] for row in rows) for key, (_, worst) in WORST.items() if all(key in row for row in rows)
    }
    return found | worst


def _with_own(row: Mapping[str, float], planned: int) -> Figures:
    """A step's metrics with what is computed from them."""
    rows = [
        value for key, value in row.items() if key.startswith(("spark/policy/", "spark/judge/")) and "/count" in key
    ]
    # verl's own trainer does not count them, and has as many as were planned.
    own = {"tokens/s": row["perf/total_num_tokens"] / row["timing_s/step"], "sequences": sum(rows) or planned}
    return {**row, **own}


def hidden_share(figures: Mapping[str, Figures]) -> float | None:
    """Share of the judges' sampling that streaming hides behind the questions'; None where an arm is missing."""
    if not {"spark", "barrier", "policy"} <= set(figures):
        return None
    spark, barrier, policy = (figures[arm]["timing_s/gen"] for arm in ("spark", "barrier", "policy"))
    return (barrier - spark) / (barrier - policy) if barrier > policy else None


def goals(found: Findings) -> list[Goal]:
    """Everything that was asked for, as a goal that is met or missed."""
    listed = [Goal(name, None, False, reason) for name, reason in found.failed.items()]
    for case, errors in found.installation.get("attention", {}).items():
        listed.append(_limit(f"attention of {case}: relative error", max(errors.values()), "at most", KERNEL_ERROR))
    figures = found.figures()
    spark, verl = (found.whole().get(arm) for arm in ("spark", "verl"))
    if found.size.timed and spark and verl:
        tokens = spark["tokens/s"] / verl["tokens/s"]
        each = [one["timing_s/step"] / one["sequences"] for one in (spark, verl)]
        listed.append(_limit("SPARK's tokens/s by those of verl's GRPO", tokens, "at least", 0.97))
        listed.append(_limit("a SPARK step by verl's, at equal sequences", each[0] / each[1], "at most", 1.00))
    for arm, one in figures.items():
        wanted = {CORRELATION: ("above", 0.99), GRADIENT: ("above", 0), LEAKED: ("at most", 0)}
        for key, limit in wanted.items():
            # verl's own trainer does not count what it leaves behind.
            if (arm, key) != ("verl", LEAKED):
                listed.append(_limit(f"{arm}: {WORST[key][0]}", one.get(key), *limit))
    for name, least in ON_CPU.items() if found.quickstart is not None else ():
        listed.append(_limit(f"quickstart: {name}", found.quickstart.get(f"{name}_after"), "at least", least))
    return listed


HOLDS: dict[str, Callable[[float, float], bool]] = {
    "at least": lambda value, limit: value >= limit,
    "at most": lambda value, limit: value <= limit,
    "above": lambda value, limit: value > limit,
}


def _limit(name: str, value: float | None, how: str, limit: float) -> Goal:
    if value is None:
        return Goal(name, None, False, "not measured")
    return Goal(name, value, HOLDS[how](value, limit), f"{value:.4g}, has to be {how} {limit:g}")


def report(found: Findings, about: str) -> str:
    """Everything as Markdown.

    Args:
        found: By the check.
        about: The machine.
    """
    figures = found.figures()
    versions = ", ".join(f"{name} {version}" for name, version in found.installation.get("versions", {}).items())
    lines = [f"# GPU check: {about}", "", versions, ""]
    if figures:
        lines += ["| per step | " + " | ".join(figures) + " |", "|---" * (1 + len(figures)) + "|"]
        for key, text in {**COLUMNS, **{key: text for key, (text, _) in WORST.items()}}.items():
            cells = [f"{one[key]:.4g}" if key in one else "–" for one in figures.values()]
            lines.append(f"| {text} | " + " | ".join(cells) + " |")
        lines.append("")
    if found.size.timed and (hidden := hidden_share(found.whole())) is not None:
        lines.append(f"- judge sampling hidden behind the questions': {hidden:.0%}")
    if found.peak_mib is not None:
        lines.append(f"- most memory in use on the GPU: {found.peak_mib / 1024:.1f} GiB")
    judged = goals(found)
    lines += ["", "| | goal | |", "|---|---|---|"]
    lines += [f"| {'pass' if goal.met else 'FAIL'} | {goal.name} | {goal.reason} |" for goal in judged]
    met = sum(goal.met for goal in judged)
    lines += ["", f"**{'passed' if passed(found) else 'FAILED'}**: {met} of {len(judged)} goals met"]
    return "\n".join(lines) + "\n"


def passed(found: Findings) -> bool:
    """Whether something was judged, and all of it as it has to be."""
    judged = goals(found)
    return bool(judged) and all(goal.met for goal in judged)
