"""The digits task as parquet files in verl's schema: training and test questions, and a judge validation set.

``judge_test`` is made of ordinary validation rows, so verl's own ``val-core/spark/pointwise/acc/mean@1`` and its
siblings draw the judge's curve in any run, with or without SPARK. It is held out (test digits only), fixed by its
seed, and balanced: for every kind of question, source and habit of the candidate there are as many right as wrong
candidates, and as many right ones in first as in second place. So neither a candidate's style nor its place helps.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import datasets

from spark_verl.data.sample import NUMBER, TEXT, features
from spark_verl.digits.attempts import HABITS, Attempt, draw_attempt
from spark_verl.digits.demonstrations import FORMS, TEMPLATES, ground_truth, judge_prompt
from spark_verl.digits.questions import KINDS, Question, draw_question
from spark_verl.judge.templates import TemplateSet
from spark_verl.vocabulary import HIDDEN_TRUTH, Objective, Source

DATA_SOURCE = "spark_digits"

_JUDGE_COLUMNS = ("objective", "label_form", "source", "habit")
"""Empty strings in policy rows, so that all files can be concatenated."""

FEATURES = features(kind=TEXT, tiles=datasets.List(NUMBER), **dict.fromkeys(("role", *_JUDGE_COLUMNS), TEXT))
"""Columns of every file."""


def make_row(
    question: Question, split: str, index: int, prompt: str, data_source: str, ground_truth: str | None, **extra: str
) -> dict[str, Any]:
    """One row of any file, matching :data:`FEATURES`."""
    about = {"split": split, "index": index, "kind": question.kind, "tiles": list(question.tiles)}
    return {
        "data_source": data_source,
        "prompt": [{"role": "user", "content": prompt}],
        "images": [{"bytes": png, "path": None} for png in question.png()],
        "ability": "digits",
        "reward_model": {"style": "rule", "ground_truth": ground_truth},
        "extra_info": {"role": "policy", HIDDEN_TRUTH: None, **dict.fromkeys(_JUDGE_COLUMNS, ""), **extra, **about},
    }


def policy_rows(split: str, size: int, seed: int, labelled: bool = True) -> list[dict[str, Any]]:
    """Questions of a split, every kind equally often (up to one).

    Without labels the truth is hidden from training; metrics still find it (``extra_info.hidden_truth``).
    """
    rng = Random(f"{split} {seed}" if labelled else f"{split} {seed} unlabelled")
    kinds = tuple(KINDS)
    questions = [draw_question(rng, split, kinds[i % len(kinds)]) for i in range(size)]
    rng.shuffle(questions)
    if labelled:
        return [make_row(q, split, i, q.prompt, DATA_SOURCE, q.answer) for i, q in enumerate(questions)]
    return [
        make_row(q, split, i, q.prompt, DATA_SOURCE, None, **{HIDDEN_TRUTH: q.answer}) for i, q in enumerate(questions)
    ]


def judge_rows(templates: TemplateSet, seed: int) -> list[dict[str, Any]]:
    """The judge validation set: 200 pointwise, 200 pairwise, 100 reflection and 60 reflection-keep rows.

    Args:
        templates: Judge templates; each objective's are used in turn.
        seed: Fixes questions and candidates.
    """
    rng = Random(f"judge {seed}")
    rows: list[dict[str, Any]] = []

    def add(name: str, objective: Objective, question: Question, source: Source, *candidates: Attempt) -> None:
        prompt = judge_prompt(templates, question, objective, len(rows), source, candidates)
        truth = ground_truth(question, objective, candidates)
        extra = {
            "role": objective.role,
            "objective": objective.value,
            "label_form": FORMS[objective].value,
            "source": source.value,
            "habit": "/".join(candidate.habit for candidate in candidates),
        }
        rows.append(make_row(question, "test", len(rows), prompt, f"spark/{name}", truth, **extra))

    def add_single(name: str, objective: Objective, verdicts: tuple[bool, ...], times: int) -> None:
        for kind, source, habit, correct, _ in product(KINDS, Source, HABITS, verdicts, range(times)):
            question = draw_question(rng, "test", kind)
            add(name, objective, question, source, draw_attempt(question, habit, correct, rng))

    add_single("pointwise", Objective.POINTWISE, (True, False), 5)
    for kind, source, habit, first_right, i in product(KINDS, Source, HABITS, (True, False), range(5)):
        question = draw_question(rng, "test", kind)
        # ``habit`` is the right candidate's; the wrong one's takes turns, so that habit and place tell nothing.
        other = HABITS[(HABITS.index(habit) + i) % 2] if i < 4 else rng.choice(HABITS)
        pair = [draw_attempt(question, habit, True, rng), draw_attempt(question, other, False, rng)]
        add("pairwise", Objective.PAIRWISE, question, source, *(pair if first_right else reversed(pair)))
    add_single("reflection", Objective.REFLECTION, (False,), 5)
    add_single("reflection_keep", Objective.REFLECTION, (True,), 3)
    return rows


def write_files(
    folder: str | Path, train_size: int, test_size: int, seed: int, unlabelled_size: int = 0
) -> dict[str, Path]:
    """Write train, test and judge_test (and unlabelled) as parquet; and a test question to try, example.png and .txt.

    Args:
        folder: Created when missing.
        train_size: Number of training questions.
        test_size: Number of test questions.
        seed: Fixes every row.
        unlabelled_size: Number of training questions without ground truth, in a file of their own.

    Returns:
        Name of each file to its path.
    """
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "train": policy_rows("train", train_size, seed),
        "test": policy_rows("test", test_size, seed),
        "judge_test": judge_rows(TemplateSet.load(TEMPLATES), seed),
    }
    if unlabelled_size:
        files["unlabelled"] = policy_rows("train", unlabelled_size, seed, labelled=False)
    paths = {}
    for name, rows in files.items():
        paths[name] = folder / f"{name}.parquet"
        datasets.Dataset.from_list(rows, features=FEATURES).to_parquet(paths[name])
    example = next((row for row in files["test"] if len(row["images"]) == 1), None)
    if example:
        (folder / "example.png").write_bytes(example["images"][0]["bytes"])
        text = example["prompt"][0]["content"].removeprefix("<image>")
        (folder / "example.txt").write_text(text + "\n", encoding="utf-8")
    return paths
