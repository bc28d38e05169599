"""From result lines to figures and tables: accuracies with intervals, costs, and comparisons at equal tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.benchmarks.benchmark import mean
from spark_verl.evaluation.markdown import MISSING, markdown, number, percent, spread, without_nan
from spark_verl.evaluation.strategies import STRATEGIES, winner
from spark_verl.reward import Verdict
from spark_verl.statistics import bootstrap
from spark_verl.vocabulary import UNDECIDED, Status

Record = Mapping[str, Any]
Lines = Mapping[str, Record]
"""Records of one strategy by question."""


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
        resamples: How often the bootstrap draws.
        seed: Fixes what it draws.

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
        found[label] = {}
        for name, lines in strategies.items():
            finals = {key: final_sample(record) for key, record in _answered(lines).items()}
            scored = [
                (questions[key], Verdict(final["status"], final["correct"], final["answer"]))
                for key, final in finals.items()
            ]
            own = {"headline": benchmark.headline, **benchmark.aggregate(scored)}
            figures = strategy_figures(lines, strategies, resamples=resamples, seed=seed)
            found[label][name] = {**figures, "benchmark": own}
    return without_nan(found)


def strategy_figures(lines: Lines, strategies: Mapping[str, Lines], *, resamples: int, seed: int) -> dict[str, Any]:
    """Figures of one strategy.

    Args:
        lines: Its records by question.
        strategies: Those of every strategy, itself included.
        resamples: How often the bootstrap draws.
        seed: Fixes what it draws.

    Returns:
        ``accuracy`` (an interval as a dict; over decided verdicts), ``vs_single`` (paired difference on the same
        questions), ``equal_tokens`` (see :func:`equal_tokens`), rates (``unparsable`` among decided verdicts,
        ``timeout`` among all), ``errors`` (failed questions), ``tokens``, ``prompt_tokens``, ``completion_tokens``,
        ``requests`` and ``seconds`` per question (a request's seconds include waiting in the server's queue; they are
        added up), and ``judge``: see :func:`judge_figures`.
    """

    def interval(values: Mapping[str, float]) -> dict[str, Any]:
        clusters = [lines[key]["group"] or key for key in values]
        return asdict(bootstrap(list(values.values()), clusters, resamples=resamples, seed=seed))

    def against(other: Mapping[str, float]) -> dict[str, Any]:
        return interval({key: value - other[key] for key, value in correct.items() if key in other})

    answered = _answered(lines)
    correct = _correct(answered)
    finals = [final_sample(record) for record in answered.values()]
    figures: dict[str, Any] = {
        "questions": len(answered),
        "errors": len(lines) - len(answered),
        "accuracy": interval(correct),
        "vs_single": against(_correct(_answered(strategies.get("single", {})))),
        "unparsable": mean(f["status"] == Status.UNPARSABLE for f in finals if f["status"] not in UNDECIDED),
        "timeout": mean(final["status"] in UNDECIDED for final in finals),
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
        voted = vote.pop("correct")
        figures["equal_tokens"] = {**vote, "accuracy": interval(voted), "vs_majority": against(voted)}
    return figures


def tokens(cost: Mapping[str, Any]) -> int:
    """Prompt and completion tokens; every request's prompt counts, whether it was cached or not.

    Args:
        cost: A record, for all of its requests, or one of its samples.
    """
    return cost["prompt_tokens"] + cost["completion_tokens"]


def equal_tokens(answered: Lines, majority: Lines) -> dict[str, Any] | None:
    """Majority vote with as many samples as a strategy's tokens buy.

    Args:
        answered: The strategy's records by question.
        majority: Those of the majority vote.

    Returns:
        ``samples``: the number whose mean tokens come closest to the strategy's; ``tokens``: what they cost;
        ``enough``: False when the strategy spent more than all samples that were drawn; ``correct``: per question. None
        without a question that both have answered.
    """
    samples = {key: majority[key]["samples"] for key in answered if key in majority}
    if not samples:
        return None
    wanted = mean(tokens(answered[key]) for key in samples)
    drawn = min(map(len, samples.values()))
    costs = [mean(sum(map(tokens, each[:count])) for each in samples.values()) for count in range(1, drawn + 1)]
    best = min(range(drawn), key=lambda index: (abs(costs[index] - wanted), index))
    votes = {key: each[winner([sample["pool"] for sample in each[: best + 1]])] for key, each in samples.items()}
    return {
        "samples": best + 1,
        "tokens": costs[best],
        "enough": best < drawn - 1 or wanted <= costs[-1] + (costs[0] / 2),
        "correct": {key: float(vote["correct"]) for key, vote in votes.items() if vote["status"] not in UNDECIDED},
    }


def judge_figures(answered: Lines) -> dict[str, float]:
    """What the judge did under a strategy.

    Returns:
        ``judgements`` per question, the share that is ``unparsable``, the share that says "right"; ``changed``: share
        of questions whose final sample is not the first one, ``fixed`` and ``broken``: from wrong to right and back,
        as shares of all questions; ``any_right``: some sample was right, the most that choosing among them could give.
        Empty for strategies that draw one sample and judge nothing.
    """
    records = list(answered.values())
    if all(len(record["samples"]) == 1 and not record["judgements"] for record in records):
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


def _answered(lines: Lines) -> dict[str, Record]:
    return {key: record for key, record in lines.items() if record["error"] is None}


def _correct(answered: Lines) -> dict[str, float]:
    """1 or 0 for every decided question."""
    finals = {key: final_sample(record) for key, record in answered.items()}
    return {key: float(final["correct"]) for key, final in finals.items() if final["status"] not in UNDECIDED}


COLUMNS = (
    "strategy | accuracy [95 %] | vs single [95 %] | tokens | majority at equal tokens | "
    "vs it [95 %] | seconds | unparsable | timeout | errors"
).split(" | ")


def table(figures: Mapping[str, Any]) -> str:
    """One benchmark's figures, a value of :func:`report`, as a Markdown table.

    Accuracies and rates are in per cent, tokens and seconds per question.
    """
    return markdown([COLUMNS, *(_row(name, figures[name]) for name in STRATEGIES if name in figures)])


def _row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    bought = versus = MISSING
    vote = found.get("equal_tokens")
    if vote and name not in ("single", "majority"):
        bought = f"{percent(vote['accuracy']['value'])} ({'' if vote['enough'] else 'only '}n={vote['samples']})"
        versus = spread(vote["vs_majority"], "+")
    return (
        name,
        spread(found["accuracy"]),
        MISSING if name == "single" else spread(found["vs_single"], "+"),
        number(found["tokens"], ".0f"),
        bought,
        versus,
        number(found["seconds"], ".2f"),
        percent(found["unparsable"]),
        percent(found["timeout"]),
        str(found["errors"]),
    )
