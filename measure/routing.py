"""What it brings to keep a group on one engine: ``spark_verl.rollout.routing`` beside verl's router.

    python measure/routing.py                                        a simulation of 2 to 16 engines
    python measure/routing.py --data DIR --model DIR [--json FILE]   two engines of this machine

The simulation drives the real routers through a step of 64 questions, which come from eight agent-loop workers. Half of
the groups get a judge prompt and half a reflection prompt when their last sample has ended; each prompt has 8 samples.
Lengths are log-normal (median 200 tokens, logarithm's standard deviation 0.6, at most 768). An engine takes requests in
one after the other (``--process-ms`` for an image that it has not seen), prefills (``--prefill-ms``) and decodes all it
has at once: a token in ``--decode-ms``, and ``--sequence-ms`` more for each sequence. It keeps all images of a step. A
request whose image it knows costs ``--known-ms`` either way. These times are assumptions about a model of 7B and images
of one megapixel on a GPU.

With ``--data`` and ``--model`` (the folders that the quickstart leaves in ``outputs/quickstart``) two replicas of vLLM
sample two steps of the digits task with either router; its images are enlarged to 128 tokens, so that they fill
blocks of vLLM's prefix cache.

========  ==============================================================================================
engines   on which a group's image was processed, on average
found     share of judge samples that came to an engine which had their image
prefix    the same as vLLM counts it: the tokens up to the image's last full block came from the cache (real runs)
busiest   tokens that the busiest engine sampled, relative to the mean
step      seconds until the last sample has ended
========  ==============================================================================================
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import io
import json
import math
import os
import random
import re
import tempfile
import threading
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import mean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from runs import run
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.utils.tokenizer import get_processor_token_id
from verl.workers.rollout.router import GlobalRequestLoadBalancer

from spark_verl.rollout import routing
from spark_verl.rollout.sharing import SharedSingleTurnLoop

GROUPS, SAMPLES, WORKERS = 64, 8, 8
ENGINES = (2, 4, 8, 16)
COLUMNS = ("engines", "found", "prefix", "busiest", "step")

# ---------------------------------------------------------------------------------------------------- simulation


@dataclass(frozen=True)
class Times:
    """Seconds; see the module's docstring."""

    process: float
    prefill: float
    known: float
    decode: float
    sequence: float


@dataclass
class Engine:
    """Requests that are taken in one after the other, and sequences that are decoded together."""

    times: Times
    now: float = 0.0
    taken_in: float = 0.0
    ready: list[tuple[float, int, str, float]] = field(default_factory=list)
    """(when it is taken in, its tokens, uid, seconds of prefill)."""
    running: list[tuple[int, str]] = field(default_factory=list)
    """(number of the step that ends it, uid)."""
    seen: set[str] = field(default_factory=set)
    steps: int = 0
    tokens: int = 0

    def take(self, at: float, group: str, uid: str, tokens: int) -> bool:
        """Take a request in; whether its image was known."""
        known = group in self.seen
        self.seen.add(group)
        self.taken_in = max(at, self.taken_in) + (self.times.known if known else self.times.process)
        prefill = self.times.known if known else self.times.prefill
        heapq.heappush(self.ready, (self.taken_in, tokens, uid, prefill))
        self.tokens += tokens
        return known

    @property
    def next_step(self) -> float:
        """When it begins."""
        if self.running:
            return self.now
        return max(self.now, self.ready[0][0]) if self.ready else math.inf

    def step(self) -> list[str]:
        """A token for every sequence; the uids of those that have ended."""
        self.now = self.next_step
        while self.ready and self.ready[0][0] <= self.now:
            _, tokens, uid, prefill = heapq.heappop(self.ready)
            heapq.heappush(self.running, (self.steps + tokens, uid))
            self.now += prefill
        self.now += self.times.decode + self.times.sequence * len(self.running)
        self.steps += 1
        ended = []
        while self.running and self.running[0][0] <= self.steps:
            ended.append(heapq.heappop(self.running)[1])
        return ended


