"""Runs strategies over benchmarks: many questions at a time, one line of results for each question and strategy."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
from tqdm import tqdm

from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.question import Question
from spark_verl.evaluation.results import ResultsError, ResultsFile
from spark_verl.evaluation.session import Context, Session, Shared
from spark_verl.evaluation.strategies import Strategy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """What one start of the runner did: questions times strategies.

    Attributes:
        done: Answered now.
        resumed: Answered by an earlier start.
        failed: Errors; tried again at the next start.
    """

    done: int
    resumed: int
    failed: int


async def run(
    benchmarks: Sequence[tuple[str, Benchmark]],
    strategies: Sequence[Strategy],
    context: Context,
    results: ResultsFile,
    *,
    concurrency: int = 32,
    progress: bool = True,
) -> Counts:
    """Answer every question under every strategy that has not answered it yet.

    Args:
        benchmarks: (label, benchmark); the label is what the results call it.
        strategies: In the order in which a question is asked.
        context: The client and everything else that is the same for all questions.
        results: Where lines go to, and what has been done.
        concurrency: Questions at a time.
        progress: Show a progress bar.

    Raises:
        ServerGoneError: The server does not answer any more.
        ResultsError: A question has changed since the results were begun, or two questions have the same id.
    """
    todo, resumed = _todo(benchmarks, strategies, results)
    missing = sum(map(len, todo.values()))
    failed = 0
    # One iterator for all workers: a question and its images are read when a worker is free, not before.
    jobs = (
        (label, benchmark, question, todo[label, question.id])
        for label, benchmark in benchmarks
        for question in benchmark.questions
        if (label, question.id) in todo
    )
    bar = tqdm(total=resumed + missing, initial=resumed, unit="answer", disable=None if progress else True)

    async def work() -> None:
        nonlocal failed
        for label, benchmark, question, wanted in jobs:
            shared = Shared()
            for strategy in wanted:
                record = await _answer(label, Session(context, benchmark, question, shared), strategy)
                failed += record["error"] is not None
                results.write(record)
                bar.update()
                bar.set_postfix(failed=failed, refresh=False)

    workers = [asyncio.ensure_future(work()) for _ in range(min(concurrency, missing))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        bar.close()
    return Counts(missing - failed, resumed, failed)


def _todo(
    benchmarks: Sequence[tuple[str, Benchmark]], strategies: Sequence[Strategy], results: ResultsFile
) -> tuple[dict[tuple[str, str], list[Strategy]], int]:
    """What is left to do by label and question, and how many answers there are.

    Reads all questions once, which also finds what is wrong in them. A question that is itself about judging is not
    judged once more.
    """
    todo: dict[tuple[str, str], list[Strategy]] = {}
    resumed = 0
    for label, benchmark in benchmarks:
        seen = set()
        for question in benchmark.questions:
            if question.id in seen:
                raise ResultsError(f"{label}: two questions have the id {question.id!r}")
            seen.add(question.id)
            found, judged = digest(question), benchmark.can_be_judged(question)
            for strategy in strategies:
                if strategy.needs_judge and not judged:
                    continue
                if results.done((label, question.id, strategy.name), found):
                    resumed += 1
                else:
                    todo.setdefault((label, question.id), []).append(strategy)
        if not seen:
            raise ResultsError(f"{label} has no questions")
    return todo, resumed


async def _answer(label: str, session: Session, strategy: Strategy) -> dict[str, Any]:
    question = session.question
    final, error = None, None
    try:
        final = await strategy.run(session)
    except (openai.OpenAIError, ValueError, OSError) as failure:
        # Of several requests at a time only the first failure arrives here, and it may be an early one.
        session.context.client.check_alive(failure)
        # One request that fails, or one image that cannot be read, costs one answer and not the run.
        error = f"{type(failure).__name__}: {failure}"[:500]
        logger.warning("%s, question %s, %s: %s", label, question.id, strategy.name, error)
    completions, truth = session.completions, question.ground_truth
    return {
        "benchmark": label,
        "id": question.id,
        "strategy": strategy.name,
        "digest": digest(question),
        "error": error,
        "final": final,
        "ground_truth": truth if isinstance(truth, str | int | float | bool | None) else str(truth),
        "group": question.group,
        "label_form": session.benchmark.label_form(question),
        "kind": question.meta.get("data_source"),
        "samples": [sample.record() for sample in session.samples],
        "judgements": [judgement.record() for judgement in session.judgements],
        "requests": len(completions),
        "prompt_tokens": sum(completion.prompt_tokens for completion in completions),
        "completion_tokens": sum(completion.completion_tokens for completion in completions),
        "seconds": round(sum(completion.seconds for completion in completions), 4),
    }


def digest(question: Question) -> str:
    """Tells whether a question is still the same: its texts, images and ground truth."""
    found = hashlib.sha256(repr((question.ground_truth, question.choices, question.tolerance)).encode())
    for message in question.messages:
        for part in message["content"]:
            found.update(f"\x1f{message['role']}\x1f{part['type']}\x1f".encode())
            found.update(part["text"].encode("utf-8", "replace") if "text" in part else _image_bytes(part["image"]))
    return found.hexdigest()[:16]


def _image_bytes(image: Any) -> bytes:
    if isinstance(image, str):  # the same picture in another folder is the same question
        return hashlib.sha256(Path(image).read_bytes()).digest()
    return image if isinstance(image, bytes) else image.tobytes()
