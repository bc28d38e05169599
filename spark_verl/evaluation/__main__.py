"""``python -m spark_verl.evaluation``: how good is a model, as a policy and as a judge, and what does more time buy?

    python -m spark_verl.evaluation MODEL --benchmark gsm8k --strategy single reflect best_of_n --output outputs/eval
    python -m spark_verl.evaluation --base-url http://127.0.0.1:8000/v1 --benchmark digits=data/test.parquet

A model folder is served with vLLM for as long as the evaluation takes. Every answer is written to
``OUTPUT/results.jsonl`` at once; the same command continues after an interruption and tries again what failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets

from spark_verl.evaluation import benchmarks as registry
from spark_verl.evaluation import judge_quality
from spark_verl.evaluation.client import Client, Sampling, ServedModel, ServerGoneError
from spark_verl.evaluation.judge_plots import own_answers, reliability
from spark_verl.evaluation.prompts import Prompts
from spark_verl.evaluation.report import report, table
from spark_verl.evaluation.results import ResultsFile, read_results
from spark_verl.evaluation.runner import run
from spark_verl.evaluation.server import SERVED_NAME, Server, ServerError
from spark_verl.evaluation.session import Context
from spark_verl.evaluation.strategies import STRATEGIES, BestOfN, Majority, Reflect, Single, Strategy, WeightedVote
from spark_verl.evaluation.strategies.reflect import ACCEPTANCE

logger = logging.getLogger("spark_verl.evaluation")

VERL_ROWS = "verl"


class UsageError(ValueError):
    """The command line asks for something that cannot be done; the message says what to change."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    new = argparse.ArgumentParser(
        prog="python -m spark_verl.evaluation",
        description="Evaluate a model on benchmarks, with strategies that spend more tokens per question.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    new.add_argument("model", nargs="?", help="model folder or hub id, served with vLLM")
    add_server_options(new)
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
    scaling.add_argument(
        "--judge_source",
        choices=("answer", "cot"),
        default="answer",
        help="show the judge the parsed answer or the whole response",
    )
    scaling.add_argument("--label_form", choices=("yes_no", "a_b"), default="yes_no", help="how the judge answers")
    scaling.add_argument("--templates", help="judge and reflection templates: a folder or pkg://package/folder")
    running = new.add_argument_group("running")
    running.add_argument("--concurrency", type=int, default=32, help="requests in flight")
    running.add_argument("--request_timeout", type=float, default=600.0, help="seconds until a request is tried again")
    running.add_argument("--max_retries", type=int, default=6, help="tries of a request after the first one")
    running.add_argument("--resamples", type=int, default=2000, help="of the bootstrap")
    running.add_argument("--no_progress", action="store_true", help="no progress bar")
    return new


def add_server_options(new: argparse.ArgumentParser) -> None:
    """Options that say where the model is asked."""
    server = new.add_argument_group("model server")
    server.add_argument(
        "--base-url", "--base_url", dest="base_url", help="an OpenAI-compatible server instead, with /v1"
    )
    server.add_argument("--served_model", help="its name for the model; default: the only one it has")
    server.add_argument("--api_key_variable", default="OPENAI_API_KEY", help="environment variable with its key")
    server.add_argument(
        "--tokenizer",
        help="with --base-url: folder or hub id of the model's tokenizer, whose special "
        "tokens are defused in what a judge is shown; default: Qwen2.5-VL's",
    )
    server.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="where vLLM runs")
    server.add_argument("--gpus", type=int, default=1, help="tensor parallelism")
    server.add_argument("--server_timeout", type=float, default=1800.0, help="seconds that vLLM may take to start")
    server.add_argument("--server_args", default="", help="more options for `vllm serve`, in one string")


def parse_benchmarks(names: Sequence[str], limit: int | None) -> dict[str, registry.Benchmark]:
    """Open benchmarks.

    Args:
        names: ``NAME``, ``NAME=PATH`` or a parquet file in verl's schema.
        limit: Questions of each.

    Returns:
        By label: the name, or the file's name without its ending.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be at least 1, got {limit}")
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


def make_strategies(options: argparse.Namespace) -> list[Strategy]:
    """The strategies to run: those asked for and those that they are compared with."""
    for name in ("samples", "judgements", "rounds", "majority_samples", "concurrency"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UsageError(f"--{name} must be at least 1, got {getattr(options, name)}")
    names = set(options.strategy)
    judged = bool(names & {"best_of_n", "weighted_vote"})
    majority_samples = options.majority_samples or options.samples * (2 if judged else 1)
    every: list[Strategy] = [
        Single(),
        Majority(majority_samples),
        Reflect(options.rounds, options.accept),
        BestOfN(options.samples, options.judgements),
        WeightedVote(options.samples, options.judgements),
    ]
    names |= {"single", "majority"} if names != {"single"} else set()
    return [strategy for strategy in every if strategy.name in names]


def settings(
    options: argparse.Namespace, client: Client, model: ServedModel, strategies: Sequence[Strategy], sampling: Sampling
) -> dict[str, Any]:
    """Everything that decides what is measured, for the results' first line."""
    folder = options.model and Path(options.model).expanduser()
    return {
        "common": {
            # The address is left out: a server that is started again may have another one.
            "model": str(folder.resolve())
            if folder and folder.exists()
            else options.model or model.root or client.model,
            **vars(sampling),
            "seed": options.seed,
        },
        "strategies": {
            strategy.name: vars(strategy)
            | (
                {key: getattr(options, key) for key in ("judge_source", "label_form", "templates")}
                if strategy.needs_judge
                else {}
            )
            for strategy in strategies
        },
    }


