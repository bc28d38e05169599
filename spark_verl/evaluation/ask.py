r"""``python -m spark_verl.evaluation.ask``: ask one question and watch the model answer, judge itself and reflect.

    python -m spark_verl.evaluation.ask --base-url http://127.0.0.1:8000/v1 --image chart.png "What is largest?"
    python -m spark_verl.evaluation.ask --model outputs/quickstart/trained_model --device cpu --image digits.png \
        --templates pkg://spark_verl.digits/templates "Which digit is larger?"

Everything is shown while it is written. Prompts are those of training (``--templates``).
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from spark_verl.data.errors import UsageError
from spark_verl.evaluation import connection
from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.benchmarks.source import Rows
from spark_verl.evaluation.connection import Parser
from spark_verl.evaluation.judging import Prompts
from spark_verl.evaluation.question import Question
from spark_verl.evaluation.session import Session
from spark_verl.reward import parse_judgement


def parser() -> Parser:
    """The command line."""
    new = Parser(prog="python -m spark_verl.evaluation.ask", description=__doc__.partition("\n")[0])
    new.add_argument("question", help="what to ask")
    new.add_argument("--image", action="append", default=[], metavar="FILE", help="may be given several times")
    new.add_argument("--always_reflect", action="store_true", help="reflect also when the judge says that it is right")
    new.add_argument("--model", help="model folder or hub id, served with vLLM")
    new.add_options("model server", connection.SERVER)
    new.add_options("asking", connection.ASKING, temperature=0.0, max_tokens=1024, max_retries=2)
    new.add_options("judge", connection.JUDGE)
    return new


async def ask(options: argparse.Namespace, prompts: Prompts, base_url: str) -> None:
    """Answer, judge and, where the judge says wrong, reflect: a session without a ground truth."""
    content = [{"type": "image", "image": path} for path in options.image]
    content.append({"type": "text", "text": options.question})
    question = Question(options.question, "ask", [{"role": "user", "content": content}], ground_truth=None)
    async with connection.connected(options, prompts, base_url, _show) as (context, _):
        session = Session(context, Benchmark(Rows([], "the command line")), question)
        _heading("answer")
        await session.answers(1)
        _heading("judgement: is it right?")
        judgement = await session.judge(0)
        if judgement is None:
            print("\n(no answer, so nothing to judge)")
            return
        verdict = parse_judgement(judgement.completion.text, prompts.label_form)
        how_sure = "" if judgement.p_right is None else f", P(right) = {judgement.p_right:.3f}"
        print(f"\n→ {verdict or 'no verdict that could be read'}{how_sure}")
        if judgement.says_right is not False and not options.always_reflect:
            print("→ the answer stands" + ("" if verdict else ": an unreadable judgement is no objection"))
            return
        _heading("reflection")
        await session.reflect(0)
        before, after = (sample.answer or "no answer" for sample in session.samples)
        print(f"\n→ {before} became {after}")


def _show(text: str) -> None:
    print(text, end="", flush=True)


def _heading(text: str) -> None:
    line = f"── {text} ──"
    print(f"\n\033[1m{line}\033[0m" if sys.stdout.isatty() else f"\n{line}", flush=True)


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    options = parser().parse_args(arguments)
    missing = [path for path in options.image if not Path(path).is_file()]
    if missing:
        raise UsageError(f"--image {missing[0]}: there is no such file")
    prompts = connection.prepare(options)
    with tempfile.TemporaryDirectory(prefix="spark_ask_") as folder:
        with connection.served(options, Path(folder) / "server.log") as base_url:
            asyncio.run(ask(options, prompts, base_url))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code, 2 for what the user has to change."""
    return connection.exit_code(lambda: command(arguments), interrupted="interrupted")


if __name__ == "__main__":
    sys.exit(main())
