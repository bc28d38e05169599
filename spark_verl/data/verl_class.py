"""Sampled rows through verl's own dataset class, and what the model's processor makes of them.

The class (or the one that ``data.custom_cls`` names) reads the rows from files of their own, builds the messages and
decodes the images, as the data loader and the agent loops of the run will.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets.config as places
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.utils import disable_progress_bars, enable_progress_bars, is_progress_bar_enabled
from omegaconf import DictConfig

_NO_PROCESSOR = object()
"""verl asks whether there is a processor before it touches images."""


class VerlRows:
    """Rows as verl's dataset class gives them.

    Args:
        table: The rows, with the schema of their file.
        data: The ``data`` block of the config.
        model: Has ``tokenizer`` and ``processor`` as verl's trainer loads them; None when the model is not at hand.

    Raises:
        Exception: Whatever the class raises.
    """

    def __init__(self, table: pa.Table, data: DictConfig, model: Any = None) -> None:
        from verl.utils.dataset.rl_dataset import get_dataset_class

        self._tokenizer = model and model.tokenizer
        self._processor = model and model.processor
        # Nothing may be filtered: row i is to be row i.
        data = DictConfig({**data, "filter_overlong_prompts": False, "use_shm": False})
        with _quiet(), tempfile.TemporaryDirectory() as folder, _cache_in(folder):
            file = f"{folder}/rows.parquet"
            pq.write_table(table, file)
            self._class = get_dataset_class(data)
            self._rows = self._class(
                [file], self._tokenizer, data, self._processor if model else _NO_PROCESSOR, max_samples=-1
            )
        self._data = data

    def messages(self, index: int) -> list[dict[str, Any]]:
        """The chat messages of a row, images inside, as an agent loop gets them."""
        return self._rows[index]["raw_prompt"]

    def media(self, messages: list[dict[str, Any]]) -> tuple[Any, ...]:
        """Images, videos and sounds in messages, decoded and resized; None for a kind that is not there."""
        processor = getattr(self._processor, "image_processor", None)
        read = getattr(self._class, "process_multi_modal_info", None) or self._class.process_vision_info
        arguments = {"image_patch_size": getattr(processor, "patch_size", 14), "config": self._data}
        # In a thread: a notebook has a loop of its own.
        with ThreadPoolExecutor(1) as pool:
            found: tuple[Any, ...] = pool.submit(lambda: asyncio.run(read(messages, **arguments))).result()
        return (*found, None)[:3]

    def tokens(self, messages: list[dict[str, Any]], media: tuple[Any, ...]) -> int:
        """Length of a prompt, every image token counted; 0 when the model is not at hand."""
        from verl.utils.tokenizer import build_multimodal_processor_inputs

        if self._tokenizer is None:
            return 0
        options = dict(self._data.get("apply_chat_template_kwargs") or {})
        options["tools"] = getattr(self._rows, "tool_schemas", None)
        text = (self._processor or self._tokenizer).apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, **options
        )
        if self._processor is None:
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])
        images, videos, sounds = media
        options = dict(self._data.get("mm_processor_kwargs") or {})
        made = build_multimodal_processor_inputs(
            self._processor, text=[text], images=images, videos=videos, audio=sounds, mm_processor_kwargs=options
        )
        return len(made["input_ids"][0])


@contextlib.contextmanager
def _cache_in(folder: str) -> Generator[None]:
    """Let ``datasets`` write there: verl's class names no place, and the user's cache is not for samples."""
    before = places.HF_DATASETS_CACHE
    places.HF_DATASETS_CACHE = Path(folder)
    try:
        yield
    finally:
        places.HF_DATASETS_CACHE = before


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Without verl's notes and the bars of ``datasets``."""
    shown = is_progress_bar_enabled()
    disable_progress_bars()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        if shown:
            enable_progress_bars()
