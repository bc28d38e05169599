r"""``python -m spark_verl.demo``: a page where a model answers a question, judges its answer and reflects.

    python -m spark_verl.demo outputs/quickstart/trained_model --device cpu \
        --templates pkg://spark_verl.digits/templates --benchmark outputs/quickstart/data/test.parquet
    python -m spark_verl.demo --base-url http://127.0.0.1:8000/v1

The page is for this machine only (127.0.0.1), and nothing that is put into it is kept. Questions of ``--benchmark`` can
be picked on it; as their truth is known, it says which answers are right.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import datasets

from spark_verl.data.errors import UsageError
from spark_verl.evaluation import connection
from spark_verl.evaluation.__main__ import open_benchmarks
from spark_verl.evaluation.connection import COUNT, Parser, number
from spark_verl.options import Allowed

try:
    import uvicorn

    from spark_verl.demo.app import Demo, Example
except ModuleNotFoundError as error:
    sys.exit(f"error: the page needs {error.name}: pip install 'spark-verl[eval]'")

_PORT = number(int, Allowed("be between 0 and 65535", lambda value: 0 <= value <= 65535))


def parser() -> Parser:
    """The command line."""
    new = Parser(prog="python -m spark_verl.demo", description=__doc__.partition("\n")[0])
    add = new.add_argument
    add("model", nargs="?", help="model folder or hub id, served with vLLM")
    add("--port", type=_PORT, default=7860, help="of the page; 0 takes a free one")
    add("--benchmark", nargs="+", default=[], metavar="NAME|NAME=PATH|FILE.parquet", help="questions to pick from")
    add("--images", nargs="+", default=[], metavar="PATH", help="folders, zip or tar archives with their images")
    add("--limit", type=COUNT, default=200, help="questions per benchmark, from its start")
    new.add_model_options(temperature=0.0, max_tokens=1024, max_retries=2)
    return new


def listening(port: int) -> socket.socket:
    """A socket of this machine's own, before a model is served for it.

    Raises:
        UsageError: The port is taken.
    """
    new = socket.socket()
    new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        new.bind(("127.0.0.1", port))
    except OSError as error:
        new.close()
        raise UsageError(f"--port {port}: {error.strerror}; name another one, or 0 for any") from error
    return new


def examples(options: argparse.Namespace) -> list[Example]:
    """The questions to pick from; judge questions, whose answers are judgements, are none."""
    return [
        Example(benchmark, question)
        for benchmark in open_benchmarks(options).values()
        for question in filter(benchmark.can_be_judged, benchmark.questions)
    ]


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the command until it is interrupted; its exit code."""
    options = parser().parse_args(arguments)
    # Also where the shell that started it in the background has Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    prompts = connection.prepare(options)
    picked = examples(options)
    with listening(options.port) as page, tempfile.TemporaryDirectory(prefix="spark_demo_") as folder:
        with connection.served(options, Path(folder) / "server.log") as base_url:
            demo = Demo(options, prompts, base_url, picked)
            asyncio.run(demo.connect())
            # From now on whoever opens the address is answered, a moment later.
            page.listen()
            print(f"http://127.0.0.1:{page.getsockname()[1]} shows {demo.name} (Ctrl-C ends it)", flush=True)
            # Whoever is still being answered is not waited for.
            config = uvicorn.Config(demo.app(), log_level="warning", timeout_graceful_shutdown=1)
            uvicorn.Server(config).run(sockets=[page])
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code, 2 for what the user has to change."""
    datasets.disable_progress_bars()
    return connection.exit_code(lambda: command(arguments), interrupted="ended")


if __name__ == "__main__":
    sys.exit(main())
