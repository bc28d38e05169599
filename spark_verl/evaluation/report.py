"""From result lines to figures and tables: accuracies with intervals, costs, and comparisons at equal tokens."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.benchmarks.benchmark import mean
from spark_verl.evaluation.strategies.voting import winner
from spark_verl.reward import Verdict
from spark_verl.statistics import Interval, bootstrap

Record = Mapping[str, Any]

DECIDED = ("ok", "unparsable")


def final_sample(record: Record) -> Mapping[str, Any]:
    """The sample that a strategy settled on."""
    return record["samples"][record["final"]]


def report(
    records: Sequence[Record], benchmarks: Mapping[str, Benchmark], *, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """All figures.

    Args:
        records: From :func:`spark_verl.evaluation.results.read_results`.
        benchmarks: By label; those that are not in the records are left out, and the other way round.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        ``{label: {strategy: figures}}``, see :func:`strategy_figures`; ``figures["benchmark"]`` are those of the
        benchmark's own rule, its ``headline`` among them.
    """
    by_label: dict[str, dict[str, dict[str, Record]]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        by_label[record["benchmark"]][record["strategy"]][record["id"]] = record
    found: dict[str, Any] = {}
    for label, benchmark in benchmarks.items():
        questions = {question.id: question for question in benchmark.questions}
        # Results may hold more questions than this start was asked for (a smaller --limit).
        strategies = {
            name: {key: record for key, record in lines.items() if key in questions}
            for name, lines in by_label[label].items()
        }
        found[label] = {
            name: strategy_figures(lines, strategies, resamples=resamples, seed=seed)
            for name, lines in strategies.items()
        }
        for name, lines in strategies.items():
            scored = [
                (questions[key], Verdict(final["status"], final["correct"], final["answer"]))
                for key, final in ((key, final_sample(record)) for key, record in _answered(lines).items())
            ]
            found[label][name]["benchmark"] = {"headline": benchmark.headline, **benchmark.aggregate(scored)}
    return _without_nan(found)


def strategy_figures(
    lines: Mapping[str, Record], strategies: Mapping[str, Mapping[str, Record]], *, resamples: int, seed: int
) -> dict[str, Any]:
    """Figures of one strategy.

    Args:
        lines: Its records by question.
        strategies: Those of every strategy, itself included.
        resamples, seed: Of the bootstrap.

    Returns:
        ``accuracy`` (:class:`Interval` as a dict; over decided verdicts), ``vs_single`` (paired difference on the same
        questions), ``equal_tokens`` (see :func:`equal_tokens`), rates (``unparsable`` among decided verdicts,
        ``timeout`` among all), ``errors`` (failed questions), ``tokens``, ``prompt_tokens``, ``completion_tokens``,
        ``requests`` and ``seconds`` per question (a request's seconds include waiting in the server's queue; they are
        added up), and ``judge``: see :func:`judge_figures`.
    """
    answered = _answered(lines)
    finals = [final_sample(record) for record in answered.values()]
    decided = {key: record for key, record in answered.items() if final_sample(record)["status"] in DECIDED}

    def interval(values: Mapping[str, float]) -> Interval:
        clusters = [lines[key]["group"] or key for key in values]
        return bootstrap(list(values.values()), clusters, resamples=resamples, seed=seed)

    correct = {key: float(final_sample(record)["correct"]) for key, record in decided.items()}
    single = {
        key: float(final_sample(record)["correct"])
        for key, record in _answered(strategies.get("single", {})).items()
        if final_sample(record)["status"] in DECIDED
    }
    figures: dict[str, Any] = {
        "questions": len(answered),
        "errors": len(lines) - len(answered),
        "accuracy": asdict(interval(correct)),
        "vs_single": asdict(interval({key: correct[key] - single[key] for key in correct if key in single})),
        "unparsable": mean(final["status"] == "unparsable" for final in finals if final["status"] in DECIDED),
        "timeout": mean(final["status"] not in DECIDED for final in finals),
        "truncated": mean(final["finish_reason"] == "length" for final in finals),
        "tokens": mean(tokens(record) for record in answered.values()),
        **{
            name: mean(record[name] for record in answered.values())
            for name in ("prompt_tokens", "completion_tokens", "requests", "seconds")
        },
        "judge": judge_figures(answered),
    }
    vote = equal_tokens(answered, _answered(strategies.get("majority", {})))
    if vote:
        difference = {key: correct[key] - vote["correct"][key] for key in correct if key in vote["correct"]}
        own = interval({key: value for key, value in vote.pop("correct").items() if key in lines})
        figures["equal_tokens"] = {**vote, "accuracy": asdict(own), "vs_majority": asdict(interval(difference))}
    return figures


def tokens(record: Record) -> int:
    """Prompt and completion tokens of a question; every request's prompt counts, whether it was cached or not."""
    return record["prompt_tokens"] + record["completion_tokens"]


