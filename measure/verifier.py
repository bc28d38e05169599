"""The verifier beside verl's math_verify and mathruler: verdicts, answers per second, latency, memory, and bombs.

    python measure/verifier.py                 # 2,400 pairs and every kind, three verifiers, then 200 bombs
    python measure/verifier.py --show 50       # list up to 50 disagreements of each kind

mathruler is needed for this alone: ``pip install -e '.[measure]'``.

The pairs (``verifier_pairs.py``) are made with known verdicts, so for every disagreement it is known who is right;
beside them stands a table of the kinds on which verifiers go wrong (``verifier_kinds.py``). Every verifier runs in a
process of its own, one after the other, with what it needs to use both cores: ours from one event loop (``averify``),
verl's from 8 threads over its own 4 processes, mathruler in 2 processes. Throughput is measured with everything warm,
without our cache of earlier comparisons having seen a pair. Latency is of single calls, one at a time. Memory is the
largest proportional set size (PSS) of the process and its children.

The exit code is 1 if verl is right where we are not, if we are wrong on a kind, or if a bomb was not survived.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent))
from verifier_kinds import kinds
from verifier_pairs import BOMBS, Pair, make_pairs

LATENCY_SAMPLE = 400


class PeakMemory:
    """Largest PSS of this process and its children while the block runs, in MiB."""

    def __enter__(self) -> PeakMemory:
        self.peak, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.2):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            self.peak = max(self.peak, total / 2**20)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def latencies(call: Callable[[Pair], Any], pairs: list[Pair]) -> dict[str, float]:
    """Milliseconds of single calls."""
    spent = []
    for pair in pairs[:LATENCY_SAMPLE]:
        started = time.perf_counter()
        call(pair)
        spent.append(1000 * (time.perf_counter() - started))
    cuts = statistics.quantiles(spent, n=100)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98]}


def run_spark(pairs: list[Pair], extra: list[Pair]) -> dict[str, Any]:
    from spark_verl.reward import Verdict, averify, verify
    from spark_verl.reward.pool import get_pool

    pool = get_pool()
    pool.warm_up()

    async def all_of() -> list[Verdict]:
        return await asyncio.gather(*(averify(pair.response, pair.truth, choices=pair.choices) for pair in pairs))

    started = time.perf_counter()
    verdicts = asyncio.run(all_of())
    seconds = time.perf_counter() - started
    found = {"verdicts": [verdict.correct for verdict in verdicts], "seconds": seconds}
    found["statuses"] = dict(Counter(verdict.status for verdict in verdicts))
    found["symbolic"] = sum(verdict.symbolic for verdict in verdicts) / len(verdicts)
    return found | latencies(lambda pair: verify(pair.response, pair.truth, choices=pair.choices), extra)


def run_verl(pairs: list[Pair], extra: list[Pair]) -> dict[str, Any]:
    from verl.utils.reward_score.math_verify import compute_score

    def call(pair: Pair) -> bool:
        return compute_score(pair.response, pair.truth) > 0.5

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, extra[:64]))
        started = time.perf_counter()
        verdicts = list(threads.map(call, pairs))
        seconds = time.perf_counter() - started
    return {"verdicts": verdicts, "seconds": seconds} | latencies(call, extra)


def _mathruler(pair: Pair) -> bool:
    from mathruler.grader import extract_boxed_content, grade_answer

    return bool(grade_answer(extract_boxed_content(pair.response), pair.truth))


def run_mathruler(pairs: list[Pair], extra: list[Pair]) -> dict[str, Any]:
    with multiprocessing.get_context("fork").Pool(2) as processes:
        processes.map(_mathruler, extra[:64])
        started = time.perf_counter()
        verdicts = processes.map(_mathruler, pairs, chunksize=8)
        seconds = time.perf_counter() - started
    return {"verdicts": verdicts, "seconds": seconds} | latencies(_mathruler, extra)


ARMS = {"spark_verl": run_spark, "verl": run_verl, "mathruler": run_mathruler}


def run_bombs(count: int, timeout_s: float) -> dict[str, Any]:
    """Bombs in a row, one by one: each must end in time, and honest answers take their usual time afterwards."""
    from spark_verl.reward import RewardOptions, verify
    from spark_verl.reward.pool import get_pool

    options = RewardOptions(timeout_s=timeout_s, num_workers=2)
    pool = get_pool(options)
    pool.warm_up()

    def honest() -> float:
        pool._decided.clear()
        started = time.perf_counter()
        assert verify(r"\boxed{\sum_{k=1}^{3} k}", "6", options=options).correct
        return time.perf_counter() - started

    before = statistics.median(honest() for _ in range(11))
    spent, statuses = [], Counter()
    for i in range(count):
        answer = f"{BOMBS[i % len(BOMBS)]} + {i}"
        started = time.perf_counter()
        verdict = verify(f"\\boxed{{{answer}}}", r"\sqrt{7}", options=options)
        spent.append(time.perf_counter() - started)
        statuses[verdict.status] += 1
        assert not verdict.correct
    deadline = time.monotonic() + 10
    while len(pool.pids()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    alive = [pid for pid in pool.pids() if psutil.pid_exists(pid)]
    after = statistics.median(honest() for _ in range(11))
    return {
        "longest_s": max(spent),
        "limit_s": timeout_s,
        "statuses": dict(statuses),
        "alive": len(alive),
        "honest_before_ms": 1000 * before,
        "honest_after_ms": 1000 * after,
    }


def run_arm(name: str, arguments: argparse.Namespace) -> None:
    """One verifier in this process; prints JSON."""
    if name == "bombs":
        print("RESULT", json.dumps(run_bombs(arguments.bombs, arguments.timeout_s)))
        return
    pairs, extra = make_pairs(arguments.pairs, seed=0), make_pairs(LATENCY_SAMPLE, seed=1)
    with PeakMemory() as memory:
        found = ARMS[name](pairs, extra)
    of_kinds = ARMS[name](kind_pairs(), extra[:64])["verdicts"]
    print("RESULT", json.dumps(found | {"peak_mb": memory.peak, "of_kinds": of_kinds}))


def kind_pairs() -> list[Pair]:
    """The table of kinds, each answer in a box."""
    return [Pair(kind, a, t, right, f"So it is $\\boxed{{{a}}}$.") for kind, a, t, right in kinds()]


def in_subprocess(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run an arm in a fresh process."""
    command = [sys.executable, __file__, "--arm", name, "--pairs", str(arguments.pairs)]
    command += ["--bombs", str(arguments.bombs), "--timeout_s", str(arguments.timeout_s)]
    environment = {**os.environ, "VERL_PLATFORM": os.environ.get("VERL_PLATFORM", "cpu")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    sys.exit(f"{name} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def report(pairs: list[Pair], results: dict[str, dict[str, Any]], show: int) -> int:
    """Print the tables; return the number of pairs where verl is right and we are not."""
    ours = results["spark_verl"]
    print(f"\n{'':<14}{'answers/s':>11}{'ours/it':>9}{'p50 ms':>9}{'p99 ms':>9}{'peak MiB':>10}{'errors':>8}")
    for name, found in results.items():
        wrong = sum(v != pair.correct for v, pair in zip(found["verdicts"], pairs, strict=True))
        ratio = found["seconds"] / ours["seconds"]
        print(
            f"{name:<14}{len(pairs) / found['seconds']:>11.0f}{ratio:>8.1f}x{found['p50_ms']:>9.2f}"
            f"{found['p99_ms']:>9.1f}{found['peak_mb']:>10.0f}{wrong:>8}"
        )
    print(f"ours: {ours['statuses']}, algebra needed for {ours['symbolic']:.1%}")
    print(f"\nerrors by kind of answer ({len(pairs)} pairs, verdicts known by construction)")
    print(f"{'kind':<22}{'pairs':>7}" + "".join(f"{name:>12}" for name in results))
    for kind, count in Counter(pair.kind for pair in pairs).items():
        wrong = [
            sum(v != p.correct for v, p in zip(found["verdicts"], pairs, strict=True) if p.kind == kind)
            for found in results.values()
        ]
        print(f"{kind:<22}{count:>7}" + "".join(f"{n:>12}" for n in wrong))
    lost = 0
    for other in list(results)[1:]:
        rows = [
            (pair, mine)
            for pair, mine, theirs in zip(pairs, ours["verdicts"], results[other]["verdicts"], strict=True)
            if mine != theirs
        ]
        theirs_right = [pair for pair, mine in rows if mine != pair.correct]
        print(f"\n{len(rows)} disagreements with {other}: we are right in {len(rows) - len(theirs_right)}, it in")
        print(f"{len(theirs_right)}. Listed first are those where it is right.")
        ordered = sorted(rows, key=lambda row: row[1] == row[0].correct)
        for pair, mine in ordered[:show]:
            who = "we are" if mine == pair.correct else f"{other} is"
            print(
                f"  {pair.kind:<20} answer {pair.answer!r:<34} truth {pair.truth!r:<30} {pair.correct!s:<6}{who} right"
            )
        lost += len(theirs_right) if other == "verl" else 0
    return lost


def report_kinds(results: dict[str, dict[str, Any]]) -> int:
    """Print how many wrong answers of each kind are accepted, and right ones rejected; return how many are ours."""
    pairs = kind_pairs()
    print(f"\nwrong accepted + right rejected by kind ({len(pairs)} answers, no options given)")
    print(f"{'kind':<36}{'wrong':>6}{'right':>6}" + "".join(f"{name:>14}" for name in results))
    totals: Counter[str] = Counter()
    for kind in dict.fromkeys(pair.kind for pair in pairs):
        cells, here = "", [i for i, pair in enumerate(pairs) if pair.kind == kind]
        for name, found in results.items():
            errors = [pairs[i].correct for i in here if found["of_kinds"][i] != pairs[i].correct]
            totals[name] += len(errors)
            cells += f"{errors.count(False):>8} +{errors.count(True):>4}"
        right = sum(pairs[i].correct for i in here)
        print(f"{kind:<36}{len(here) - right:>6}{right:>6}{cells}")
    print(f"{'all errors':<48}" + "".join(f"{totals[name]:>14}" for name in results))
    return totals["spark_verl"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2400)
    parser.add_argument("--show", type=int, default=12, help="disagreements listed per verifier")
    parser.add_argument("--bombs", type=int, default=200, help="0 for none")
    parser.add_argument("--timeout_s", type=float, default=1.0, help="time limit for bombs")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--arm", choices=[*ARMS, "bombs"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if importlib.util.find_spec("mathruler") is None:
        parser.error("mathruler is not installed: pip install -e '.[measure]'")
    if arguments.arm:
        run_arm(arguments.arm, arguments)
        return
    results = {}
    for name in ARMS:
        print(f"running {name} ...", flush=True)
        results[name] = in_subprocess(name, arguments)
    lost = report(make_pairs(arguments.pairs, seed=0), results, arguments.show) + report_kinds(results)
    survived = True
    if arguments.bombs:
        print(f"\nrunning {arguments.bombs} bombs ...", flush=True)
        results["bombs"] = bombs = in_subprocess("bombs", arguments)
        survived = bombs["alive"] == 2 and bombs["longest_s"] < bombs["limit_s"] + 1
        print(
            f"limit {bombs['limit_s']:.1f} s, longest {bombs['longest_s']:.2f} s, {bombs['statuses']}, "
            f"{bombs['alive']} of 2 workers alive, an honest answer takes {bombs['honest_before_ms']:.1f} ms before "
            f"and {bombs['honest_after_ms']:.1f} ms after"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(1 if lost or not survived else 0)


if __name__ == "__main__":
    main()
