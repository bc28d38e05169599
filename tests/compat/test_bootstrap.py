"""From the config to the environment of every process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from spark_verl.compat import bootstrap, fork_server

CONFIG = {
    "trainer": {"device": "cpu", "n_gpus_per_node": 2, "nnodes": 1},
    "ray_kwargs": {"ray_init": {"num_cpus": None, "runtime_env": {"py_executable": None}}},
    "transfer_queue": {"backend": {"SimpleStorage": {"num_data_storage_units": 1}}},
}


def make_config(**changes):
    """The part of verl's config that is read, as Hydra composes it: no new keys allowed."""
    config = OmegaConf.merge(CONFIG, OmegaConf.from_dotlist([f"{key}={value}" for key, value in changes.items()]))
    OmegaConf.set_struct(config, True)
    return config


@pytest.mark.parametrize(
    ("variable", "expected"),
    [(None, False), ("", False), ("nvidia", False), ("cpu", True), (" CPU ", True), ("cpu2", False)],
)
def test_active_only_when_asked(monkeypatch, variable, expected):
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    if variable is not None:
        monkeypatch.setenv("VERL_PLATFORM", variable)
    assert bootstrap.is_active() is expected


@pytest.mark.parametrize(("cores", "ranks", "threads"), [(2, 1, "2"), (2, 2, "1"), (2, 4, "1"), (16, 2, "8")])
def test_ranks_share_the_cores(monkeypatch, cores, ranks, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    assert bootstrap.cpu_environment(ranks)["OMP_NUM_THREADS"] == threads


def test_users_environment_wins_except_for_the_platform(monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "7")
    monkeypatch.setenv("VERL_PLATFORM", "nvidia")
    environment = bootstrap.cpu_environment()
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "7"
    assert environment["VERL_PLATFORM"] == "cpu"


WAIT = "RAY_raylet_start_wait_time_s"
NO_NODE = """
import sys, time
from ray._private import services
began = time.monotonic()
try:
    services.get_node(sys.argv[1], "0" * 56)
except RuntimeError:
    print(time.monotonic() - began)
"""
RAY = f"""
import os, ray, subprocess, sys
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
print(ray.get(ray.remote(lambda: os.nice(0)).remote()), flush=True)
command = [sys.executable, "-c", {NO_NODE!r}, ray.get_runtime_context().gcs_address]
subprocess.run(command, env=os.environ | {{{WAIT!r}: "1"}}, check=True)
"""


@pytest.mark.slow
def test_rays_workers_have_the_runs_own_priority_and_its_node_time_to_start():
    environment = os.environ | bootstrap.cpu_environment() | {"RAY_ADDRESS": ""}
    done = subprocess.run([sys.executable, "-c", RAY], env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-2000:]
    priority, waited = done.stdout.split()[-2:]
    assert int(priority) == os.nice(0)
    # As long as the variable says. Without it, Ray waits for 30 s; it is given more.
    assert 0.9 < float(waited) < 30 < int(bootstrap.cpu_environment()[WAIT])


@pytest.mark.parametrize("device", ["cuda", "npu"])
def test_other_devices_are_left_alone(monkeypatch, device):
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    before = dict(os.environ)
    config = make_config(**{"trainer.device": device})
    expected = OmegaConf.to_container(config)
    assert bootstrap.configure(config) == {}
    assert OmegaConf.to_container(config) == expected
    assert dict(os.environ) == before


@pytest.mark.parametrize(("device", "variable"), [("cuda", "cpu"), ("cpu", "nvidia")])
def test_contradiction_says_what_to_change(monkeypatch, device, variable):
    monkeypatch.setenv("VERL_PLATFORM", variable)
    with pytest.raises(ValueError, match="unset VERL_PLATFORM"):
        bootstrap.configure(make_config(**{"trainer.device": device}))


CONFIGURE = """
from omegaconf import OmegaConf
from spark_verl import compat
config = OmegaConf.create({config!r})
OmegaConf.set_struct(config, True)
environment = compat.configure(config)
assert compat.configure(config) == environment, "configure is not idempotent"
compat.reserve_cpus(config)
compat.assert_ready()
from verl.plugin.platform import get_platform
import os
ray_init = OmegaConf.to_container(config.ray_kwargs.ray_init)
result = dict(ray_init=ray_init, environment=environment, device=get_platform().device_name,
              exported=all(os.environ[k] == v for k, v in environment.items()))
"""


def configure(run_python, config, **environment):
    code = CONFIGURE.format(config=OmegaConf.to_container(config))
    return run_python(code, **environment)


def test_configure_fills_what_is_missing(run_python):
    result = configure(run_python, make_config())
    ray_init = result["ray_init"]
    assert result["device"] == "cpu" and result["exported"]
    assert ray_init["num_gpus"] == 2
    # Without it Ray joins whatever cluster runs on this machine, and refuses these numbers.
    assert ray_init["address"] == "local"
    # Two ranks of three CPUs each, the storage unit, the controller, and room to schedule.
    assert ray_init["num_cpus"] >= 2 * 3 + 1 + 2
    assert ray_init["include_dashboard"] is False
    assert ray_init["runtime_env"]["env_vars"] == result["environment"]
    assert result["environment"]["VERL_PLATFORM"] == "cpu"


def test_configure_keeps_what_the_user_set(run_python):
    config = make_config()
    OmegaConf.set_struct(config, False)
    config.ray_kwargs.ray_init.num_cpus = 64
    config.ray_kwargs.ray_init.include_dashboard = True
    config.ray_kwargs.ray_init.runtime_env.env_vars = {"OMP_NUM_THREADS": 3, "MINE": "1", "VERL_PLATFORM": "nvidia"}
    result = configure(run_python, config)
    assert result["ray_init"]["num_cpus"] == 64
    assert result["ray_init"]["include_dashboard"] is True
    assert result["environment"]["OMP_NUM_THREADS"] == "3"
    assert result["environment"]["MINE"] == "1"
    assert result["environment"]["VERL_PLATFORM"] == "cpu"


def test_configure_gives_a_joined_cluster_no_resources(run_python):
    # Ray refuses num_cpus and num_gpus when it connects to a cluster that is already there.
    result = configure(run_python, make_config(), RAY_ADDRESS="127.0.0.1:6379")
    assert result["ray_init"].get("num_gpus") is None
    assert result["ray_init"].get("num_cpus") is None
    assert result["environment"]["VERL_PLATFORM"] == "cpu"


@pytest.mark.parametrize(
    ("changes", "forks"),
    [
        ({}, True),
        ({"trainer.device": "cuda"}, False),
        ({"ray_kwargs.ray_init.address": "127.0.0.1:6379"}, False),
        ({"ray_kwargs.ray_init.runtime_env.py_executable": "python"}, False),
    ],
)
def test_processes_are_forked_where_ray_is_the_runs_own(monkeypatch, changes, forks):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    started = {fork_server.ADDRESS: "/nowhere", fork_server.LAUNCHER: "/an/executable"}
    for name in started:
        monkeypatch.setenv(name, "of the run that this one was started by")
    monkeypatch.setattr(bootstrap.forking, "start", lambda: started)
    config = make_config()
    OmegaConf.set_struct(config, False)
    for key, value in changes.items():
        OmegaConf.update(config, key, value)
    before = config.copy()
    bootstrap.fork_processes(config)
    assert config == before, "it is recorded after this"
    bootstrap.use_forked_processes(config)
    if forks:
        assert config.ray_kwargs.ray_init.runtime_env.py_executable == "/an/executable"
    else:
        assert config == before


@pytest.mark.parametrize(("running", "cpus"), [(False, 35), (True, None)])
def test_actors_of_a_gpu_run_have_their_places(monkeypatch, tmp_path, running, cpus):
    """On a machine with fewer cores the last of them would wait for ever."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(bootstrap.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(bootstrap, "RUNNING_CLUSTER", tmp_path / "ray_current_cluster")
    if running:
        bootstrap.RUNNING_CLUSTER.write_text("head:6379")
    config = make_config()
    config.trainer.device, config.trainer.n_gpus_per_node = "cuda", 8
    config.transfer_queue.backend.SimpleStorage.num_data_storage_units = 8
    bootstrap.reserve_cpus(config)
    # Three for each GPU, eight storage units, TransferQueue's controller, the task runner, and room to place an actor.
    found = config.ray_kwargs.ray_init.num_cpus
    assert found is None if running else found >= cpus


def test_too_late_is_an_error(run_python):
    code = f"""
import verl
from verl.plugin.platform import get_platform
get_platform()
from omegaconf import OmegaConf
from spark_verl import compat
try:
    compat.configure(OmegaConf.create({OmegaConf.to_container(make_config())!r}))
    result = "accepted"
except RuntimeError as error:
    result = str(error)
"""
    assert "before anything of verl is imported" in run_python(code)


ENVIRONMENT_OF_WORKERS = """
import os, subprocess
from omegaconf import OmegaConf
from spark_verl import compat
config = OmegaConf.create({config!r})
compat.configure(config)
import ray
from verl.trainer.constants_ppo import get_ppo_ray_runtime_env
# As verl.trainer.main_ppo.run_ppo composes it.
runtime_env = OmegaConf.merge(get_ppo_ray_runtime_env(config), config.ray_kwargs.ray_init.runtime_env)
# A worker must not depend on what it inherits: on other nodes of a cluster there is nothing to inherit.
names = list(config.ray_kwargs.ray_init.runtime_env.env_vars)
for name in names:
    os.environ.pop(name)
ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False,
         runtime_env=OmegaConf.to_container(runtime_env))

