"""``python -m spark_verl.evaluation``: how good is a model, as a policy and as a judge, and what does more time buy?

    python -m spark_verl.evaluation MODEL --benchmark gsm8k --strategy single reflect best_of_n --output outputs/eval
    python -m spark_verl.evaluation --base-url http://127.0.0.1:8000/v1 --benchmark digits=data/test.parquet

A model folder is served with vLLM for as long as the evaluation takes. Every answer is written to
``OUTPUT/results.jsonl`` at once; the same command continues after an interruption and tries again what failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets

from spark_verl.data.errors import UsageError
from spark_verl.evaluation import benchmarks as registry
from spark_verl.evaluation import connection, figures, judge_plots, judge_quality
from spark_verl.evaluation.client import Sampling, ServedModel
from spark_verl.evaluation.results import ResultsFile, read_results
from spark_verl.evaluation.runner import run
from spark_verl.evaluation.strategies import ACCEPTANCE, STRATEGIES, Strategy, check_count, chosen
from spark_verl.vocabulary import LabelForm

VERL_ROWS = "verl"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    new = argparse.ArgumentParser(
        prog="python -m spark_verl.evaluation",
        description="Evaluate a model on benchmarks, with strategies that spend more tokens per question.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    new.add_argument("model", nargs="?", help="model folder or hub id, served with vLLM")
    connection.add_server_options(new)
    new.add_argument(
        "--benchmark",
        nargs="+",
        required=True,
        metavar="NAME|NAME=PATH|FILE.parquet",
        help=f"from the hub, from a local copy, or a data set prepared for verl; names: {', '.join(registry.names())}",
    )
    new.add_argument("--limit", type=int, help="questions per benchmark, from its start")
    new.add_argument(
        "--strategy",
        nargs="+",
        default=["single"],
        choices=list(STRATEGIES),
        metavar="STRATEGY",
        help=f"any of {', '.join(STRATEGIES)}; single, and majority for the comparison at equal tokens, "
        "are always added where something is to be compared",
    )
    new.add_argument("--output", type=Path, default=Path("outputs/evaluation"), help="folder of results and tables")
    sampling = new.add_argument_group("sampling")
    sampling.add_argument("--temperature", type=float, default=1.0, help="of answers and reflections")
    sampling.add_argument("--top_p", type=float, default=1.0, help="of answers and reflections")
    sampling.add_argument("--max_tokens", type=int, default=2048, help="of a response; at most half of the context")
    sampling.add_argument("--judge_temperature", type=float, default=0.0, help="of judgements")
    sampling.add_argument("--seed", type=int, default=0, help="of sampling, templates and bootstrap")
    scaling = new.add_argument_group("test-time scaling")
    scaling.add_argument("--samples", type=int, default=8, help="of best_of_n and weighted_vote")
    scaling.add_argument(
        "--majority_samples",
        type=int,
        help="of majority; default: --samples, or twice as many where the judge's tokens have to be matched",
    )
    scaling.add_argument("--judgements", type=int, default=1, help="per sample in best_of_n and weighted_vote")
    scaling.add_argument("--rounds", type=int, default=1, help="most reflections in reflect")
    scaling.add_argument(
        "--accept", choices=ACCEPTANCE, default="always", help="when a reflection replaces the attempt"
    )
    connection.add_judge_options(scaling)
    scaling.add_argument(
        "--label_form",
        choices=[form.value for form in LabelForm if form.labels],
        default=LabelForm.YES_NO.value,
        help="how the judge answers",
    )
    running = new.add_argument_group("running")
    running.add_argument("--concurrency", type=int, default=32, help="requests in flight")
    running.add_argument("--request_timeout", type=float, default=600.0, help="seconds until a request is tried again")
    running.add_argument("--max_retries", type=int, default=6, help="tries of a request after the first one")
    running.add_argument("--resamples", type=int, default=2000, help="of the bootstrap")
    running.add_argument("--no_progress", action="store_true", help="no progress bar")
    return new


def parse_benchmarks(names: Sequence[str], limit: int | None) -> dict[str, registry.Benchmark]:
    """Open benchmarks.

    Args:
        names: ``NAME``, ``NAME=PATH`` or a parquet file in verl's schema.
        limit: How many questions of each; None for all.

    Returns:
        By label: the name, or the file's name without its ending.
    """
    if limit is not None:
        check_count("--limit", limit)
    found: dict[str, registry.Benchmark] = {}
    for text in names:
        name, equals, path = text.partition("=")
        if name in registry.REGISTRY:
            label, opened = name, registry.load(name, path if equals else None, limit)
        elif Path(text).suffix == ".parquet":
            label, opened = Path(text).stem, registry.load(VERL_ROWS, text, limit)
        else:
            raise UsageError(f"--benchmark {text}: neither a parquet file nor one of {', '.join(registry.names())}")
        if label in found:
            raise UsageError(
                f"--benchmark {text}: there is another one that is called {label!r}; evaluate it into another --output"
            )
        found[label] = opened
    return found


def chosen_strategies(options: argparse.Namespace) -> list[Strategy]:
    """The strategies that the options ask for."""
    names = ("samples", "majority_samples", "judgements", "rounds", "accept")
    return chosen(options.strategy, **{name: getattr(options, name) for name in names})


def settings(
    options: argparse.Namespace, model: ServedModel, strategies: Sequence[Strategy], sampling: Sampling
) -> dict[str, Any]:
    """Everything that decides what is measured, for the results' first line."""
    # The address is left out: a server that is started again may have another one.
    name = options.model or model.root or model.name
    folder = Path(options.model or "").expanduser()
    if options.model and folder.exists():
        name = str(folder.resolve())
    judging = {key: getattr(options, key) for key in ("judge_source", "label_form", "templates")}
    return {
        "common": {"model": name, **vars(sampling), "seed": options.seed},
        "strategies": {
            strategy.name: vars(strategy) | (judging if strategy.needs_judge else {}) for strategy in strategies
        },
    }


