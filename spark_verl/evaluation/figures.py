"""From result lines to figures and tables: accuracies with intervals, costs, and comparisons at equal tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.benchmarks.benchmark import mean
from spark_verl.evaluation.strategies import STRATEGIES, winner
from spark_verl.reward import Verdict
from spark_verl.statistics import bootstrap
from spark_verl.vocabulary import UNDECIDED, Status

Record = Mapping[str, Any]
COSTS = ["tokens", "prompt_tokens", "completion_tokens", "requests", "seconds"]
MISSING = "–"


def report(
    records: Iterable[Record], benchmarks: Mapping[str, Benchmark], *, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """All figures.

    Args:
        records: From :func:`spark_verl.evaluation.results.read_results`.
        benchmarks: By label; those that are not in the records are left out, and the other way round.
        resamples: How often the bootstrap draws.
        seed: Fixes what it draws.

    Returns:
        ``{label: {strategy: figures}}``: ``questions`` (answered), ``errors`` (failed), ``accuracy`` (an interval as a
        dict; over decided verdicts), ``vs_single`` (paired difference on the same questions), ``equal_tokens`` (see
        :func:`equal_tokens`), rates (``unparsable`` among decided verdicts, ``timeout`` and ``unverified``, a ground
        truth that is missing or a verifier that failed, among all), what a question costs (tokens, requests; a
        request's ``seconds`` include waiting in the server's queue, they are added up), ``judge`` (see
        :func:`judge_figures`), and in ``benchmark`` those of the benchmark's own rule, its ``headline`` among them.
    """
    every = pd.DataFrame([{**record, "record": record} for record in records])
    found: dict[str, Any] = {}
    for label, benchmark in benchmarks.items():
        questions = {question.id: question for question in benchmark.questions}
        # Results may hold more questions than this start was asked for (a smaller --limit).
        lines = every[(every.benchmark == label) & every.id.isin(questions)].groupby("strategy", sort=False)
        answered = {name: frame(strategy.record) for name, strategy in lines}
        found[label] = {}
        for name, mine in answered.items():
            verdicts = [Verdict(final["status"], final["correct"], final["answer"]) for final in mine.final]
            scored = [(questions[key], verdict) for key, verdict in zip(mine.index, verdicts, strict=True)]
            found[label][name] = {
                "questions": len(mine),
                "errors": len(lines.get_group(name)) - len(mine),
                **_figures(mine, answered, resamples=resamples, seed=seed),
                "benchmark": {"headline": benchmark.headline, **benchmark.aggregate(scored)},
            }
    return without_nan(found)


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """One strategy's answers by question: what it settled on (``final``, ``correct``: NaN if undecided), and costs."""
    rows = [
        {**record, "final": final, "correct": math.nan if final["status"] in UNDECIDED else float(final["correct"])}
        for record in records
        if record["error"] is None and (final := record["samples"][record["final"]])
    ]
    found = pd.DataFrame(rows, columns=["id", "group", "final", "correct", "samples", "judgements", *COSTS[1:]])
    return found.set_index("id").assign(tokens=found.prompt_tokens.values + found.completion_tokens.values)


def _figures(
    mine: pd.DataFrame, strategies: Mapping[str, pd.DataFrame], *, resamples: int, seed: int
) -> dict[str, Any]:
    def interval(values: pd.Series) -> dict[str, Any]:
        values = values.dropna()
        clusters = mine.group.fillna(mine.index.to_series())[values.index]
        return asdict(bootstrap(values.tolist(), clusters.tolist(), resamples=resamples, seed=seed))

    def against(other: pd.Series) -> dict[str, Any]:
        return interval(mine.correct - other.reindex(mine.index))

    nothing = frame([])
    finals = pd.DataFrame(mine.final.tolist(), mine.index, ["status", "finish_reason"])
    figures: dict[str, Any] = {
        "accuracy": interval(mine.correct),
        "vs_single": against(strategies.get("single", nothing).correct),
        "unparsable": (finals.status == Status.UNPARSABLE)[mine.correct.notna()].mean(),
        "timeout": (finals.status == Status.TIMEOUT).mean(),
        "unverified": (finals.status == Status.ERROR).mean(),
        "truncated": (finals.finish_reason == "length").mean(),
        **mine[COSTS].mean(),
        "judge": judge_figures(mine),
    }
    vote = equal_tokens(mine, strategies.get("majority", nothing))
    if vote:
        voted = pd.Series(vote.pop("correct"))
        figures["equal_tokens"] = {**vote, "accuracy": interval(voted), "vs_majority": against(voted)}
    return figures


