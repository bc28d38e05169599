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
import threading

import verl  # its plugin waits for the module
import zmq

module = "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer"
assert module not in sys.modules, "this process has it already: it would show nothing"
from spark_verl.compat.vllm_cpu import alias_vllm_distribution
alias_vllm_distribution()
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver, BucketedWeightSender

def ends(run):
    if run:
        os.environ["SPARK_RUN"] = run
    sender = BucketedWeightSender(HANDLE, use_shm=True)
    sender._init_socket()
    receiver = BucketedWeightReceiver(HANDLE, device=None, use_shm=True)
    receiver.socket = receiver.zmq_context.socket(zmq.REP)
    return sender, receiver

HANDLE = f"ipc:///tmp/rl-colocate-zmq-test-{os.getpid()}-replica-0-rank-0.sock"
# Both are bound before any engine connects, the second one last.
runs = {word: ends(word and word + str(os.getpid())) for word in WORDS}
result = {}
for word, (sender, receiver) in runs.items():
    receiver.socket.connect(receiver.zmq_handle)
for word, (sender, receiver) in runs.items():
    sender.socket.send_pyobj(word)
    result[word] = receiver.socket.recv_pyobj() if receiver.socket.poll(3000) else None
for sender, receiver in runs.values():
    receiver.socket.close(0)
    sender.socket.close(0)
    if os.path.exists(sender.zmq_handle[6:]):
        os.remove(sender.zmq_handle[6:])
"""


def test_an_engine_gets_its_own_runs_weights(run_python):
    assert run_python(f"WORDS = ('one', 'other')\n{TWO_RUNS}", VERL_PLATFORM="cpu") == {"one": "one", "other": "other"}