def simulate(make: Callable[[Mapping[str, Any]], Any], engines: int, times: Times, seed: int) -> dict[str, float]:
    """One step with a router that ``make`` makes; the columns of the table."""
    lengths = random.Random(seed)
    random.seed(seed)  # the routers draw from it
    fleet = {f"engine {i}": Engine(times) for i in range(engines)}
    router = make(fleet)
    asks = router.require_acquire_fields()
    left: Counter[str] = Counter()
    homes: dict[str, set[str]] = defaultdict(set)
    found: list[bool] = []

    def submit(at: float, uid: str) -> None:
        group, _, about = uid.partition("/")
        left[uid] = SAMPLES
        for sample in range(SAMPLES):
            extra = {"group": group} if asks else {}
            name, engine = router.acquire_server(f"{uid}/{sample}", **extra)
            tokens = max(1, min(768, round(200 * math.exp(lengths.gauss(0, 0.6)))))
            known = engine.take(at, group, uid, tokens)
            homes[group].add(name)
            if about:
                found.append(known)

    # Each worker processes one question's images after the other.
    arrivals = [((i // WORKERS + 1) * times.process, f"{i}") for i in range(GROUPS)]
    while True:
        name, engine = min(fleet.items(), key=lambda item: item[1].next_step)
        if arrivals and arrivals[0][0] <= engine.next_step:
            submit(*heapq.heappop(arrivals))
            continue
        if engine.next_step == math.inf:
            break
        for uid in engine.step():
            router.release_server(name)
            left[uid] -= 1
            if not left[uid] and "/" not in uid:
                for about in ("judge", "reflection"):
                    if lengths.random() < 0.5:
                        submit(engine.now, f"{uid}/{about}")
    tokens = [engine.tokens for engine in fleet.values()]
    return {
        "engines": mean(map(len, homes.values())),
        "found": mean(found),
        "busiest": max(tokens) / mean(tokens),
        "step": max(engine.now for engine in fleet.values()),
    }


def routers(slacks: list[int]) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """verl's, one that always follows the group, and ours."""
    ours = {
        f"slack {slack}": (lambda fleet, slack=slack: routing.GroupRouter(fleet, {"slack": slack})) for slack in slacks
    }
    return {
        "verl": lambda fleet: GlobalRequestLoadBalancer(dict(fleet)),
        **ours,
        "always the group's": lambda fleet: routing.GroupRouter(fleet, {"slack": math.inf}),
    }


def simulation(times: Times, seeds: int, slacks: list[int]) -> dict[str, dict[str, float]]:
    """Print and return means over steps for each number of engines and router."""
    rows = {}
    for engines in ENGINES:
        for name, make in routers(slacks).items():
            steps = [simulate(make, engines, times, seed) for seed in range(seeds)]
            rows[f"{engines} engines, {name}"] = {column: mean(step[column] for step in steps) for column in steps[0]}
    show(rows)
    return rows


def show(rows: Mapping[str, Mapping[str, float]]) -> None:
    """Print the table."""
    print(f"{'':<30}" + "".join(f"{column:>10}" for column in COLUMNS))
    for name, row in rows.items():
        cells = (f"{row[column]:>10.3f}" if column in row else f"{'':>10}" for column in COLUMNS)
        print(f"{name:<30}" + "".join(cells), flush=True)


# ---------------------------------------------------------------------------------------------------- two engines

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


def two_engines(data: Path, model: Path, repeats: int) -> dict[str, Any]:
    """Print and return the table of real runs."""
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("train", "test"):
            enlarge(data / f"{part}.parquet", folder / f"{part}.parquet")
        (folder / "loops.yaml").write_text("- name: recording\n  _target_: routing.RecordingLoop\n", encoding="utf-8")
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
        shares = (
            f"{kind} {total[f'{kind}_hits'] / total[f'{kind}_queries']:.3f}" for kind in ("prefix_cache", "mm_cache")
        )
        print(f"{name}: vLLM's own hit rates: {', '.join(shares)}")
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with train.parquet and test.parquet")
    parser.add_argument("--model", type=Path, help="model folder")
    parser.add_argument("--repeats", type=int, default=1, help="real runs per router")
    parser.add_argument("--seeds", type=int, default=10, help="simulated steps per router")
    parser.add_argument("--slack", type=int, nargs="+", default=[8, 16, 32], help="values to simulate")
    parser.add_argument("--process-ms", type=float, default=100, help="for a new image, before the engine")
    parser.add_argument("--prefill-ms", type=float, default=60, help="for a new image and its question, in the engine")
    parser.add_argument("--known-ms", type=float, default=4, help="for either, when they are known")
    parser.add_argument("--decode-ms", type=float, default=15, help="for a token of all sequences")
    parser.add_argument("--sequence-ms", type=float, default=0.05, help="more for each sequence")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.data and arguments.model:
        rows: Any = two_engines(arguments.data.resolve(), arguments.model.resolve(), arguments.repeats)
    else:
        names = [one.name for one in fields(Times)]
        times = Times(**{name: getattr(arguments, f"{name}_ms") / 1000 for name in names})
        rows = simulation(times, arguments.seeds, arguments.slack)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
