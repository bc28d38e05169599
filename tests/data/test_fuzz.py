"""Whatever a file holds, the check and the programs say it in lines: no traceback, no long value.

``SPARK_FUZZ_EXAMPLES=20000`` makes a night of it.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from user_rows import encoded, message, picture, row, text_row

from spark_verl.data import check
from spark_verl.data.check import check_data, check_file

EXAMPLES = int(os.environ.get("SPARK_FUZZ_EXAMPLES", "12"))
fuzz = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))

PNG = picture()
IMAGES = [
    PNG,
    PNG[:40],
    encoded(Image.new("LA", (9, 9))),
    encoded(Image.new("I;16", (9, 9), 4000)),
    encoded(Image.new("RGB", (300, 1))),
    encoded(Image.new("P", (9, 9)), "GIF"),
]
TEXTS = [
    "<image>",
    "<video>",
    "<|image_pad|>",
    "nan",
    "['3']",
    r"\boxed{}",
    r"\boxed{3}",
    "user",
    "\u2028",
    "\ud800",
    "\0",
    "/",
    "file://",
    "data:image/png;base64," + base64.b64encode(PNG).decode(),
    base64.b64encode(PNG).decode(),
    "data:,",
    "http://[",
    "[" * 2000,
    "9" * 5000,
    "x" * 5000,
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.sampled_from(TEXTS)
    | st.text(max_size=12)
    | st.sampled_from(IMAGES)
    | st.binary(max_size=12)
)
NAMES = st.sampled_from(
    "role content type text image image_url bytes path ground_truth index video resized_height".split()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
PARTS = [
    {"type": "image", "image": "data:image/png;base64," + base64.b64encode(PNG).decode()},
    {"type": "text", "text": "?"},
]
GOOD = [
    row(),
    text_row(),
    row(prompt=message("<image><image>?"), images=[{"bytes": each, "path": None} for each in IMAGES[:2]]),
    row(prompt=message(PARTS), images=[]),
    row(images=[PARTS[0]["image"]]),
    row(images=[{"bytes": IMAGES[2], "path": "a.png"}], reward_model={"ground_truth": ["7", None]}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something can be put in a nested value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(value[key], (*path, key))


@st.composite
def hostile_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A good row with up to three of its values replaced, removed, or wrapped in a list."""
    made = copy.deepcopy(draw(st.sampled_from(GOOD)))
    for _ in range(draw(st.integers(0, 3))):
        if not (path := draw(st.sampled_from([*places(made), ()]))):
            continue
        inside = made
        for key in path[:-1]:
            inside = inside[key]
        change = draw(st.sampled_from(["replace", "remove", "wrap"]))
        if change == "remove":
            del inside[path[-1]]
        else:
            inside[path[-1]] = [inside[path[-1]]] if change == "wrap" else draw(VALUES)
    return made


def is_said_in_lines(error: Exception, path: Path) -> None:
    for line in str(error).splitlines():
        assert line.startswith((str(path), "data.")) and len(line) < 700, line


@fuzz
@given(found=st.lists(hostile_rows(), min_size=1, max_size=3), unlabelled=st.booleans(), as_json=st.booleans())
def test_hostile_rows_before_a_run(found, unlabelled, as_json, processor) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(check, "_load_model", lambda config: _Model(processor))
        path = Path(folder) / ("train.jsonl" if as_json else "train.parquet")
        try:
            if as_json:
                path.write_text("\n".join(map(json.dumps, found)))
            else:
                pq.write_table(pa.Table.from_pylist(found), path)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            return  # no file can hold this
        for look in (lambda: check_file(path), lambda: check_data(_config(path), -1, unlabelled)):
            try:
                look()
            except ValueError as error:
                is_said_in_lines(error, path)


class _Model:
    def __init__(self, processor: Any) -> None:
        self.processor, self.tokenizer = processor, processor.tokenizer


def _config(path: Path) -> Any:
    from omegaconf import OmegaConf

    data = {f"{kind}_key": f"{kind}s" for kind in ("image", "video", "audio")}
    data |= {"prompt_key": "prompt", "train_files": str(path), "val_files": str(path), "train_batch_size": 1}
    return OmegaConf.create({"data": data | {"max_prompt_length": 4096, "filter_overlong_prompts": False}})


@fuzz
@given(
    content=st.binary(max_size=300),
    suffix=st.sampled_from([".parquet", ".json", ".jsonl"]),
    place=st.integers(0, 3000),
)
def test_hostile_files_before_a_run(content, suffix, place) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"train{suffix}"
        pq.write_table(pa.Table.from_pylist([row()] * 2), path)
        good = path.read_bytes() if suffix == ".parquet" else json.dumps([text_row()] * 2).encode()
        # Of a parquet file the end or all is missing: on damaged pages Arrow ends the process.
        kept = b"" if suffix == ".parquet" else good[place + len(content) :]
        path.write_bytes(good[:place] + content + kept)
        try:
            check_file(path)
        except ValueError as error:
            is_said_in_lines(error, path)


NAMED = st.dictionaries(
    st.sampled_from("question problem answer image images message solution prompt".split()), VALUES, min_size=2
)


@fuzz
@given(
    name=st.sampled_from(["geo3k", "mmk12", "spark_data", "text_math", "virl39k"]),
    records=st.lists(hostile_rows() | NAMED, max_size=4),
    start=st.sampled_from([b"", b"\xef\xbb\xbf", b"\xff\xfe", b"[", b"\x00"]),
    as_list=st.booleans(),
)
def test_hostile_sources_of_a_program(name, records, start, as_list, program) -> None:
    good = {
        "question": "<image>?",
        "problem": "<image>?",
        "answer": "3",
        "image": PARTS[0]["image"],
        "images": [PARTS[0]["image"]],
    }
    good |= {"message": json.dumps(message("1+1?")), "image_path": None}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "train.jsonl"
        kept = [good, *(record for record in records if _is_json(record))]
        text = json.dumps(kept) if as_list else "\n".join(map(json.dumps, kept))
        source.write_bytes(start + text.encode())
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = program(name).main(["--local_dataset_path", str(source), "--local_save_dir", f"{folder}/out"])
        assert code in (0, 2) and all(len(line) < 800 for line in printed.getvalue().splitlines())
        if code == 0:
            assert check_file(f"{folder}/out/train.parquet", rows=-1).rows > 0


def _is_json(record: Any) -> bool:
    try:
        json.dumps(record)
    except (TypeError, ValueError):
        return False
    return True
