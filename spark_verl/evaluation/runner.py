"""Runs strategies over benchmarks: many questions at a time, one line of results for each question and strategy."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openai
from tqdm import tqdm

from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.question import Question
from spark_verl.evaluation.results import ResultsError, ResultsFile
from spark_verl.evaluation.session import Context, Session
from spark_verl.evaluation.strategies import Strategy

logger = logging.getLogger(__name__)

Todo = dict[tuple[str, str], list[Strategy]]
"""By label and question: the strategies under which it has to be answered."""


def left_to_do(
    benchmarks: Mapping[str, Benchmark], strategies: Sequence[Strategy], results: ResultsFile
) -> tuple[Todo, int]:
    """What is left to do, and how many answers there are.

    Reads all questions once, which also finds what is wrong in them. A question that is itself about judging is not
    judged once more.

    Args:
        benchmarks: By label, which is what the results call them.
        strategies: In the order in which a question is asked.
        results: What has been done.

    Raises:
        ResultsError: A question has changed since the results were begun, two questions have the same id, or a
            benchmark has no questions or no ground truths.
    """
    todo: Todo = {}
    resumed = 0
    for label, benchmark in benchmarks.items():
        seen: dict[str, bool] = {}
        for question in benchmark.questions:
            if question.id in seen:
                raise ResultsError(f"{label}: two questions have the id {question.id!r}")
            seen[question.id] = question.has_truth
            found, judged = digest(question), benchmark.can_be_judged(question)
            wanted = [strategy for strategy in strategies if judged or not strategy.needs_judge]
            new = [strategy for strategy in wanted if not results.done((label, question.id, strategy.name), found)]
            resumed += len(wanted) - len(new)
            if new:
                todo[label, question.id] = new
        if not any(seen.values()):
            raise ResultsError(f"{label} has no questions" + " with a ground truth" * bool(seen))
        if missing := [key for key, has_truth in seen.items() if not has_truth]:
            logger.warning(
                "%s: %d of %d questions have no ground truth and count as neither right nor wrong, the first is %s",
                *(label, len(missing), len(seen), missing[0]),
            )
    return todo, resumed


async def run(
    benchmarks: Mapping[str, Benchmark],
    todo: Todo,
    context: Context,
    results: ResultsFile,
    concurrency: int,
    progress: bool,
) -> int:
    """Answer every question under every strategy that has not answered it yet.

    Args:
        benchmarks: By label.
        todo: See :func:`left_to_do`.
        context: The client and everything else that is the same for all questions.
        results: Where lines go to.
        concurrency: Questions at a time.
        progress: Show a progress bar.

    Returns:
        How many answers failed; they are tried again at the next start.

    Raises:
        ServerGoneError: The server does not answer any more.
    """
    failed = 0
    # One iterator for all workers: a question and its images are read when a worker is free, not before.
    jobs = (
        (label, benchmark, question)
        for label, benchmark in benchmarks.items()
        for question in benchmark.questions
        if (label, question.id) in todo
    )
    bar = tqdm(total=sum(map(len, todo.values())), unit="answer", disable=None if progress else True)

    async def work() -> None:
        nonlocal failed
        for label, benchmark, question in jobs:
            shared = {}
            for strategy in todo[label, question.id]:
                record = await _answer(label, Session(context, benchmark, question, shared), strategy)
                failed += record["error"] is not None
                results.write(record)
                bar.update()
                bar.set_postfix(failed=failed, refresh=False)

    workers = [asyncio.ensure_future(work()) for _ in range(min(concurrency, len(todo)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        bar.close()
    return failed


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
    names = {"benchmark": label, "id": question.id, "strategy": strategy.name}
    return {**names, "digest": digest(question), "error": error, "final": final, **session.record()}


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
