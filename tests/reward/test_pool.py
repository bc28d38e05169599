"""The hard limit: what hangs is killed and replaced, and the next honest answer takes its usual time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from spark_verl.reward import RewardOptions, averify, verify
from spark_verl.reward.pool import SymbolicPool, get_pool
from spark_verl.reward.processes import ForkServer, TaskError, Worker

OPTIONS = RewardOptions(timeout_s=1.0, num_workers=2)
HONEST = (r"\boxed{\sum_{k=1}^{3} k}", "6")

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
    return pool


def slack() -> float:
    """One second, more on a machine that has more to run than cores."""
    return max(1.0, os.getloadavg()[0] / os.cpu_count())


def honest_seconds(pool) -> float:
    pool._decided.clear()
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
    tasks = [
        averify(f"\\boxed{{{answer} + {i}}}", r"\sqrt{7}", options=options) for i in range(8) for answer, _ in BOMBS
    ]
    verdicts = asyncio.run(_gather(tasks))
    assert not any(verdict.correct for verdict in verdicts)
    assert sum(verdict.status == "timeout" for verdict in verdicts) >= 16
    patient = RewardOptions(timeout_s=0.3 + 5 * slack(), num_workers=2)
    deadline = time.monotonic() + 120
    while len(pool.pids()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pool.pids()) == 2
    assert verify(*HONEST, options=options).correct or verify(*HONEST, options=patient).correct


async def _gather(tasks):
    return await asyncio.gather(*tasks)


def test_from_threads(pool):
    verdicts = []

    def work(i):
        verdicts.append(verify(rf"\boxed{{\sum_{{k=1}}^{{{i + 1}}} k}}", "6", options=OPTIONS).correct)

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
    assert verify(r"\boxed{\sum_{k=1}^{4} k}", "10", options=OPTIONS).correct
    assert honest_seconds(pool) < 3 * slack()


def test_a_server_killed_from_outside_is_replaced(pool):
    before = pool.pids()
    pool._server._process.kill()
    assert _gone(before), "its workers end with it"
    assert verify(r"\boxed{\sum_{k=1}^{5} k}", "15", options=RewardOptions(timeout_s=20)).correct
    assert honest_seconds(pool) < 3 * slack()


def test_memory_limit_is_an_error():
    worker = Worker(ForkServer("builtins:bytearray"), memory_mb=512)
    with pytest.raises(TaskError, match="MemoryError"):
        worker.call(2**30, timeout_s=20)
    assert worker.call(2, timeout_s=20) == bytearray(2), "the process goes on"


TASKS = """
import os, time

def compare(answer, truth):
    time.sleep(float(answer))
    return "equal"

def leave(answer, truth):
    os._exit(1)

def crash(answer, truth):
    os.abort()

def fail(answer, truth):
    raise RuntimeError("a bug")
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch) -> Path:
    """A folder with a module ``sleepy`` of small tasks."""
    (tmp_path / "sleepy.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("task", "outcome"),
    [
        ("sleepy:compare", "timeout"),
        ("sleepy:leave", "error"),
        ("sleepy:crash", "error"),
        ("sleepy:fail", "error"),
        ("no_such_module:task", "error"),
    ],
)
def test_however_a_process_ends_who_waits_learns_it(tasks, task, outcome):
    pool = SymbolicPool(RewardOptions(timeout_s=0.5, num_workers=1), ForkServer(task))
    for seconds in ("60", "61"):
        assert pool._submit(seconds, "x").result(timeout=60) == outcome


SCRIPT = r"""
import os, sys, time
from spark_verl.reward import verify
from spark_verl.reward.pool import SymbolicPool, get_pool
print("started", flush=True)          # no __main__ guard: a child that runs this file again prints it again
assert verify(r"\boxed{\sum_{k=1}^{3} k}", "6").correct
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
    assert _gone(pids)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


EXIT = r"""
import asyncio, sys, threading
sys.path.insert(0, sys.argv[2])
from spark_verl.reward import RewardOptions
from spark_verl.reward.pool import SymbolicPool
from spark_verl.reward.processes import ForkServer

pool = SymbolicPool(RewardOptions(timeout_s=0.5, num_workers=3), ForkServer("sleepy:compare"))
answers = ["3600", "0", "0.01", "0.05", "0"]

async def batch():
    return await asyncio.gather(*(pool.aequal(answer, str(i)) for i, answer in enumerate(answers)))

if sys.argv[1] == "asyncio":
    found = asyncio.run(batch())
elif sys.argv[1] == "to_thread":
    async def main():
        return await asyncio.gather(*(asyncio.to_thread(pool.equal, a, str(i)) for i, a in enumerate(answers)))
    found = asyncio.run(main())
else:
    found = [pool.equal(answer, str(i)) for i, answer in enumerate(answers)]
assert found == ["timeout", "equal", "equal", "equal", "equal"], found
if sys.argv[1] == "unfinished":
    threading.Thread(target=pool.equal, args=("3600", "last"), daemon=True).start()
    [pool._submit("3600", str(i)) for i in range(9)]
print(pool._server._process.pid, *pool.pids(), flush=True)
"""


@pytest.mark.parametrize("how", ["asyncio", "to_thread", "threads", "unfinished"])
def test_the_interpreter_exits_at_once_after_a_timeout(tasks, how):
    """A script with one time-out in its batch once had not exited twelve minutes later."""
    script = tasks / "script.py"
    script.write_text(EXIT)
    for _ in range(10):
        command = [sys.executable, str(script), how, str(tasks)]
        # Reading to the end of stdout and stderr also waits for whatever has inherited them.
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert (done.returncode, done.stderr) == (0, "")
        pids = [int(pid) for pid in done.stdout.split()]
        assert len(pids) > 1 and _gone(pids)


def _gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 120
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(_alive, pids))


def test_a_forked_process_has_a_pool_of_its_own(pool):
    assert verify(*HONEST, options=OPTIONS).correct
    child = os.fork()
    if child == 0:
        right = verify(r"\boxed{\sum_{k=1}^{6} k}", "21", options=RewardOptions(timeout_s=30)).correct
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert honest_seconds(pool) < 5 * slack(), "its end leaves the parent's processes alone"


def test_a_cancelled_comparison_is_not_made(tasks):
    pool = SymbolicPool(RewardOptions(timeout_s=1, num_workers=1), ForkServer("sleepy:compare"))
    running, waiting = pool._submit("0.5", "x"), pool._submit("60", "x")
    assert waiting.cancel()
    assert running.result(timeout=60) == "equal"
    assert pool._submit("0", "x").result(timeout=0.5 * slack()) == "equal"
