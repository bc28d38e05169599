"""The hard limit: what hangs is killed and replaced, and the next honest answer takes its usual time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool

import psutil
import pytest
from pebble import ProcessExpired

from spark_verl.reward import RewardOptions, averify, verify
from spark_verl.reward.pool import SymbolicPool, get_pool

OPTIONS = RewardOptions(timeout_s=1.0, num_workers=2)
HONEST = (r"\boxed{\ln(2)+\ln(3)}", r"\ln(6)")

BOMBS = [
    (r"9^{9^{9^{9}}} \pi", "a tower of powers"),
    ("(x+1)^{1000000}", "an expansion with a million terms"),
    (r"\frac{" * 500 + "1" + "}{2}" * 500, "fractions nested 500 deep"),
    (r"\sqrt{" * 300 + "2" + "}" * 300, "roots nested 300 deep"),
    (r"\int_0^1 \sin(x^{x^{x^x}}) dx \cdot 10^{10^{10}}", "an integral and a tower"),
    (r"\pi" + " + x" * 24_000, "100 kB of LaTeX"),
]


@pytest.fixture(scope="module", autouse=True)
def pool():
    pool = get_pool(OPTIONS)
    pool.warm_up()
    yield pool
    pool.stop()


def slack() -> float:
    """One second, more on a machine that has more to run than cores."""
    return max(1.0, os.getloadavg()[0] / os.cpu_count())


def honest_seconds(pool) -> float:
    pool._cache.clear()
    started = time.perf_counter()
    assert verify(*HONEST, options=OPTIONS).correct
    return time.perf_counter() - started


@pytest.mark.parametrize("answer, why", BOMBS, ids=[b[1] for b in BOMBS])
def test_a_bomb_ends_in_time(pool, answer, why):
    started = time.perf_counter()
    verdict = verify(f"\\boxed{{{answer}}}", r"\sqrt{7}", options=OPTIONS)
    assert time.perf_counter() - started < OPTIONS.timeout_s + slack()
    assert not verdict.correct
    assert verdict.status in ("timeout", "unparsable", "ok"), why
    assert honest_seconds(pool) < slack()
    deadline = time.monotonic() + 10  # the killed one is replaced in the background
    while len(pool.pids()) < OPTIONS.num_workers and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pool.pids()) == OPTIONS.num_workers


def test_a_tower_of_powers_is_a_timeout_not_a_wrong_answer():
    assert verify(r"\boxed{9^{9^{9^{9}}} \pi}", r"\sqrt{7}", options=OPTIONS).status == "timeout"


def test_bombs_in_a_row_leave_every_worker_alive():
    # measure/verifier.py throws 200.
    options = RewardOptions(timeout_s=0.3, num_workers=2)
    pool = get_pool(options)
    pool.warm_up()
    try:
        tasks = [
            averify(f"\\boxed{{{answer} + {i}}}", r"\sqrt{7}", options=options) for i in range(8) for answer, _ in BOMBS
        ]
        verdicts = asyncio.run(_gather(tasks))
        assert not any(verdict.correct for verdict in verdicts)
        assert sum(verdict.status == "timeout" for verdict in verdicts) >= 16
        patient = RewardOptions(timeout_s=0.3 + 5 * slack(), num_workers=2)
        deadline = time.monotonic() + 10
        while len(pool.pids()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(pool.pids()) == 2
        assert verify(*HONEST, options=options).correct or verify(*HONEST, options=patient).correct
    finally:
        pool.stop()


async def _gather(tasks):
    return await asyncio.gather(*tasks)


def test_from_threads(pool):
    verdicts = []

    def work(i):
        verdicts.append(verify(rf"\boxed{{\ln({i + 1})+\ln(3)}}", r"\ln(6)", options=OPTIONS).correct)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts.count(True) == 1 and len(verdicts) == 8


def test_from_asyncio_without_blocking_the_loop(pool):
    async def main():
        beats, slow = [], asyncio.create_task(averify(r"\boxed{9^{9^{9^{9}}} \pi}", r"\sqrt{7}", options=OPTIONS))
        while not slow.done():
            beats.append(time.perf_counter())
            await asyncio.sleep(0.01)
        gaps = [b - a for a, b in zip(beats, beats[1:], strict=False)]
        honest = await asyncio.gather(*(averify(*HONEST, options=OPTIONS) for _ in range(4)))
        return slow.result(), gaps, honest

    verdict, gaps, honest = asyncio.run(main())
    assert verdict.status == "timeout"
    assert max(gaps) < 0.5 * slack() and len(gaps) > 10
    assert all(v.correct for v in honest)


def test_workers_killed_from_outside_are_replaced(pool):
    for pid in pool.pids():
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.3)
    assert verify(r"\boxed{\ln(5)+\ln(3)}", r"\ln(15)", options=OPTIONS).correct
    assert honest_seconds(pool) < 3 * slack()


def test_memory_limit_is_an_error():
    pool = get_pool(RewardOptions(timeout_s=20.0, num_workers=1, memory_mb=512))
    try:
        outcome = pool._schedule_task(pool._started(), bytearray, 2**30, timeout=20.0)
        with pytest.raises(MemoryError):
            outcome.result()
        assert pool.equal(r"2\sqrt{3}", r"\sqrt{12}") == "equal"
    finally:
        pool.stop()


SCRIPT = r"""
import os, sys, time
from spark_verl.reward import verify
from spark_verl.reward.pool import SymbolicPool, get_pool
print("started", flush=True)          # no __main__ guard: a child that runs this file again prints it again
assert verify(r"\boxed{\ln(2)+\ln(3)}", r"\ln(6)").correct
print(*get_pool().pids(), flush=True)
if len(sys.argv) > 1:
    time.sleep(60)
"""


def test_a_script_without_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.count("started") == 1


def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, str(script), "wait"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline().strip() == "started"
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert pids
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_alive, pids))


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_failure_ends_only_the_pool_it_came_from():
    """Several comparisons of a broken pool fail one after the other; its replacement has tasks by then."""
    pool = SymbolicPool(RewardOptions(timeout_s=20, num_workers=1))
    try:
        pool.warm_up()
        broken = pool._pool
        assert pool._failure(BrokenProcessPool("killed"), broken, last=False) is None
        replacement = pool._started()
        waiting = threading.Thread(target=pool.equal, args=HONEST, daemon=True)
        waiting.start()
        assert pool._failure(BrokenProcessPool("killed"), broken, last=False) is None
        assert pool._pool is replacement
        waiting.join(timeout=60)
        assert not waiting.is_alive()
    finally:
        pool.stop()


def test_who_waits_for_a_pool_that_is_stopped_learns_it():
    pool = SymbolicPool(RewardOptions(timeout_s=60, num_workers=1))
    try:
        pool.warm_up()
        first = pool._started()
        futures = [pool._submit(first, answer, r"\sqrt{7}") for answer, _ in BOMBS[:2]]
        pool._discard(first).join()
        for future in futures:
            with pytest.raises((BrokenProcessPool, ProcessExpired)):
                future.result(timeout=20)
        assert pool.equal(HONEST[0][7:-1], HONEST[1]) == "equal", "the next comparison has a pool of its own"
    finally:
        pool.stop()
