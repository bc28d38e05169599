"""What both commands share: their options, a server for a model folder, a client, errors of one line."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import openai

from spark_verl.checks.model import check_model
from spark_verl.data.errors import UsageError
from spark_verl.evaluation.client import Client, Sampling, ServerGoneError
from spark_verl.evaluation.judging import Prompts
from spark_verl.evaluation.server import SERVED_NAME, Server, ServerError
from spark_verl.evaluation.session import Context
from spark_verl.options import NOT_NEGATIVE, POSITIVE, Allowed, at_least, brief
from spark_verl.vocabulary import LabelForm, Source

Options = Sequence[tuple[str, Callable[[str], Any] | tuple[str, ...], Any, str]]
"""Name (or names, with a space between), type or choices, default, and what it is."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are raised, in one line, instead of printed after the usage.

    With ``fromfile_prefix_chars="@"``, ``@FILE`` stands for the options in a file, which may have comments.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=argparse.ArgumentDefaultsHelpFormatter)

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        """The options in a line of a file, read as a shell reads them."""
        return shlex.split(arg_line, comments=True)

    def error(self, message: str) -> NoReturn:
        """Raise an error of one line."""
        raise UsageError(f"{message} (--help lists the options)")

    def add_options(self, title: str, options: Options) -> None:
        """Add a group of options."""
        group = self.add_argument_group(title)
        for names, kind, default, text in options:
            allowed: dict[str, Any] = {"choices": kind} if isinstance(kind, tuple) else {"type": kind}
            group.add_argument(*names.split(), default=default, help=text, **allowed)

    def add_model_options(self, judge: Options | None = None, **defaults: Any) -> None:
        """Add what every command takes that asks a model; ``judge`` and ``defaults`` replace those of the tables."""
        for title, options in (("model server", SERVER), ("asking", ASKING), ("judge", judge or JUDGE)):
            self.add_options(title, options)
        self.set_defaults(**defaults)


def number(kind: type[int] | type[float], allowed: Allowed) -> Callable[[str], float]:
    """The type of an option that is a number of this kind within limits."""

    def read(text: str) -> float:
        value = kind(text)
        if not allowed.holds(value):
            raise argparse.ArgumentTypeError(f"must {allowed.words}, got {brief(text)}")
        return value

    read.__name__ = kind.__name__  # which argparse names where it is no number at all
    return read


COUNT = number(int, at_least(1))
_FORMS = tuple(form.value for form in LabelForm if form.labels)
_TEMPERATURE = number(float, Allowed("be between 0 and 2", lambda value: 0 <= value <= 2))
_PENALTY = number(float, Allowed("be above 0 and at most 2", lambda value: 0 < value <= 2))
_NUCLEUS = number(float, Allowed("be above 0 and at most 1", lambda value: 0 < value <= 1))
_SECONDS = number(float, POSITIVE)

SERVER: Options = (
    ("--base-url --base_url", str, None, "an OpenAI-compatible server instead, with /v1"),
    ("--served_model", str, None, "its name for the model; default: the only one it has"),
    ("--api_key_variable", str, "OPENAI_API_KEY", "environment variable with its key"),
    ("--tokenizer", str, None, "with --base-url: the model's, whose special tokens are defused; default: Qwen2.5-VL's"),
    ("--device", ("gpu", "cpu"), "gpu", "where vLLM runs"),
    ("--gpus", COUNT, 1, "tensor parallelism"),
    ("--server_timeout", _SECONDS, 1800.0, "seconds that vLLM may take to start"),
    ("--server_args", shlex.split, "", "more options for `vllm serve`, in one string"),
)
ASKING: Options = (
    ("--temperature", _TEMPERATURE, 1.0, "of answers and reflections"),
    ("--top_p", _NUCLEUS, 1.0, "of answers and reflections"),
    ("--repetition_penalty", _PENALTY, 1.0, "of all responses, as vLLM has it; 1 for none"),
    ("--max_tokens", COUNT, 2048, "of a response; at most half of the context"),
    ("--judge_temperature", _TEMPERATURE, 0.0, "of judgements"),
    ("--seed", int, 0, "of sampling, templates and bootstrap"),
    ("--concurrency", COUNT, 32, "requests in flight"),
    ("--request_timeout", _SECONDS, 600.0, "seconds until a request is tried again"),
    ("--max_retries", number(int, NOT_NEGATIVE), 6, "tries of a request after the first"),
)
JUDGE: Options = (
    ("--judge_source", tuple(map(str, Source)), "answer", "show the judge the parsed answer or the whole response"),
    ("--label_form", _FORMS, "yes_no", "how the judge answers"),
    ("--templates", str, None, "judge and reflection templates: a folder or pkg://package/folder"),
)


def prepare(options: argparse.Namespace) -> Prompts:
    """Find out whether the model can be asked at all, and in which words; before a server is started.

    Raises:
        ValueError, OSError: It cannot; one line says what to change.
    """
    if bool(options.model) == bool(options.base_url):
        raise UsageError("name either a model folder or --base-url")
    if options.model:
        options.model = check_model(options.model)
    return Prompts(
        options.templates,
        label_form=LabelForm(options.label_form),
        source=Source(options.judge_source),
        tokenizer=_tokenizer(options.tokenizer or options.model),
        seed=options.seed,
    )


def _tokenizer(name: str | None) -> Any:
    """The model's tokenizer; None where only a server is known."""
    if name is None:
        return None
    from transformers import AutoTokenizer  # seconds, which a command with --base-url does not need

    try:
        return AutoTokenizer.from_pretrained(os.path.expanduser(name))
    except Exception as error:  # of a file that is damaged transformers raises whatever it stumbles over
        reason = brief(str(error) or type(error).__name__)
        raise UsageError(f"{brief(name)} has no tokenizer that can be loaded: {reason}") from error


@contextlib.contextmanager
def served(options: argparse.Namespace, log: Path) -> Generator[str]:
    """The base URL of a server for the model: the one that was named, or a new vLLM."""
    if options.base_url:
        yield options.base_url
        return
    print(f"starting vLLM for {options.model} (log: {log})", file=sys.stderr, flush=True)
    with Server(
        options.model,
        log=log,
        device=options.device,
        gpus=options.gpus,
        timeout_s=options.server_timeout,
        arguments=options.server_args,
    ) as server:
        yield server.base_url


@contextlib.asynccontextmanager
async def connected(
    options: argparse.Namespace, prompts: Prompts, base_url: str, show: Callable[[str], None] | None = None
) -> AsyncGenerator[tuple[Context, openai.types.Model]]:
    """A client for the served model, with everything else that is the same for all questions.

    Args:
        options: Those of either command.
        prompts: See :func:`prepare`.
        base_url: See :func:`served`.
        show: See :class:`spark_verl.evaluation.client.Client`.
    """
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
        client.model = model.id
        # The other half of the context is for the question and what a judge is shown.
        context_length = getattr(model, "max_model_len", None) or 2 * options.max_tokens
        limit = min(options.max_tokens, context_length // 2)
        shared = {"max_tokens": limit, "repetition_penalty": options.repetition_penalty}
        sampling = Sampling(options.temperature, top_p=options.top_p, **shared)
        yield Context(client, prompts, sampling, Sampling(options.judge_temperature, **shared)), model
    finally:
        await client.close()


async def _served_model(client: Client, wanted: str | None) -> openai.types.Model:
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
