"""Signals, deaths and stalls in a Ray of one's own, with small actors in place of verl's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import forked
import pytest

from spark_verl.trainer import ending, watchdog

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

SCENE = """
import os, signal, sys, threading, time
import ray
from spark_verl.compat import ray_state
from spark_verl.rollout.sampler import Seen
from spark_verl.trainer import ending, watchdog
from spark_verl.trainer.ending import RunEnded

ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False,
         runtime_env={"py_executable": os.environ["SPARK_FORK_LAUNCHER"]})

@ray.remote(num_cpus=0)
class Worker:
    def pid(self): return os.getpid()
    def sleep(self): time.sleep(1000)

@ray.remote(num_cpus=0)
class Trainer:
    def __init__(self):
        watchdog.LOOK_S = 0.2
    def train(self, scene, waits, stall, seen, worker_of, beats):
        started = time.monotonic()
        progress = lambda: min(beats, int((time.monotonic() - started) / 0.5))
        awaited = lambda: watchdog.awaited(threading.main_thread().ident, seen, worker_of)
        with watchdog.Watchdog(stall, progress, awaited):
            ray_state.put(scene, "watched")
            waits()
    def until_asked(self):
        while not (name := ending.asked()):
            time.sleep(0.1)
        raise ending.Preempted(f"stopped by {name}")

def poll():
    while True: time.sleep(0.1)

def cause(reference):
    try:
        ray.get(reference)
    except Exception as error:
        return ending.cause_of(error)

def run(waits, stall=0.0, seen=Seen(), worker_of={}, beats=0, kill=None):
    trainer, scene = Trainer.remote(), f"{waits} {kill} {stall} {beats}"
    reference = trainer.train.remote(scene, waits, stall, seen, worker_of, beats)
    while not ray_state.get(scene):
        time.sleep(0.1)
    if kill:
        os.kill(kill, signal.SIGKILL)
    began = time.monotonic()
    found = cause(reference)
    print(type(found).__name__, found, flush=True)
    # A hang, not a slow machine: it takes seconds.
    assert time.monotonic() - began < 600
    # The next one must not find this one dying.
    ray.kill(trainer)
    while trainer._actor_id.hex() not in ray_state.actors("DEAD"):
        time.sleep(0.1)

workers = [Worker.options(name=f"agent_loop_worker_{i}_ab").remote() for i in range(4)]
pids = ray.get([worker.pid.remote() for worker in workers])
print("pids", *pids)
last = workers[2]
run(poll, kill=pids[0])
run(lambda: ray.get(last.sleep.remote()), kill=pids[1])
run(poll, stall=2.0, beats=8, seen=Seen(5, 9, frozenset(["aa", "bb"])), worker_of={"aa": 2})
run(poll, stall=2.0)
asked = workers[3]
run(lambda: ray.get(asked.sleep.remote()), kill=pids[3])
listener = ending.Listener()
listener.listen(training=True)
trainer = Trainer.remote()
reference = trainer.until_asked.remote()
os.kill(os.getpid(), signal.SIGTERM)
found = cause(reference)
print(type(found).__name__, found, found.code, flush=True)
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGUSR1)).start()
ray.get(last.sleep.remote())
"""


@pytest.fixture(scope="module")
def scene():
    environment = {**os.environ, **forked.environment()}
    return subprocess.run([forked.python(), "-c", SCENE], capture_output=True, text=True, timeout=1500, env=environment)


@pytest.fixture
def said(scene):
    # Ray tells of deaths there, too, a moment later.
    lines = [line for line in scene.stdout.splitlines() if "(raylet)" not in line]
    assert len(lines) == 7, scene.stdout + scene.stderr[-4000:]
    return lines


@pytest.mark.parametrize(
    ("number", "line"),
    [(0, 1), (1, 2), (3, 5)],
    ids=["the trainer polls", "the trainer waits in ray.get for another", "for the one that died"],
)
def test_a_dead_process_is_named(said, number, line):
    pid = said[0].split()[1 + number]
    assert said[line].startswith(f"RunEnded agent_loop_worker_{number}_ab (pid {pid} on ")
    assert "has died: " in said[line] and "go on from the last checkpoint" in said[line]


def test_a_stall_names_the_prompts_and_their_workers(said):
    assert "(spark.stall_timeout_s): 2 of 7 prompts have not ended: aa in agent_loop_worker_2_ab (pid" in said[3]
    assert "bb (a judge's)" in said[3]


def test_a_stall_elsewhere_names_the_place(said):
    assert "(spark.stall_timeout_s): the trainer waits in " in said[4]


def test_the_first_signal_asks_and_the_second_ends_at_once(said, scene):
    assert said[6] == f"Preempted stopped by SIGTERM {ending.PREEMPTED}"
    assert scene.returncode == -signal.SIGUSR1
    assert "SIGUSR1 again: stopped at once" in scene.stderr


@pytest.fixture
def server():
    """A server whose ``/health`` gives a status code; returns what starts it."""
    running = []

    def start(code: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(code if self.path == "/health" else 404)
                self.end_headers()

            def log_message(self, *_):
                pass

        running.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return f"127.0.0.1:{running[-1].server_address[1]}"

    yield start
    for each in running:
        each.shutdown()
        each.server_close()


def test_a_server_that_lost_its_engine_is_named(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    alive, odd, dead = server(200), server(500), server(503)
    gone = "127.0.0.1:1"
    assert watchdog.dead_engine([alive, odd, gone]) is None, "whether a process lives, Ray knows"
    assert watchdog.dead_engine([]) is None
    assert f"vLLM's server at {dead} has died" in watchdog.dead_engine([alive, gone, dead])


@pytest.mark.parametrize("sent", ending.SIGNALS)
def test_before_the_training_a_signal_ends_the_run_at_once(sent):
    code = (
        f"import os; from spark_verl.trainer import ending; ending.Listener().listen(); os.kill(os.getpid(), {sent:d})"
    )
    done = subprocess.run([sys.executable, "-c", code + "; input()"], capture_output=True, text=True, timeout=600)
    assert done.returncode == ending.PREEMPTED, done.stderr
    assert "stopped before the training began" in done.stderr
