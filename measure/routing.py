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
import heapq
import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from statistics import mean
from typing import Any

from routing_engines import show, two_engines
from verl.workers.rollout.router import GlobalRequestLoadBalancer

from spark_verl.rollout import routing

GROUPS, SAMPLES, WORKERS = 64, 8, 8
ENGINES = (2, 4, 8, 16)

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
    if bool(arguments.data) != bool(arguments.model):
        parser.error("--data and --model go together")
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
