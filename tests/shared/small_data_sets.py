"""Small data sets in the true schemas of the public ones.

Each function writes one into a folder and returns the options that its program in ``data_preprocess/`` needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets

IMAGES = datasets.List(datasets.Image())
TEXT = datasets.Value("string")
Picture = Callable[..., bytes]
"""Encoded images by a number."""


def store(path: Path, records: list[dict], features: dict | None = None) -> None:
    """Write records as a parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_list(records, features=features and datasets.Features(features)).to_parquet(path)


def write_geo3k(folder: Path, picture: Picture) -> list[str]:
    """hiyouga/geometry3k: images in the file; one question with two of them."""
    features = {"images": IMAGES, "problem": TEXT, "answer": TEXT, "id": datasets.Value("int64")}
    features |= {"choices": datasets.List(TEXT), "ground_truth": TEXT}
    for split in ("train", "test"):
        records = [
            {
                "images": [{"bytes": picture(n * 10 + i), "path": None} for i in range(1 + (n == 1))],
                "problem": "<image>" * (1 + (n == 1)) + f"Find x in figure {n}.",
                "answer": rf"{n} \sqrt {{ 221 }}",
                "id": 2400 + n,
                "choices": ["1", "2", "3", "4"],
                "ground_truth": "B",
            }
            for n in range(1, 5)
        ]
        store(folder / "data" / f"{split}-00000-of-00001.parquet", records, features)
    return []


def write_mmk12(folder: Path, picture: Picture) -> list[str]:
    """FanqingM/MMK12: values in training questions, letters in test questions."""
    features = {"id": TEXT, "question": TEXT, "answer": TEXT, "subject": TEXT, "image": datasets.Image()}
    for split, question, answer in (
        ("train", "<image>What is the slope?", r"$\frac{1}{2}$"),
        ("test", "Which gas is it? <image>\nA. oxygen\nB. helium\nC. argon\nD. neon", "C"),
    ):
        records = [
            {
                "id": f"{split}-{n}",
                "question": question,
                "answer": answer,
                "subject": "math",
                "image": {"bytes": picture(n), "path": None},
            }
            for n in range(4)
        ]
        store(folder / "data" / f"{split}-00000-of-00001.parquet", records, features)
    return []


def spark_record(number: int, **changes: Any) -> dict:
    """A record of Spark-Data's training files, as ``Lmm_XC/README.md`` shows it, with the reference's own prompt."""
    parts = [
        {"type": "image", "image": f"/fs/someone/ViRL39K/images/{number}.png", "max_pixels": 1048576},
        {
            "type": "text",
            "text": f"How many cats are in picture {number}? Please first conduct reasoning, and then answer the "
            "question. Repeat the final answer using a '\\boxed{}'.",
        },
    ]
    message = [{"role": "user", "content": parts}]
    return {"message": json.dumps(message), "answer": "$3$"} | changes


def write_spark_data(folder: Path, picture: Picture) -> list[str]:
    """internlm/Spark-Data: JSON lists without images."""
    folder.mkdir()
    (folder / "infer_data_ViRL_19k_h.json").write_text(json.dumps([spark_record(n) for n in range(4)]))
    (folder / "infer_data_ViRL_hard_24k_h.json").write_text(json.dumps([spark_record(n) for n in range(2)]))
    combined = [
        {"dataset": "MathVista", "problem": "Read the clock.", "answer": 7, "image_path": "./mathvista/images/1.png"},
        {"dataset": "MATH", "problem": "What is 1+1?", "answer": "2", "image_path": None},
    ]
    (folder / "benchmark_combine.json").write_text(json.dumps(combined))
    (folder / "benchmark_combine_v2.json").write_text(json.dumps(combined[:1]))
    images = folder.parent / "pictures"
    for path in [*(f"images/{n}.png" for n in range(4)), "mathvista/images/1.png"]:
        (images / path).parent.mkdir(parents=True, exist_ok=True)
        (images / path).write_bytes(picture(len(path)))
    return ["--benchmarks", "--images", str(images)]


def write_virl39k(folder: Path, picture: Picture) -> list[str]:
    """TIGER-Lab/ViRL39K: paths in a parquet file, images in ``images/``, text-only questions."""
    folder.mkdir()
    records = []
    for n in range(8):
        paths = [f"images/Processed-{n}-{i}.png" for i in range(n % 3)]
        for path in paths:
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(picture(n))
        records.append(
            {
                "question": "<image>" * len(paths) + f"What is the angle in degrees? ({n})",
                "answer": r"\boxed{17^\circ}",
                "PassRate_32BTrained": 0.5,
                "PassRate_7BBase": -1.0,
                "category": "(GradeSchool) Geometric",
                "source": "Processed",
                "qid": f"Processed-{n}",
                "image": paths,
            }
        )
    store(folder / "39Krelease.parquet", records)
    return ["--test_size", "2"]