@ray.remote(num_gpus=1)
def look(names):
    import verl
    from verl.plugin.platform import get_platform
    child = subprocess.run(["env"], capture_output=True, text=True).stdout
    in_child = dict(line.split("=", 1) for line in child.splitlines() if "=" in line)
    return get_platform().device_name, {{n: (os.environ.get(n), in_child.get(n)) for n in names}}

device, seen = ray.get(look.remote(names))
expected = OmegaConf.to_container(config.ray_kwargs.ray_init.runtime_env.env_vars)
result = dict(device=device, seen=seen, expected=expected)
"""


def test_workers_and_their_children_get_the_environment(run_python):
    result = run_python(ENVIRONMENT_OF_WORKERS.format(config=OmegaConf.to_container(make_config())))
    assert result["device"] == "cpu"
    assert result["seen"] == {name: (value, value) for name, value in result["expected"].items()}


@pytest.mark.parametrize(
    ("given", "environment", "expected"),
    [
        ({}, {}, None),
        ({}, {"VERL_FILE_LOGGER_PATH": "m.jsonl", "HF_TOKEN": "x"}, {"VERL_FILE_LOGGER_PATH": "m.jsonl"}),
        (
            {"runtime_env": {"env_vars": {"WANDB_MODE": "online", "MINE": 1}}},
            {"WANDB_MODE": "offline"},
            {"WANDB_MODE": "online", "MINE": "1"},
        ),
    ],
    ids=["nothing set", "no secrets", "the config wins"],
)
def test_what_is_set_beside_the_command_reaches_a_joined_cluster(monkeypatch, given, environment, expected):
    for name in bootstrap._CARRIED:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = OmegaConf.create({"ray_kwargs": {"ray_init": given}})
    bootstrap.carry_environment(config)
    assert OmegaConf.select(config, "ray_kwargs.ray_init.runtime_env.env_vars") == expected


def test_warnings_are_seen_where_vllms_server_is_imported() -> None:
    """The library that vLLM's server imports sets the root logger to ERROR, unless it is told otherwise."""
    code = (
        "import logging, verl, model_hosting_container_standards.logging_config;"
        "logging.getLogger('spark_verl.reward.manager').warning('seen')"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("LOG_LEVEL", "SAGEMAKER_CONTAINER_LOG_LEVEL")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0 and "seen" in done.stderr, done.stderr[-2000:]
