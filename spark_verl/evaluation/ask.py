r"""``python -m spark_verl.evaluation.ask``: ask one question and watch the model answer, judge itself and reflect.

    python -m spark_verl.evaluation.ask --base-url http://127.0.0.1:8000/v1 --image chart.png "What is largest?"
    python -m spark_verl.evaluation.ask --model outputs/quickstart/trained_model --device cpu --image digits.png \
        --templates pkg://spark_verl.digits/templates "Which digit is larger?"

Everything is shown while it is written. Prompts are those of training (``--templates``).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from spark_verl.evaluation.__main__ import UsageError, add_server_options, connect, load_tokenizer, served
from spark_verl.evaluation.client import TOP_LOGPROBS, Client, TokenLogprobs, token_logprobs
from spark_verl.evaluation.messages import to_openai
from spark_verl.evaluation.prompts import Prompts
from spark_verl.evaluation.server import ServerError
from spark_verl.evaluation.verdict_probability import verdict_probability
from spark_verl.reward import extract_answer, parse_judgement


def parser() -> argparse.ArgumentParser:
    """The command line."""
    new = argparse.ArgumentParser(prog="python -m spark_verl.evaluation.ask", description=__doc__.partition("\n")[0])
    new.add_argument("question", help="what to ask")
    new.add_argument(
        "--image", action="append", default=[], metavar="FILE", help="an image; may be given several times"
    )
    new.add_argument("--templates", help="judge and reflection templates: a folder or pkg://package/folder")
    new.add_argument("--judge_source", choices=("answer", "cot"), default="answer",
                     help="show the judge the parsed answer or the whole response")  # fmt: skip
    new.add_argument("--always_reflect", action="store_true", help="reflect also when the judge says that it is right")
    new.add_argument("--temperature", type=float, default=0.0, help="of answer and reflection; judgements have 0")
    new.add_argument("--max_tokens", type=int, default=1024, help="of each response")
    new.add_argument("--seed", type=int, default=0)
    new.add_argument("--model", help="model folder or hub id, served with vLLM")
    add_server_options(new)
    return new


@dataclass(frozen=True)
class Written:
    """A response after it was shown."""

    text: str
    logprobs: tuple[TokenLogprobs, ...]


async def stream(client: Client, messages: list[dict], show: Any, **request: Any) -> Written:
    """Ask and show every piece of the response as it comes.

    Args:
        client: The server.
        messages: As in :class:`spark_verl.evaluation.question.Question`.
        show: Takes pieces of text.
        **request: More of the OpenAI request.
    """
    texts, logprobs = [], []
    pieces = await client.openai.chat.completions.create(
        model=client.model, messages=to_openai(messages), stream=True, **request
    )
    async for piece in pieces:
        for choice in piece.choices:
            if choice.delta.content:
                texts.append(choice.delta.content)
                show(choice.delta.content)
            logprobs.extend(token_logprobs(choice) or ())
    return Written("".join(texts), tuple(logprobs))


async def ask(options: argparse.Namespace, base_url: str) -> None:
    """Answer, judge and, where the judge says wrong, reflect."""
    client, model = await connect(options, base_url, 1)
    limit = min(options.max_tokens, (model.context_length or 2 * options.max_tokens) // 2)
    prompts = Prompts(options.templates, tokenizer=load_tokenizer(options), seed=options.seed)
    content: list[dict] = [{"type": "image", "image": path} for path in options.image]
    question = [{"role": "user", "content": [*content, {"type": "text", "text": options.question}]}]
    request = {"temperature": options.temperature, "max_tokens": limit, "seed": options.seed}
    try:
        _heading("answer")
        first = await stream(client, question, _show, **request)
        answer = extract_answer(first.text)
        source = options.judge_source if answer else "cot"
        shown = answer if source == "answer" else first.text
        if not shown.strip():
            print("\n(no answer, so nothing to judge)")
            return
        _heading("judgement: is it right?")
        judging = prompts.judge(question, shown, source, options.question)
        logprobs = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        judged = await stream(client, judging, _show, **(request | {"temperature": 0.0} | logprobs))
        verdict = parse_judgement(judged.text, prompts.label_form)
        probability = verdict_probability(judged.logprobs, prompts.label_form)
        how_sure = f", P(right) = {probability.positive:.3f}" if probability else ""
        print(f"\n→ {verdict or 'no verdict that could be read'}{how_sure}")
        if verdict != prompts.labels[1] and not options.always_reflect:
            print("→ the answer stands" + ("" if verdict else ": an unreadable judgement is no objection"))
            return
        _heading("reflection")
        better = await stream(client, prompts.reflect(question, shown, source, options.question), _show, **request)
        print(f"\n→ {answer or 'no answer'} became {extract_answer(better.text) or 'no answer'}")
    finally:
        await client.close()


def _show(text: str) -> None:
    print(text, end="", flush=True)


def _heading(text: str) -> None:
    line = f"── {text} ──"
    print(f"\n\033[1m{line}\033[0m" if sys.stdout.isatty() else f"\n{line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spark_ask_")))
        try:
            missing = [path for path in options.image if not Path(path).is_file()]
            if missing:
                raise UsageError(f"--image {missing[0]}: there is no such file")
            base_url = stack.enter_context(served(options, folder / "server.log"))
            asyncio.run(ask(options, base_url))
        except (ValueError, OSError, ServerError, openai.OpenAIError) as error:
            # The project's own errors, unusable files and refused requests: one line each.
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
