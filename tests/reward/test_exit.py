"""A process that has verified ends when it wants to, whatever the pool is doing at that moment."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

TASK = """
import time

def compare(answer, truth):
    time.sleep(float(answer))
    return "equal"
"""

# A hundred processes, each with a pool of its own. A time-out has its worker killed, and a thread replaces it in the
# background; the process ends at another moment of that each time. It is forked rather than started anew, and ends as
# every interpreter does: its threads, its exit handlers, its modules.
PROGRAM = r"""
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
from spark_verl.reward import RewardOptions
from spark_verl.reward.pool import SymbolicPool
from spark_verl.reward.processes import ForkServer

LIMIT_S = 60

def end_while_replacing(number, report):
    pool = SymbolicPool(RewardOptions(timeout_s=0.01, num_workers=2), ForkServer("sleepy:compare"))
    assert pool.equal("30", str(number)) == "timeout"
    if number % 3 == 1:
        pool._server._process.kill()    # the next worker needs a new server first
    if number % 3 == 2:
        pool._submit("30", "pending"), pool._submit("30", "queued"), pool._submit("30", "waiting")
    report.write(json.dumps([pool._server._process.pid, *pool.pids()]) + "\n")
    report.flush()
    time.sleep(0.001 * (number // 3))

hung = 0
with open(sys.argv[2], "a") as report:
    for numbers in (range(start, start + 10) for start in range(0, 100, 10)):
        children = []
        for number in numbers:
            children.append(os.fork())
            if children[-1] == 0:
                end_while_replacing(number, report)
                sys.exit(0)
        deadline = time.monotonic() + LIMIT_S
        while children and time.monotonic() < deadline:
            children = [child for child in children if os.waitpid(child, os.WNOHANG) == (0, 0)]
            time.sleep(0.01)
        hung += len(children)
        for child in children:
            os.kill(child, 9)
print("ended, hung:", hung)
"""


@pytest.mark.timeout(900)
def test_a_hundred_exits_against_the_replacement_of_a_worker(tmp_path: Path) -> None:
    (tmp_path / "sleepy.py").write_text(TASK)
    program, report = tmp_path / "program.py", tmp_path / "report.jsonl"
    program.write_text(PROGRAM)
    # Reading to the end of its output also waits for whatever has inherited it.
    command = [sys.executable, str(program), str(tmp_path), str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended, hung: 0\n", "")
    pools = [json.loads(line) for line in report.read_text().splitlines()]
    assert len(pools) == 100
    deadline = time.monotonic() + 60
    while (left := [pid for pids in pools for pid in pids if _runs_ours(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def _runs_ours(pid: int) -> bool:
    try:
        return "sleepy" in " ".join(psutil.Process(pid).cmdline())
    except psutil.NoSuchProcess:  # or a zombie: whose parent is gone, and who has none that asks for it
        return False