def write_simplerl_zoo(folder: Path, picture: Picture) -> list[str]:
    """hkust-nlp/SimpleRL-Zoo-Data: verl's columns; the prompt is written out in Qwen's chat format."""
    for split in ("train", "test"):
        records = [
            {
                "data_source": "simplerl/math",
                "prompt": [
                    {
                        "role": "user",
                        "content": f"<|im_start|>user\nWhat is {n}+1?\nPlease reason step by step, and put your final "
                        "answer within \\boxed{{}}.<|im_end|>\n<|im_start|>assistant\n",
                    }
                ],
                "ability": "math",
                "reward_model": {"style": "rule", "ground_truth": str(n + 1)},
                "extra_info": {"split": split, "index": n, "question": f"What is {n}+1?", "answer": str(n + 1)},
            }
            for n in range(4)
        ]
        store(folder / "simplelr_qwen_level3to5" / f"{split}.parquet", records)
    return ["--dataset", "simplerl_zoo"]


def write_gsm8k(folder: Path, picture: Picture) -> list[str]:
    """openai/gsm8k."""
    for split in ("train", "test"):
        records = [
            {
                "question": f"Ann has {n} eggs and buys 2. How many?",
                "answer": f"{n} + 2 = <<{n}+2={n + 2}>>\n#### {n + 2}",
            }
            for n in range(4)
        ]
        store(folder / "main" / f"{split}-00000-of-00001.parquet", records)
    return ["--dataset", "gsm8k"]


def write_math(folder: Path, picture: Picture) -> list[str]:
    """DigitalLearningGmbH/MATH-lighteval, here as JSON lines."""
    folder.mkdir()
    for split in ("train", "test"):
        records = [
            {
                "problem": f"Halve {n}.",
                "level": "Level 3",
                "solution": rf"First \boxed{{{n}}}, so $\boxed{{\frac{{{n}}}{{2}}}}$.",
                "type": "Algebra",
            }
            for n in (1, 3, 5)
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, records)))
    return ["--dataset", "math"]


RLVR_ARGUMENTS = (
    *("N", "quantifier", "end_phrase", "keyword_list", "word", "forbidden_words", "letter", "i", "first_word"),
    *("postscript_marker", "options", "section_splitter", "original_prompt", "language"),
)


def rlvr_truth(function: str, **arguments: Any) -> str:
    """A ground truth of allenai/RLVR-IFeval: all functions' arguments, null where they are not its own."""
    return json.dumps({"func_name": function, **dict.fromkeys(RLVR_ARGUMENTS), **arguments})


def write_rlvr_ifeval(folder: Path, picture: Picture) -> list[str]:
    """allenai/RLVR-IFeval: a turn, a function by its name; one record with a function that there is not."""
    truths = [
        rlvr_truth("verify_keyword_frequency", word="tide", N=2),
        rlvr_truth("validate_choice", options="yes/no/maybe"),
        rlvr_truth("validate_lowercase"),
        rlvr_truth("validate_nothing"),
        rlvr_truth("verify_sentence_constraint", N=3, quantifier="at least"),
    ]
    records = [
        {
            "messages": [{"role": "user", "content": f"Write {n} lines. Let's think step by step."}],
            "ground_truth": found,
            "dataset": "ifeval",
            "constraint_type": "Some",
            "constraint": "In your response ...",
        }
        for n, found in enumerate(truths)
    ]
    store(folder / "data" / "train-00000-of-00001.parquet", records)
    return []


def write_ifeval(folder: Path, picture: Picture) -> list[str]:
    """google/IFEval: JSON lines, names and arguments beside each other."""
    records = [
        {
            "key": 1000,
            "prompt": "Write a summary with 3 highlights and no commas.",
            "instruction_id_list": ["punctuation:no_comma", "detectable_format:number_highlighted_sections"],
            "kwargs": [{}, {"num_highlights": 3}],
        },
        {
            "key": 1001,
            "prompt": "Answer in 40 words.",
            "instruction_id_list": ["length_constraints:number_words"],
            "kwargs": [{"relation": "less than", "num_words": 40, "keywords": None}],
        },
    ]
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "ifeval_input_data.jsonl").write_text(text)
    return ["--dataset", "ifeval"]