async def evaluate(options: argparse.Namespace, base_url: str, opened: dict[str, registry.Benchmark]) -> int:
    """Run everything that is missing; the number of failed answers."""
    strategies = chosen_strategies(options)
    async with connection.connected(options, base_url) as (context, model):
        measured = settings(options, model, strategies, context.sampling)
        with ResultsFile(options.output / "results.jsonl", measured) as results:
            running = {"concurrency": options.concurrency, "progress": not options.no_progress}
            counts = await run(list(opened.items()), strategies, context, results, **running)
    print(f"{counts.done} answers, {counts.resumed} from an earlier start, {counts.failed} failed", file=sys.stderr)
    return counts.failed


def write_report(options: argparse.Namespace, opened: dict[str, registry.Benchmark]) -> str:
    """Write ``report.json``, ``report.md`` and the judge's pictures; the text of ``report.md``."""
    output: Path = options.output
    header, records = read_results(output / "results.jsonl")
    found = figures.report(records, opened, resamples=options.resamples, seed=options.seed)
    text = ""
    for label, strategies in found.items():
        questions = max(strategy["questions"] for strategy in strategies.values())
        text += f"## {label} ({questions} questions)\n\n{figures.table(strategies)}\n\n"
    text += "Accuracies and rates in %, tokens (prompt and completion) and seconds per question.\n"
    judged = judge_quality.from_results(records)
    judges = judge_quality.report(judged)
    if judges:
        text += f"\n## judge\n\n{judge_quality.table(judges)}\n"
        judge_plots.reliability(judges, output / "reliability.png")
        for name, (_, items) in judged.items():
            if name.endswith(judge_quality.OWN_ANSWERS):
                judge_plots.own_answers(items, output / f"own_answers_{name.partition(':')[0]}.png")
    everything = {"options": header, "benchmarks": found, "judge": judges}
    (output / "report.json").write_text(json.dumps(everything, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (output / "report.md").write_text(text, encoding="utf-8")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0, 1 when answers failed, 2 for a wrong command line."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    datasets.disable_progress_bars()  # there is one bar, that of the evaluation

    def command() -> int:
        # What is wrong is said before a server is started.
        check_count("--concurrency", options.concurrency)
        chosen_strategies(options)
        Sampling(options.temperature, options.max_tokens, options.top_p, options.judge_temperature)
        opened = parse_benchmarks(options.benchmark, options.limit)
        options.output.mkdir(parents=True, exist_ok=True)
        with connection.served(options, options.output / "server.log") as base_url:
            failed = asyncio.run(evaluate(options, base_url, opened))
        print(write_report(options, opened))
        if failed:
            print(f"{failed} answers failed; the same command tries them again", file=sys.stderr)
        return 1 if failed else 0

    return connection.exit_code(command, interrupted="interrupted; the same command continues")


if __name__ == "__main__":
    sys.exit(main())
