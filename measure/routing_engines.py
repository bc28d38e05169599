"""The half of ``routing.py`` that runs two replicas of vLLM on this machine, with verl's router and with ours."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
import threading
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from statistics import mean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from runs import run
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.utils.tokenizer import get_processor_token_id

from spark_verl.rollout import routing
from spark_verl.rollout.sharing import SharedSingleTurnLoop

COLUMNS = ("engines", "found", "prefix", "busiest", "step")

RECORD = "SPARK_BENCH_ROUTING"
"""Environment variable: the file that :class:`RecordingLoop` writes to."""

BLOCK = 32
"""Tokens of a block of vLLM's prefix cache: its CPU backend wants multiples of 32."""

STEPS, PROMPTS, ENLARGE = 2, 16, 4

_engine: ContextVar[str] = ContextVar("engine")


class RecordingClient(routing.GroupClient):
    """Remembers, for the running task, which engine it was given."""

    async def _acquire_server(self, request_id: str, **extra: Any) -> tuple[str, Any]:
        name, engine = await super()._acquire_server(request_id, **extra)
        _engine.set(name)
        return name, engine


class RecordingLoop(SharedSingleTurnLoop):
    """Notes where each sample went, and what vLLM found in its prefix cache."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.server_manager.__class__ = RecordingClient

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """As the loop's own."""
        output = await super().run(sampling_params, **kwargs)
        image = get_processor_token_id(self.processor, "image")
        line = {
            "step": int(kwargs["global_steps"]),
            "group": routing.group(),
            "role": (kwargs.get("extra_info") or {}).get("role", "policy"),
            "engine": _engine.get(),
            "tokens": len(output.response_ids),
            "image_end": max(i for i, token in enumerate(output.prompt_ids) if token == image) + 1,
            "cached": output.extra_fields.get("num_cached_tokens") or 0,
        }
        with open(os.environ[RECORD], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return output


def enlarge(source: Path, target: Path) -> None:
    """Rows with the same images, each side ``ENLARGE`` times as long."""
    table = pq.read_table(source)
    rows = table.to_pylist()
    for row in rows:
        for cell in row["images"]:
            image = Image.open(io.BytesIO(cell["bytes"]))
            buffer = io.BytesIO()
            image.resize((image.width * ENLARGE, image.height * ENLARGE)).save(buffer, "PNG")
            cell["bytes"] = buffer.getvalue()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), target)


def watch(record: Path, ended: threading.Event, counters: dict[str, dict[str, float]]) -> None:
    """Read the engines' own counters, as long as they answer: the last ones are those of the whole run."""
    while not ended.wait(1.0):
        engines = {json.loads(line)["engine"] for line in record.read_text().splitlines()} if record.exists() else ()
        for engine in engines:
            with contextlib.suppress(OSError):
                text = urllib.request.urlopen(f"http://{engine}/metrics", timeout=5).read().decode()
                found = re.findall(r"^vllm:(\w+_cache_(?:queries|hits))_total\{[^}]*\} (\S+)", text, re.MULTILINE)
                counters[engine] = {name: float(value) for name, value in found}


def figures(lines: list[dict[str, Any]]) -> dict[str, float]:
    """The columns of the table from what :class:`RecordingLoop` noted, in the order in which samples ended."""
    homes: dict[str, set[str]] = defaultdict(set)
    seen: dict[str, set[str]] = defaultdict(set)
    tokens: dict[int, Counter[str]] = defaultdict(Counter)
    for line in lines:
        homes[line["group"]].add(line["engine"])
        tokens[line["step"]][line["engine"]] += line["tokens"]
        if line["role"] == "policy":
            seen[line["group"]].add(line["engine"])
    judge = [line for line in lines if line["role"] == "judge"]
    engines = {line["engine"] for line in lines}
    return {
        "engines": mean(map(len, homes.values())),
        "found": mean(line["engine"] in seen[line["group"]] for line in judge),
        "prefix": mean(line["cached"] >= line["image_end"] // BLOCK * BLOCK for line in judge),
        "busiest": mean(max(step.values()) / (sum(step.values()) / len(engines)) for step in tokens.values()),
    }


def show(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table."""
    print(f"{'':<30}" + "".join(f"{column:>10}" for column in COLUMNS))
    for name, row in rows.items():
        cells = (f"{row[column]:>10.3f}" if column in row else f"{'':>10}" for column in COLUMNS)
        print(f"{name:<30}" + "".join(cells), flush=True)


def two_engines(data: Path, model: Path, repeats: int) -> dict[str, Any]:
    """Print and return the table of real runs."""
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("train", "test"):
            enlarge(data / f"{part}.parquet", folder / f"{part}.parquet")
        (folder / "loops.yaml").write_text(
            "- name: recording\n  _target_: routing_engines.RecordingLoop\n", encoding="utf-8"
        )
        overrides = [
            *("trainer.n_gpus_per_node=2", f"data.train_batch_size={PROMPTS}", "data.val_files=${data.train_files}"),
            f"actor_rollout_ref.actor.ppo_mini_batch_size={PROMPTS}",
            *("data.max_prompt_length=448", "actor_rollout_ref.rollout.max_model_len=512"),
            f"actor_rollout_ref.rollout.agent.agent_loop_config_path={folder}/loops.yaml",
            "actor_rollout_ref.rollout.agent.default_agent_loop=recording",
            "actor_rollout_ref.rollout.disable_log_stats=false",
            f"+actor_rollout_ref.rollout.engine_kwargs.vllm.block_size={BLOCK}",
            "actor_rollout_ref.actor.optim.lr=0",
        ]
        for repeat in range(repeats):
            for title, route in (("verl", "false"), ("route_groups", "true")):
                record, ended, counters = folder / f"{title}-{repeat}.jsonl", threading.Event(), {}
                os.environ[RECORD] = str(record)
                watcher = threading.Thread(target=watch, args=(record, ended, counters))
                watcher.start()
                try:
                    steps = run([*overrides, f"spark.route_groups={route}"], folder, model, STEPS, skip=1)
                finally:
                    ended.set()
                    watcher.join()
                lines = [json.loads(line) for line in record.read_text().splitlines()]
                rows[f"{title}, run {repeat + 1}"] = figures([line for line in lines if line["step"] > 1]) | {
                    "step": mean(step["timing_s/gen"] for step in steps),
                    "counters": counters,
                }
    show(rows)
    for name, row in rows.items():
        total = sum((Counter(engine) for engine in row["counters"].values()), Counter())
        kinds = [kind for kind in ("prefix_cache", "mm_cache") if total[f"{kind}_queries"]]
        shares = (f"{kind} {total[f'{kind}_hits'] / total[f'{kind}_queries']:.3f}" for kind in kinds)
        print(f"{name}: vLLM's own hit rates: {', '.join(shares)}")
    return rows
