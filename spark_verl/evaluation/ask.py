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
from spark_verl.evaluation.session import Sample, Session
from spark_verl.evaluation.walk import Begun, Ended, Judged, walk
from spark_verl.vocabulary import Objective


def parser() -> Parser:
    """The command line."""
    new = Parser(prog="python -m spark_verl.evaluation.ask", description=__doc__.partition("\n")[0])
    new.add_argument("question", help="what to ask")
    new.add_argument("--image", action="append", default=[], metavar="FILE", help="may be given several times")
    new.add_argument("--always_reflect", action="store_true", help="reflect also when the judge says that it is right")
    new.add_argument("--model", help="model folder or hub id, served with vLLM")
    new.add_model_options(temperature=0.0, max_tokens=1024, max_retries=2)
    return new


async def ask(options: argparse.Namespace, prompts: Prompts, base_url: str) -> None:
    """Answer, judge and, where the judge says wrong, reflect: a session without a ground truth."""
    content = [{"type": "image", "image": path} for path in options.image]
    content.append({"type": "text", "text": options.question})
    question = Question(options.question, "ask", [{"role": "user", "content": content}], ground_truth=None)
    async with connection.connected(options, prompts, base_url, _show) as (context, _):
        session = Session(context, Benchmark(Rows([], "the command line")), question)
        await walk(session, _tell, always_reflect=options.always_reflect)


def _show(text: str) -> None:
    print(text, end="", flush=True)


_HEADINGS = {
    Objective.POLICY: "answer",
    Objective.POINTWISE: "judgement: is it right?",
    Objective.REFLECTION: "reflection",
}


def _tell(event: Begun | Sample | Judged | Ended) -> None:
    if isinstance(event, Begun):
        line = f"── {_HEADINGS[event.objective]} ──"
        print(f"\n\033[1m{line}\033[0m" if sys.stdout.isatty() else f"\n{line}", flush=True)
    elif isinstance(event, Judged):
        p_right = event.judgement.p_right
        how_sure = "" if p_right is None else f", P(right) = {p_right:.3f}"
        print(f"\n→ {event.verdict or 'no verdict that could be read'}{how_sure}")
    elif isinstance(event, Ended):
        print(f"\n→ {event.why}")


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
