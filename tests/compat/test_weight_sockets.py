"""Two runs on one machine whose weight updates meet."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from spark_verl.compat import bootstrap, weight_sockets

HANDLE = "ipc:///tmp/rl-colocate-zmq-01000000-replica-0-rank-0.sock"
"""What verl calls the socket of the first job of every Ray."""


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (None, HANDLE),
        ("", HANDLE),
        ("1a2b", "ipc:///tmp/rl-colocate-zmq-1a2b-01000000-replica-0-rank-0.sock"),
    ],
)
def test_a_run_has_sockets_of_its_own(monkeypatch, run, expected):
    monkeypatch.delenv(weight_sockets.VARIABLE, raising=False)
    if run is not None:
        monkeypatch.setenv(weight_sockets.VARIABLE, run)
    assert weight_sockets.of_run(HANDLE) == expected


def test_every_run_is_given_its_word():
    words = set()
    for _ in range(3):
        config = OmegaConf.create({"ray_kwargs": {"ray_init": {"runtime_env": {"env_vars": {"MINE": 1}}}}})
        bootstrap.name_run(config)
        variables = config.ray_kwargs.ray_init.runtime_env.env_vars
        assert variables["MINE"] == "1"
        words.add(variables[weight_sockets.VARIABLE])
    assert len(words) == 3


TWO_RUNS = """
import os
import sys

import verl  # its plugin waits for the module
import zmq

module = "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer"
assert module not in sys.modules, "this process has it already: it would show nothing"
from spark_verl.compat.vllm_cpu import alias_vllm_distribution
alias_vllm_distribution()
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver, BucketedWeightSender

HANDLE = f"ipc:///tmp/rl-colocate-zmq-test-{os.getpid()}-replica-0-rank-0.sock"

def ends(run):
    if NAMED:
        os.environ["SPARK_RUN"] = run
    sender, receiver = BucketedWeightSender(HANDLE, use_shm=True), BucketedWeightReceiver(HANDLE, None, use_shm=True)
    sender._init_socket()
    # Nobody may listen to it, or send to it.
    sender.socket.setsockopt(zmq.SNDTIMEO, 2000)
    receiver.socket = receiver.zmq_context.socket(zmq.REP)
    receiver.socket.setsockopt(zmq.RCVTIMEO, 2000)
    return sender, receiver

def passes_on(word, sender, receiver):
    try:
        sender.socket.send_pyobj(word)
        return receiver.socket.recv_pyobj()
    except zmq.Again:
        return None

# Both are bound before an engine connects, the second one last.
runs = {run: ends(run) for run in ("one", "other")}
for sender, receiver in runs.values():
    receiver.socket.connect(receiver.zmq_handle)
result = {run: passes_on(run, *both) for run, both in runs.items()}
zmq.Context.instance().destroy(linger=0)
for sender, _ in runs.values():
    if os.path.exists(file := sender.zmq_handle.removeprefix("ipc://")):
        os.remove(file)
"""


def test_an_engine_gets_its_own_runs_weights(run_python):
    received = run_python(f"NAMED = True\n{TWO_RUNS}", VERL_PLATFORM="cpu")
    assert received == {"one": "one", "other": "other"}


def test_verl_alone_lets_one_run_wait_for_ever(run_python):
    received = run_python(f"NAMED = False\n{TWO_RUNS}", VERL_PLATFORM="cpu")
    assert received["one"] is None, "verl tells runs apart now: weight_sockets can go"