def equal_tokens(mine: pd.DataFrame, majority: pd.DataFrame) -> dict[str, Any] | None:
    """Majority vote with as many samples as a strategy's tokens buy.

    Every request's prompt counts among the tokens, whether it was cached or not.

    Args:
        mine: The strategy's answers, from :func:`frame`.
        majority: Those of the majority vote.

    Returns:
        ``samples``: the number whose mean tokens come closest to the strategy's; ``tokens``: what they cost;
        ``enough``: False when the strategy spent more than all samples that were drawn; ``correct``: per question. None
        without a question that both have answered.
    """
    samples = majority.samples.reindex(mine.index).dropna()
    if samples.empty:
        return None
    wanted = mine.tokens[samples.index].mean()
    each = samples.map(lambda drawn: [one["prompt_tokens"] + one["completion_tokens"] for one in drawn])
    costs = pd.DataFrame(each.tolist()).cumsum(axis=1).mean().iloc[: samples.map(len).min()]
    best = (costs - wanted).abs().idxmin()
    votes = samples.map(lambda drawn: drawn[winner([one["pool"] for one in drawn[: best + 1]])])
    return {
        "samples": int(best) + 1,
        "tokens": float(costs[best]),
        "enough": bool(best < costs.index[-1] or wanted <= costs.iloc[-1] + costs[0] / 2),
        "correct": {key: float(one["correct"]) for key, one in votes.items() if one["status"] not in UNDECIDED},
    }


def judge_figures(mine: pd.DataFrame) -> dict[str, float]:
    """What the judge did under a strategy.

    Returns:
        ``judgements`` per question, the share that is ``unparsable``, the share that says "right"; ``changed``: share
        of questions whose final sample is not the first one, ``fixed`` and ``broken``: from wrong to right and back,
        as shares of all questions; ``any_right``: some sample was right, the most that choosing among them could give.
        Empty for strategies that draw one sample and judge nothing.
    """
    judgements = [judgement for each in mine.judgements for judgement in each]
    if not judgements and all(len(samples) == 1 for samples in mine.samples):
        return {}
    first = [samples[0] for samples in mine.samples]
    pairs = [(one["correct"], final["correct"]) for one, final in zip(first, mine.final, strict=True)]
    found = {
        "changed": mean(one is not final for one, final in zip(first, mine.final, strict=True)),
        "fixed": mean(after and not before for before, after in pairs),
        "broken": mean(before and not after for before, after in pairs),
        "any_right": mean(any(sample["correct"] for sample in samples) for samples in mine.samples),
    }
    if judgements:
        found |= {
            "judgements": len(judgements) / len(mine),
            "unparsable": mean(judgement["says_right"] is None for judgement in judgements),
            "says_right": mean(judgement["says_right"] is True for judgement in judgements),
        }
    return found


COLUMNS = (
    "strategy | accuracy [95 %] | vs single [95 %] | tokens | majority at equal tokens | "
    "vs it [95 %] | seconds | unparsable | timeout | unverified | errors"
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
        *(percent(found[rate]) for rate in ("unparsable", "timeout", "unverified")),
        str(found["errors"]),
    )


# -- figures as text ---------------------------------------------------------------------------------------------------


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table with even columns; the first one is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def number(value: float | None, form: str = ".3f") -> str:
    """A number in this format; a dash where there is none."""
    return MISSING if value is None else f"{value:{form}}"


def percent(value: float | None, sign: str = "") -> str:
    """A share in per cent."""
    return number(None if value is None else 100 * value, f"{sign}.1f")


def spread(interval: Mapping[str, Any], sign: str = "") -> str:
    """A share in per cent with its interval."""
    value, low, high = (percent(interval[name], sign) for name in ("value", "low", "high"))
    return MISSING if interval["value"] is None else f"{value} [{low}, {high}]"


def without_nan(value: Any) -> Any:
    """The same figures with None in place of NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
