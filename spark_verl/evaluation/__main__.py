"""``python -m spark_verl.evaluation``: how good is a model, as a policy and as a judge, and what does more time buy?

    python -m spark_verl.evaluation MODEL --benchmark gsm8k --strategy single reflect best_of_n --output outputs/eval
    python -m spark_verl.evaluation --base-url http://127.0.0.1:8000/v1 --benchmark digits=data/test.parquet

A model folder is served with vLLM for as long as the evaluation takes, and not at all when everything is answered.
Every answer is written to ``OUTPUT/results.jsonl`` at once; the same command continues after an interruption and tries
again what failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets

from spark_verl.data.errors import UsageError
from spark_verl.evaluation import benchmarks as registry
from spark_verl.evaluation import connection, figures, judge_quality
from spark_verl.evaluation.connection import COUNT, Options, Parser
from spark_verl.evaluation.judging import Prompts
from spark_verl.evaluation.results import Measured, open_results, read_results
from spark_verl.evaluation.runner import left_to_do, run
from spark_verl.evaluation.strategies import ACCEPTANCE, STRATEGIES, Strategy, chosen

VERL_ROWS = "verl"


SCALING: Options = (
    ("--samples", COUNT, 8, "of best_of_n and weighted_vote"),
    ("--majority_samples", COUNT, None, "of majority; default: --samples, or twice as many to match a judge's tokens"),
    ("--judgements", COUNT, 1, "per sample in best_of_n and weighted_vote"),
    ("--rounds", COUNT, 1, "most reflections in reflect"),
    ("--accept", ACCEPTANCE, "always", "when a reflection replaces the attempt"),
)
_STRATEGIES = ", ".join(STRATEGIES)


def parser() -> Parser:
    """The command line."""
    new = Parser(
        prog="python -m spark_verl.evaluation",
        description="Evaluate a model on benchmarks, with strategies that spend more tokens per question. "
        "@FILE stands for the options in a file.",
        fromfile_prefix_chars="@",
    )
    add = new.add_argument
    add("model", nargs="?", help="model folder or hub id, served with vLLM")
    where = f"from the hub, from a local copy, or a data set prepared for verl; names: {', '.join(registry.names())}"
    add("--benchmark", nargs="+", required=True, metavar="NAME|NAME=PATH|FILE.parquet", help=where)
    add("--images", nargs="+", default=[], metavar="PATH", help="folders, zip or tar archives with the images")
    add("--limit", type=COUNT, help="questions per benchmark, from its start")
    which = f"any of {_STRATEGIES}; single and majority are always added where something is to be compared"
    add("--strategy", nargs="+", default=["single"], choices=list(STRATEGIES), metavar="STRATEGY", help=which)
    add("--output", type=Path, default=Path("outputs/evaluation"), help="folder of results and tables")
    add("--resamples", type=COUNT, default=2000, help="of the bootstrap")
    add("--no_progress", action="store_true", help="no progress bar")
    new.add_model_options()
    new.add_options("test-time scaling", SCALING)
    return new


def open_benchmarks(options: argparse.Namespace) -> dict[str, registry.Benchmark]:
    """Open the benchmarks that are named as ``NAME``, ``NAME=PATH`` or a parquet file in verl's schema.

    Returns:
        By label: the name, or the file's name without its ending.
    """
    found: dict[str, registry.Benchmark] = {}
    for text in options.benchmark:
        label, equals, path = text.partition("=")
        name = label
        if label not in registry.REGISTRY:
            if Path(text).suffix != ".parquet":
                raise UsageError(f"--benchmark {text}: neither a parquet file nor one of {', '.join(registry.names())}")
            label, name, equals, path = Path(text).stem, VERL_ROWS, "=", text
        if label in found:
            raise UsageError(
                f"--benchmark {text}: there is another one that is called {label!r}; evaluate it into another --output"
            )
        found[label] = registry.load(name, path if equals else None, options.limit, options.images)
    return found


def measured(options: argparse.Namespace, strategies: Sequence[Strategy]) -> dict[str, dict[str, Any]]:
    """Everything that decides what is measured, as far as it is known before the model is asked."""
    names = ("temperature", "top_p", "repetition_penalty", "judge_temperature", "seed")
    common = {name: getattr(options, name) for name in names}
    if options.model:
        folder = Path(options.model)
        common["model"] = str(folder.resolve()) if folder.exists() else options.model
    judging = {name: getattr(options, name) for name in ("judge_source", "label_form", "templates")}
    return {
        "common": {**common, "max_tokens": options.max_tokens},
        "strategies": {
            strategy.name: vars(strategy) | (judging if strategy.needs_judge else {}) for strategy in strategies
        },
    }


def ask_and_report(
    options: argparse.Namespace,
    prompts: Prompts,
    opened: dict[str, registry.Benchmark],
    strategies: Sequence[Strategy],
    report: Callable[[], str],
    what: str = "answers",
    always: bool = False,
) -> int:
    """Ask whatever no earlier start has answered, and print the report; a server runs only if there is anything.

    Args:
        options: The command line.
        prompts: The judge's words.
        opened: What is asked.
        strategies: How.
        report: Writes the report; its text.
        what: What is counted, for messages.
        always: Connect even if nothing is left, to compare the model.

    Returns:
        The command's exit code: 0, or 1 when answers failed.
    """
    with open_results(options.output / "results.jsonl", measured(options, strategies)) as results:
        todo, resumed = left_to_do(opened, strategies, results)

        async def ask(base_url: str) -> int:
            async with connection.connected(options, prompts, base_url) as (context, model):
                # The address is left out: a server that is started again may have another one.
                asked = {} if options.model else {"model": getattr(model, "root", None) or model.id}
                results.agree({"common": {**asked, "response_limit": context.sampling.max_tokens}, "strategies": {}})
                return await run(opened, todo, context, results, options.concurrency, not options.no_progress)

        failed = 0
        if todo or always:
            with connection.served(options, options.output / "server.log") as base_url:
                failed = asyncio.run(ask(base_url))
    done = sum(map(len, todo.values())) - failed
    print(f"{done} {what}, {resumed} from an earlier start, {failed} failed", file=sys.stderr)
    print(report())
    if failed:
        print(f"{failed} {what} failed; the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


def measuring(command: Callable[[], int]) -> int:
    """Run a command that asks many questions and goes on where it was interrupted: its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    datasets.disable_progress_bars()  # there is one bar, that of the questions
    return connection.exit_code(command, interrupted="interrupted; the same command continues")


