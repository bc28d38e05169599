"""Where the model is asked: the options that both commands share, a server for a model folder, a client."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import openai

from spark_verl.data.errors import UsageError
from spark_verl.evaluation.client import Client, Sampling, ServedModel, ServerGoneError
from spark_verl.evaluation.judge_prompts import Prompts
from spark_verl.evaluation.server import SERVED_NAME, Server, ServerError
from spark_verl.evaluation.session import Context
from spark_verl.vocabulary import LabelForm, Source


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Options that say where the model is asked."""
    server = parser.add_argument_group("model server")
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


def add_judge_options(group: argparse._ActionsContainer) -> None:
    """Options that say what a judge is shown, and in which words."""
    group.add_argument(
        "--judge_source",
        choices=[source.value for source in Source],
        default=Source.ANSWER.value,
        help="show the judge the parsed answer or the whole response",
    )
    group.add_argument("--templates", help="judge and reflection templates: a folder or pkg://package/folder")


@contextlib.contextmanager
def served(options: argparse.Namespace, log: Path) -> Generator[str]:
    """The base URL of a server for the model: the one that was named, or a new vLLM."""
    if bool(options.model) == bool(options.base_url):
        raise UsageError("name either a model folder or --base-url")
    if options.base_url:
        yield options.base_url
        return
    folder = os.path.expanduser(options.model)
    hub_id = options.model.count("/") < 2 and not options.model.startswith((".", "/", "~"))
    if not hub_id and not Path(folder, "config.json").is_file():
        raise UsageError(f"{options.model} is no model folder: it has no config.json")
    print(f"starting vLLM for {options.model} (log: {log})", file=sys.stderr, flush=True)
    with Server(
        folder,
        log=log,
        device=options.device,
        gpus=options.gpus,
        timeout_s=options.server_timeout,
        arguments=shlex.split(options.server_args),
    ) as server:
        yield server.base_url


def load_tokenizer(options: argparse.Namespace) -> Any:
    """The model's tokenizer; None where only a server is known."""
    name = options.tokenizer or options.model
    if name is None:
        return None
    from transformers import AutoTokenizer  # seconds, which a command with --base-url does not need

    return AutoTokenizer.from_pretrained(os.path.expanduser(name))


@contextlib.asynccontextmanager
async def connected(
    options: argparse.Namespace, base_url: str, show: Callable[[str], None] | None = None
) -> AsyncGenerator[tuple[Context, ServedModel]]:
    """A client for the served model, with everything else that is the same for all questions.

    Args:
        options: Those of either command.
        base_url: See :func:`served`.
        show: See :class:`spark_verl.evaluation.client.Client`.
    """
    form = LabelForm(options.label_form)
    prompts = Prompts(options.templates, label_form=form, tokenizer=load_tokenizer(options), seed=options.seed)
    client = Client(
        base_url,
        "",
        concurrency=options.concurrency,
        api_key=os.environ.get(options.api_key_variable) or "none",
        timeout_s=options.request_timeout,
        max_retries=options.max_retries,
        show=show,
    )
    try:
        model = await _served_model(client, options.served_model or (SERVED_NAME if options.model else None))
        client.model = model.name
        # The other half of the context is for the question and what a judge is shown.
        limit = min(options.max_tokens, (model.context_length or 2 * options.max_tokens) // 2)
        sampling = Sampling(options.temperature, limit, options.top_p, options.judge_temperature, limit)
        yield Context(client, sampling, prompts, Source(options.judge_source), options.seed), model
    finally:
        await client.close()


async def _served_model(client: Client, wanted: str | None) -> ServedModel:
    """The model of this name, or the only one that the server has."""
    try:
        models = await client.served_models()
    except openai.OpenAIError as error:
        raise UsageError(
            f"no OpenAI-compatible server answers at {client.base_url} ({type(error).__name__}: {error})"
        ) from error
    if wanted is None and len(models) == 1:
        (wanted,) = models
    if wanted not in models:
        raise UsageError(f"{client.base_url} serves {sorted(models)}: name one of them with --served_model")
    return models[wanted]


def exit_code(command: Callable[[], int], interrupted: str) -> int:
    """Run a command: its exit code, 2 with one line for what the user can mend, 130 when it was interrupted.

    A terminated command stops its server, as an interrupted one does.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return command()
    except (ValueError, OSError, ServerError, ServerGoneError, openai.OpenAIError) as error:
        # The project's own errors, unusable files and refused requests: one line each says what to change.
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