@contextlib.contextmanager
def served(options: argparse.Namespace, log: Path) -> Iterator[str]:
    """The base URL of a server for the model: the one that was named, or a new vLLM."""
    if bool(options.model) == bool(options.base_url):
        raise UsageError("name either a model folder or --base-url")
    if options.base_url:
        yield options.base_url
        return
    if options.model.startswith((".", "/", "~")) or os.sep in options.model and not options.model.count("/") == 1:
        if not (Path(options.model).expanduser() / "config.json").is_file():
            raise UsageError(f"{options.model} is no model folder: it has no config.json")
    print(f"starting vLLM for {options.model} (log: {log})", file=sys.stderr, flush=True)
    server = Server(
        os.path.expanduser(options.model),
        log=log,
        device=options.device,
        gpus=options.gpus,
        timeout_s=options.server_timeout,
        arguments=shlex.split(options.server_args),
    )
    with server:
        yield server.base_url


def load_tokenizer(options: argparse.Namespace) -> Any:
    """The model's tokenizer; None where only a server is known."""
    name = options.tokenizer or options.model
    if name is None:
        return None
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(os.path.expanduser(name))


async def connect(options: argparse.Namespace, base_url: str, concurrency: int) -> tuple[Client, ServedModel]:
    """A client for the served model, and what the server tells about it."""
    import openai

    key = os.environ.get(options.api_key_variable) or "none"
    client = Client(
        base_url,
        "",
        concurrency=concurrency,
        api_key=key,
        timeout_s=getattr(options, "request_timeout", 600.0),
        max_retries=getattr(options, "max_retries", 2),
    )
    try:
        models = await client.served_models()
    except openai.OpenAIError as error:
        raise UsageError(
            f"no OpenAI-compatible server answers at {base_url} ({type(error).__name__}: {error})"
        ) from error
    wanted = options.served_model or (SERVED_NAME if options.model else None)
    if wanted is None and len(models) == 1:
        wanted = next(iter(models))
    if wanted not in models:
        raise UsageError(f"{base_url} serves {sorted(models)}: name one of them with --served_model")
    client.model = wanted
    return client, models[wanted]


async def evaluate(options: argparse.Namespace, base_url: str, opened: dict[str, registry.Benchmark]) -> int:
    """Run everything that is missing, then write and print the tables; the number of failed answers."""
    client, model = await connect(options, base_url, options.concurrency)
    try:
        # The other half is for the question and what a judge is shown.
        limit = min(options.max_tokens, (model.context_length or 2 * options.max_tokens) // 2)
        sampling = Sampling(options.temperature, limit, options.top_p, options.judge_temperature, limit)
        strategies = make_strategies(options)
        prompts = Prompts(
            options.templates, label_form=options.label_form, tokenizer=load_tokenizer(options), seed=options.seed
        )
        context = Context(client, sampling, prompts, options.judge_source, options.seed)
        with ResultsFile(
            options.output / "results.jsonl", settings(options, client, model, strategies, sampling)
        ) as results:
            counts = await run(
                list(opened.items()),
                strategies,
                context,
                results,
                concurrency=options.concurrency,
                progress=not options.no_progress,
            )
    finally:
        await client.close()
    print(f"{counts.done} answers, {counts.resumed} from an earlier start, {counts.failed} failed", file=sys.stderr)
    return counts.failed


def write_report(options: argparse.Namespace, opened: dict[str, registry.Benchmark]) -> str:
    """Write ``report.json``, ``report.md`` and the judge's pictures; the text of ``report.md``."""
    header, records = read_results(options.output / "results.jsonl")
    figures = report(records, opened, resamples=options.resamples, seed=options.seed)
    parts = []
    for label, found in figures.items():
        parts.append(
            f"## {label} ({max(f['questions'] for f in found.values())} questions)\n\n{table(found, list(STRATEGIES))}"
        )
    text = (
        "\n\n".join(parts) + "\n\nAccuracies and rates in %, tokens (prompt and completion) and seconds per question.\n"
    )
    judged = judge_quality.from_results(records)
    judges = judge_quality.report(records)
    if judges:
        text += f"\n## judge\n\n{judge_quality.table(judges)}\n"
        reliability(judges, options.output / "reliability.png")
        for name, (_, items) in judged.items():
            if name.endswith(judge_quality.OWN_ANSWERS):
                label = name.partition(":")[0]
                own_answers(items, options.output / f"own_answers_{label}.png")
    (options.output / "report.json").write_text(
        json.dumps({"options": header, "benchmarks": figures, "judge": judges}, indent=2, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )
    (options.output / "report.md").write_text(text, encoding="utf-8")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0, 1 when answers failed, 2 for a wrong command line."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    datasets.disable_progress_bars()  # there is one bar, that of the evaluation
    # A terminated evaluation stops its server, as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        make_strategies(options)
        Sampling(options.temperature, options.max_tokens, options.top_p, options.judge_temperature)
        opened = parse_benchmarks(options.benchmark, options.limit)
        options.output.mkdir(parents=True, exist_ok=True)
        with served(options, options.output / "server.log") as base_url:
            failed = asyncio.run(evaluate(options, base_url, opened))
        print(write_report(options, opened))
    except (ValueError, OSError, ServerError, ServerGoneError) as error:
        # The project's own errors and unusable files: one line each says what to change.
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return 130
    if failed:
        print(f"{failed} answers failed; the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
