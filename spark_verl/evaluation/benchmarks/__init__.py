"""Benchmarks: how each is read, asked, scored and summed up.

======================  =================================================================================
``source.py``           rows from a file, a folder or the hub
``multiple_choice.py``  options, and which of them an answer or a truth names
``benchmark.py``        :class:`Benchmark`: what every benchmark is; plain figures
``columns.py``          one row, one question: a table of columns says how to read them
``visual_math.py``      MathVista, MathVision, MathVerse, LogicVista, MMK12, the SPARK paper's combined files
``text_math.py``        GSM8K, MATH-500, AIME 2024 and 2025, AMC 2023, MMLU's STEM subjects
``step_groups.py``      We-Math (steps of a problem), DynaMath (variants of a question)
``reward_pairs.py``     VL-RewardBench, Multimodal RewardBench
``rewardbench2.py``     RewardBench 2 with its Ties subset
``prepared_data.py``    any parquet file in verl's schema, the digits task's among them
======================  =================================================================================

Read in this order. A new benchmark is a class in one of these files, or in a file of its own that is imported below.

Example:
    >>> benchmark = load("gsm8k", local_path="gsm8k/test.parquet", limit=100)      # doctest: +SKIP
    >>> scored = [(q, await benchmark.score(q, ask(q.messages))) for q in benchmark.questions]
    >>> benchmark.aggregate(scored)[benchmark.headline]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# Importing them registers their benchmarks.
from spark_verl.evaluation.benchmarks import (  # noqa: F401
    prepared_data,
    reward_pairs,
    rewardbench2,
    step_groups,
    text_math,
    visual_math,
)
from spark_verl.evaluation.benchmarks.benchmark import REGISTRY, Benchmark
from spark_verl.evaluation.benchmarks.source import read

__all__ = ["REGISTRY", "Benchmark", "load", "names"]


def names() -> list[str]:
    """The names that :func:`load` knows, in alphabetical order."""
    return sorted(REGISTRY)


def load(
    name: str,
    local_path: str | Path | None = None,
    limit: int | None = None,
    images: Sequence[str | Path] = (),
) -> Benchmark:
    """Open a benchmark.

    Args:
        name: One of :func:`names`.
        local_path: A parquet, JSON or JSONL file, or a folder, in the benchmark's own schema; see
            :func:`spark_verl.evaluation.benchmarks.source.read`. None reads the hub.
        limit: At most that many questions, in the order of the data; a group of questions is not cut.
        images: Folders, zip or tar archives with images that are not where the rows expect them.

    Raises:
        ValueError: The name is unknown, a column is missing, or the folder has no such split.
        FileNotFoundError: ``local_path`` does not exist.
        OSError: The hub cannot be read.
    """
    if name not in REGISTRY:
        raise ValueError(f"unknown benchmark {name!r}: choose from {names()}")
    benchmark = REGISTRY[name]
    return benchmark(read(benchmark.source, local_path, images), limit)