def equal_tokens(answered: Mapping[str, Record], majority: Mapping[str, Record]) -> dict[str, Any] | None:
    """Majority vote with as many samples as a strategy's tokens buy.

    Args:
        answered: The strategy's records by question.
        majority: Those of the majority vote.

    Returns:
        ``samples``: the number whose mean tokens come closest to the strategy's; ``tokens``: what they cost;
        ``enough``: False when the strategy spent more than all samples that were drawn; ``correct``: per question. None
        without a question that both have answered.
    """
    common = [key for key in answered if key in majority]
    if not common:
        return None
    wanted = mean(tokens(answered[key]) for key in common)
    drawn = min(len(majority[key]["samples"]) for key in common)
    costs = [
        mean(
            sum(sample["prompt_tokens"] + sample["completion_tokens"] for sample in majority[key]["samples"][:count])
            for key in common
        )
        for count in range(1, drawn + 1)
    ]
    best = min(range(drawn), key=lambda index: (abs(costs[index] - wanted), index))
    correct = {}
    for key in common:
        samples = majority[key]["samples"][: best + 1]
        chosen = samples[winner([sample["pool"] for sample in samples])]
        if chosen["status"] in DECIDED:
            correct[key] = float(chosen["correct"])
    enough = best < drawn - 1 or wanted <= costs[-1] + (costs[0] / 2)
    return {"samples": best + 1, "tokens": costs[best], "enough": enough, "correct": correct}


def judge_figures(answered: Mapping[str, Record]) -> dict[str, float]:
    """What the judge did under a strategy.

    Returns:
        ``judgements`` per question, the share that is ``unparsable``, the share that says "right"; ``changed``: share
        of questions whose final sample is not the first one, ``fixed`` and ``broken``: from wrong to right and back,
        as shares of all questions; ``any_right``: some sample was right, the most that choosing among them could give.
        Empty for strategies that draw one sample and judge nothing.
    """
    records = list(answered.values())
    if not records or all(len(record["samples"]) == 1 and not record["judgements"] for record in records):
        return {}
    judgements = [judgement for record in records for judgement in record["judgements"]]
    pairs = [(record["samples"][0]["correct"], final_sample(record)["correct"]) for record in records]
    found = {
        "changed": mean(record["final"] != 0 for record in records),
        "fixed": mean(after and not before for before, after in pairs),
        "broken": mean(before and not after for before, after in pairs),
        "any_right": mean(any(sample["correct"] for sample in record["samples"]) for record in records),
    }
    if judgements:
        found |= {
            "judgements": len(judgements) / len(records),
            "unparsable": mean(judgement["says_right"] is None for judgement in judgements),
            "says_right": mean(judgement["says_right"] is True for judgement in judgements),
        }
    return found


def _answered(lines: Mapping[str, Record]) -> dict[str, Record]:
    return {key: record for key, record in lines.items() if record["error"] is None}


def _without_nan(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


COLUMNS = (
    "strategy",
    "accuracy [95 %]",
    "vs single [95 %]",
    "tokens",
    "majority at equal tokens",
    "vs it [95 %]",
    "seconds",
    "unparsable",
    "timeout",
    "errors",
)


def table(figures: Mapping[str, Any], order: Sequence[str]) -> str:
    """One benchmark's figures as a Markdown table.

    Args:
        figures: One value of :func:`report`.
        order: Strategies in the order of their rows.

    Returns:
        Accuracies and rates in per cent, tokens and seconds per question.
    """
    rows = [COLUMNS]
    for name in order:
        if name in figures:
            rows.append(_row(name, figures[name]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    vote = found.get("equal_tokens")
    compared = name not in ("single", "majority") and vote
    bought = (
        f"{_percent(vote['accuracy']['value'])} ({'' if vote['enough'] else 'only '}n={vote['samples']})"
        if compared
        else "–"
    )
    return (
        name,
        _spread(found["accuracy"]),
        "–" if name == "single" else _spread(found["vs_single"], "+"),
        "–" if found["tokens"] is None else f"{found['tokens']:.0f}",
        bought,
        _spread(vote["vs_majority"], "+") if compared else "–",
        "–" if found["seconds"] is None else f"{found['seconds']:.2f}",
        _percent(found["unparsable"]),
        _percent(found["timeout"]),
        str(found["errors"]),
    )


def _percent(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{100 * value:{sign}.1f}"


def _spread(found: Mapping[str, Any], sign: str = "") -> str:
    if found["value"] is None:
        return "–"
    return f"{_percent(found['value'], sign)} [{_percent(found['low'], sign)}, {_percent(found['high'], sign)}]"