def asked_with(header: Measured) -> str:
    """The options that decide what was measured, in two lines for people."""
    common = ", ".join(f"{name} {value}" for name, value in header["common"].items() if name != "model")
    own = {name: values for name, values in header["strategies"].items() if values}
    strategies = "; ".join(
        f"{name}: {', '.join(f'{k} {v}' for k, v in values.items())}" for name, values in own.items()
    )
    return f"Asked with {common}.\n" + (f"Of these strategies alone: {strategies}.\n" if strategies else "")


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
    text += f"\n{asked_with(header)}"
    judged = judge_quality.from_results(records)
    judges = judge_quality.report(judged)
    if judges:
        text += f"\n## judge\n\n{judge_quality.table(judges)}\n"
        judge_quality.reliability(judges, output / "reliability.png")
        for name, (_, items) in judged.items():
            if name.endswith(judge_quality.OWN_ANSWERS):
                judge_quality.own_answers(items, output / f"own_answers_{name.partition(':')[0]}.png")
    everything = {"options": header, "benchmarks": found, "judge": judges}
    (output / "report.json").write_text(json.dumps(everything, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (output / "report.md").write_text(text, encoding="utf-8")
    return text


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0, or 1 when answers failed."""
    options = parser().parse_args(arguments)
    scaling = {name.strip("-"): getattr(options, name.strip("-")) for name, *_ in SCALING}
    strategies = chosen(options.strategy, **scaling)
    # Whatever can be wrong is said, and what is left to do is found, before a server is started.
    prompts = connection.prepare(options)
    opened = open_benchmarks(options)
    report = partial(write_report, options, opened)
    # A server that is there is asked which model it has.
    return ask_and_report(options, prompts, opened, strategies, report, always=bool(options.base_url))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: that of :func:`command`, or 2 for what the user has to change."""
    return measuring(lambda: command(arguments))


if __name__ == "__main__":
    sys.exit(main())
