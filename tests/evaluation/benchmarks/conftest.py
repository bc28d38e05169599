"""A few rows of every benchmark, made up, in its true schema; written as its files are."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from spark_verl.evaluation.benchmarks import load
from spark_verl.evaluation.question import Question
from spark_verl.reward import Verdict

Rows = list[dict[str, Any]]


def png(shade: int = 128) -> bytes:
    """A small picture, different for every shade."""
    buffer = io.BytesIO()
    Image.new("L", (4, 3), shade).save(buffer, format="PNG")
    return buffer.getvalue()


def image(shade: int = 128) -> dict[str, Any]:
    """As parquet holds a picture."""
    return {"bytes": png(shade), "path": None}


def mathvista_row(pid: str, **changes: Any) -> dict[str, Any]:
    metadata = {
        "category": "math-targeted-vqa",
        "context": "geometry diagram",
        "grade": "high school",
        "img_height": 3,
        "img_width": 4,
        "language": "english",
        "skills": ["geometry reasoning", "arithmetic reasoning"],
        "source": "GEOS",
        "split": "testmini",
        "task": "geometry problem solving",
    }
    row = {
        "pid": pid,
        "question": "How long is the side?",
        "image": f"images/{pid}.jpg",
        "decoded_image": image(),
        "choices": None,
        "unit": None,
        "precision": None,
        "answer": "4",
        "question_type": "free_form",
        "answer_type": "integer",
        "metadata": metadata,
        "query": "Hint: ..",
    }
    return row | changes


def mathverse_row(number: int, version: str, **changes: Any) -> dict[str, Any]:
    question = "DE is parallel to BC. How large is angle CED?\nChoices:\nA:40°\nB:60°\nC:120°\nD:140°"
    row = {
        "sample_index": str(number),
        "problem_index": str((number + 4) // 5),
        "problem_version": version,
        "question": question,
        "image": image(number),
        "answer": "D",
        "question_type": "multi-choice",
        "metadata": {"split": "testmini", "source": "GeoQA", "subject": "Plane Geometry", "subfield": "Angle"},
        "query_wo": "..",
        "query_cot": "..",
        "question_for_eval": question,
    }
    return row | changes


def wemath_row(problem: str, key: str, answer: str = "C") -> dict[str, Any]:
    return {
        "ID": problem,
        "split": "testmini",
        "knowledge concept": "Area of Circles",
        "question": f"What is asked in {key} of {problem}?",
        "option": "A. 300, 400;B. 400, 300; C. 3000, 4000;D. 4000, 3000; E. No correct answer",
        "answer": answer,
        "image_path": image(),
        "key": key,
        "question number": 1,
        "knowledge concept description": "..",
    }


def dynamath_row(seed: str, **changes: Any) -> dict[str, Any]:
    row = {
        "id": seed,
        "question": "What is the period of this function?",
        "image": f"image/image{seed}.png",
        "decoded_image": image(),
        "ground_truth": "2.0944",
        "answer_type": "float",
        "subject": "analytic geometry",
        "knowledge_level": "high school",
    }
    return row | changes


def vl_rewardbench_row(row_id: str, ranking: list[int]) -> dict[str, Any]:
    return {
        "id": row_id,
        "query": "<image>\nWhat colour is the car?",
        "response": ["It is red.", "It is blue, and a dog sits in it."],
        "image": image(),
        "human_ranking": ranking,
        "models": ["a", "b"],
        "judge": "human",
        "rationale": "..",
        "query_source": "..",
        "ground_truth": "",
    }


def rewardbench2_row(row_id: str, subset: str, right: int = 1, wrong: int = 3) -> dict[str, Any]:
    return {
        "id": row_id,
        "prompt": "Name a colour of the rainbow.",
        "chosen": [f"right {i} of {row_id}" for i in range(right)],
        "rejected": [f"wrong {i} of {row_id}" for i in range(wrong)],
        "num_correct": right,
        "num_incorrect": wrong,
        "total_completions": right + wrong,
        "models": ["m"] * (right + wrong),
        "subset": subset,
        "additional_metadata": {"category": None, "valid": 1.0},
    }


def multimodal_row(row_id: str, category: str, better: str) -> dict[str, Any]:
    return {
        "ID": row_id,
        "Category": category,
        "Text": "Describe the picture.",
        "Image": image(),
        "Output1": "A grey square.",
        "Output2": "A grey circle.",
        "Better": better,
    }


def verl_row(source: str, truth: str, **changes: Any) -> dict[str, Any]:
    row = {
        "data_source": source,
        "prompt": [{"role": "user", "content": "<image>Which digit is larger?"}],
        "images": [image()],
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"index": 0, "kind": "larger", "label_form": ""},
    }
    return row | changes


MATH_VISION = [
    {
        "id": "6",
        "question": "Which kitten is Misty's?\n<image1>",
        "options": ["I", "II", "III", "IV", "none of them"],
        "image": "images/6.jpg",
        "decoded_image": image(6),
        "answer": "A",
        "solution": None,
        "level": 3,
        "subject": "logic",
    },
    {
        "id": "5",
        "question": "Which number belongs on the last daisy?\n<image1>",
        "options": [],
        "image": "images/5.jpg",
        "decoded_image": image(5),
        "answer": "61",
        "solution": None,
        "level": 2,
        "subject": "arithmetic",
    },
]
MATH_VERSE = [
    mathverse_row(1, "Text Dominant"),
    mathverse_row(2, "Vision Only", question=""),
    mathverse_row(3, "Text Lite", question="AB = 3. How long is CD?", answer="7.5", question_type="free-form"),
]
AIME = [{"id": 60, "problem": "Find m+n.", "solution": "..", "answer": "033", "url": "..", "year": "2024"}]
RIVER = {"question": "How far is it?", "answer": "It is 6 * 3 = <<6*3=18>>18 miles.\n#### 18"}

SAMPLES: dict[str, Rows] = {
    "mathvista": [
        mathvista_row("1", answer="1.2", answer_type="float", precision=1.0, unit="cm"),
        mathvista_row("2", question_type="multi_choice", answer_type="text", choices=["no", "yes"], answer="yes"),
        mathvista_row("3"),
    ],
    "mathvision": MATH_VISION,
    "mathvision_testmini": MATH_VISION,
    "mathverse": MATH_VERSE,
    "mathverse_vision_only": MATH_VERSE,
    "mathverse_text_only": [mathverse_row(1, "Text Only", image=None)],
    "logicvista": [
        {
            "id": "v1_1",
            "question": "Which pictures (A-D) belong to the green class?",
            "answer": "A, C",
            "reasoning": "..",
            "skill": ["inductive"],
            "broad_capability": ["diagram"],
            "specific_capability": ["rule based pattern"],
            "imagesource": "..",
            "sourcelink": "..",
            "liscenced": "false",
            "image": image(),
        }
    ],
    "mmk12": [
        {
            "id": "006d89e1",
            "question": "What is the mass?\nA. $$10.5$$\nB. 2.3\nC. 5\nD. 7",
            "answer": "A",
            "subject": "physics",
            "image": image(),
        }
    ],
    "wemath": [
        wemath_row(problem, key)
        for key in ("2steps_1", "2steps_2", "2steps_multi")
        for problem in ("2steps_1", "2steps_2")
    ],
    "dynamath": [
        dynamath_row("1"),
        dynamath_row("2", question="Even? choice: (A) even (B) odd", ground_truth="B", answer_type="multiple choice"),
        dynamath_row("1", ground_truth="0"),
    ],
    "gsm8k": [RIVER],
    "math500": [
        {
            "problem": "Simplify.",
            "solution": "..",
            "answer": "\\frac{1}{2}",
            "subject": "Algebra",
            "level": 2,
            "unique_id": "test/algebra/1.json",
        }
    ],
    "aime24": AIME,
    "aime25": [{"problem": "Find the sum of the bases.", "answer": "70", "id": "0"}],
    "amc23": [{"id": 0, "question": "At what hour do they meet?", "answer": "27.0", "url": ".."}],
    "mmlu_stem": [
        {"question": "Q1?", "subject": "astronomy", "choices": ["w", "x", "y", "z"], "answer": 2},
        {"question": "Q2?", "subject": "virology", "choices": ["w", "x", "y", "z"], "answer": 0},
    ],
    "spark_data": [
        {"dataset": "MathVista", "problem": "<image>How many?", "answer": "4", "image_path": None},
        {"dataset": "GSM8K", "problem": "How far?", "answer": "18", "image_path": None},
    ],
    "vl_rewardbench": [vl_rewardbench_row("RLAIF-V-1", [0, 1]), vl_rewardbench_row("mathverse_7", [1, 0])],
    "multimodal_rewardbench": [multimodal_row("nocaps_1", "open_generation/correctness_task", "Output2")],
    "rewardbench2": [
        rewardbench2_row("tied:7", "Ties", 2, 2),
        rewardbench2_row("12", "Factuality"),
        rewardbench2_row("ref:7", "Ties", 1, 1),
    ],
    "verl": [verl_row("spark_digits", "9")],
    "digits": [verl_row("spark_digits", "9")],
    "digits_judge": [verl_row("spark/pointwise", "Yes"), verl_row("spark/reflection", "7")],
}

IMAGE_COLUMNS = {"decoded_image", "image_path", "image", "Image"}


def write_parquet(rows: Rows, path: Path) -> Path:
    """Write rows as the hub does: pictures as ``datasets.Image``."""
    table = datasets.Dataset.from_list(rows)
    for name in IMAGE_COLUMNS & set(table.column_names):
        if any(isinstance(row[name], dict) for row in rows):
            table = table.cast_column(name, datasets.Image())
    table.to_parquet(path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left in the user's cache of data sets, and nothing is found there."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="session")
def samples() -> dict[str, Rows]:
    """Rows by benchmark."""
    return SAMPLES


@pytest.fixture
def make(tmp_path: Path) -> Callable:
    """``make(name, rows=None, limit=None)``: the benchmark on a parquet file of the rows."""

    def make(name: str, rows: Rows | None = None, limit: int | None = None):
        return load(name, write_parquet(rows or SAMPLES[name], tmp_path / "rows.parquet"), limit)

    return make


@pytest.fixture
def scored() -> Callable:
    """``scored(benchmark, responses)``: what ``aggregate`` takes, for one response per question in their order."""

    def scored(benchmark, responses: Iterable[str]) -> list[tuple[Question, Verdict]]:
        async def run() -> list:
            pairs = zip(benchmark.questions, responses, strict=True)
            return [(question, await benchmark.score(question, text)) for question, text in pairs]

        return asyncio.run(run())

    return scored


@pytest.fixture
def text_of() -> Callable[[Question], str]:
    """All text of a question."""
    return lambda q: "\n".join(p["text"] for m in q.messages for p in m["content"] if p["type"] == "text")


@pytest.fixture
def images_in() -> Callable[[Question], list]:
    """All images of a question."""
    return lambda q: [p["image"] for m in q.messages for p in m["content"] if p["type"] == "image"]
