"""From the config to the environment of every process of the run, and with ``trainer.device=cpu`` to verl on the CPU.

verl picks its platform once per process, from ``VERL_PLATFORM``, when something first asks for it. So the driver sets
the variable before it imports ``verl.trainer`` or ``verl.workers``, and Ray's runtime environment carries it to all
workers, whose children (vLLM's engine core and its workers) inherit it.

Nothing here imports verl at module level.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from spark_verl.compat import fork_server, forking
from spark_verl.compat.shared_pictures import SHARED_VARIABLE
from spark_verl.compat.vision_tower import FROZEN_VARIABLE
from spark_verl.compat.weight_sockets import VARIABLE as RUN_VARIABLE

PLATFORM_VARIABLE = "VERL_PLATFORM"
PLATFORM_NAME = "cpu"
LOCAL = "local"
"""Ray's word for a cluster of one's own."""
RUNNING_CLUSTER = Path("/tmp/ray/ray_current_cluster")
"""Where ``ray start`` notes the cluster of this machine, which a run on GPUs without an address joins."""
MODEL_FIXES = "spark_verl.compat.verl_models"

_RAY = "ray_kwargs.ray_init"
_VARIABLES = f"{_RAY}.runtime_env.env_vars"
_EXECUTABLE = f"{_RAY}.runtime_env.py_executable"

_CARRIED = (
    "VERL_FILE_LOGGER_PATH",
    "VERL_FILE_LOGGER_ROOT",
    "VERL_LOGGING_LEVEL",
    "TENSORBOARD_DIR",
    "WANDB_MODE",
    "HF_HUB_OFFLINE",
)
"""What a user sets beside the training command and the run's processes read, none of it secret."""

# verl bundles this many logical CPUs with each rank (ResourcePoolManager.max_colocate_count).
_CPUS_PER_RANK = 3
# TransferQueue's controller, and room to place the actors that ask for a CPU only while they are being scheduled.
_SPARE_CPUS = 4


def _requested_platform() -> str:
    """What ``VERL_PLATFORM`` says, as verl reads it."""
    return os.environ.get(PLATFORM_VARIABLE, "").strip().lower()


def is_active() -> bool:
    """Whether this process was asked to run verl on the CPU."""
    return _requested_platform() == PLATFORM_NAME


def cpu_environment(n_ranks: int = 1) -> dict[str, str]:
    """The environment of every process of a CPU run.

    Args:
        n_ranks: FSDP ranks (and vLLM replicas) that share this machine; its cores are divided among them. A rank and
            its replica take turns, so they may use the same cores.

    Returns:
        Variable → value. What is already set in ``os.environ`` wins, except for the platform itself.
    """
    cores = len(os.sched_getaffinity(0))
    defaults = {
        # The FSDP engine is registered for "cuda" and "npu"; nothing in it needs either.
        "VERL_ENGINE_DEVICE": "cuda",
        # GiB per replica. vLLM's own default is a share of the whole machine, for each replica.
        "VLLM_CPU_KVCACHE_SPACE": "1",
        # vLLM would pin each replica to its own cores; here the ranks need the same ones a moment later.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        # Ray sets 1 where nothing is set; torch would take all cores in each of the ranks.
        "OMP_NUM_THREADS": str(max(1, cores // max(1, n_ranks))),
        # OpenMP threads that wait for each other sleep soon, instead of taking the core from whoever they wait for
        # (run_scripts/setup_env.sh has the same for what is started there).
        "GOMP_SPINCOUNT": "1000",
        # The tokenizer's threads pay off for long batches only, and here they compete with the engine.
        "TOKENIZERS_PARALLELISM": "false",
        # TransferQueue sets torch's threads for every put and get (8, with a warning each time on fewer cores).
        "TQ_NUM_THREADS": "1",
        # vLLM runs its worker inside the engine's process (distributed_executor_backend=uni) only where this is 0; the
        # engine itself stays a process of its own either way. One set of imports less.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        # Even with enforce_eager, vLLM compiles a few helpers with inductor, which first builds and loads one test
        # library per instruction set, each in a Python process of its own: 16 s on 2 cores.
        "TORCHDYNAMO_DISABLE": "1",
        # Ray would start one worker per core for tasks without a runtime environment; every task here has one.
        "RAY_prestart_worker_first_driver": "0",
        # Ray would run its workers at low priority (niceness 15): with anything else running, a thread that shares its
        # core gets 3 % of it, and the threads of the same operation wait for it.
        "RAY_worker_niceness": "0",
        # Ray gives its own node 30 s to start, which is not much for two runs and a busy program on two cores.
        "RAY_raylet_start_wait_time_s": "300",
        # Neither may look for a network.
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    environment = {name: os.environ.get(name, value) for name, value in defaults.items()}
    return environment | {PLATFORM_VARIABLE: PLATFORM_NAME}


def keep_warnings() -> None:
    """Let warnings be seen in processes that import vLLM's server.

    It imports a library that sets the root logger, and all its handlers, to the level of this variable: ERROR where it
    is not set. Warnings of the agent-loop worker, the trainer and verl itself would be lost without a word.
    """
    if "LOG_LEVEL" not in os.environ:
        os.environ.setdefault("SAGEMAKER_CONTAINER_LOG_LEVEL", "WARNING")


def install() -> None:
    """Put the platform, and the patches that it needs, into this process, where ``VERL_PLATFORM=cpu``.

    Must run before ``verl.workers`` is imported, which binds two of the names that are replaced; the plugin does,
    because verl loads plugins at the end of its own ``__init__``.

    Raises:
        RuntimeError: verl has already settled on another platform.
    """
    from verl.plugin.platform import platform_manager

    from spark_verl.compat import torch_cpu, verl_cpu, vllm_cpu

    verl_cpu.use_one_gloo_backend()
    torch_cpu.never_pin_offloaded_memory()
    vllm_cpu.alias_vllm_distribution()
    chosen = platform_manager._current_platform
    if chosen is not None and not isinstance(chosen, verl_cpu.PlatformCPU):
        raise RuntimeError(
            f"verl already runs on platform {chosen.device_name!r} in this process: set {PLATFORM_VARIABLE}="
            f"{PLATFORM_NAME} (or call spark_verl.compat.configure) before anything of verl is imported"
        )


def names_cluster(config: DictConfig) -> bool:
    """Whether a running Ray cluster is named, in ``ray_kwargs.ray_init.address`` or ``RAY_ADDRESS``."""
    address = config.ray_kwargs.ray_init.get("address") or os.environ.get("RAY_ADDRESS") or LOCAL
    return address != LOCAL


def configure(config: DictConfig) -> dict[str, str]:
    """Prepare a run on CPUs if the config asks for one; otherwise do nothing.

    With ``trainer.device=cpu``, ``trainer.n_gpus_per_node=N`` means N FSDP ranks over gloo and N vLLM replicas per
    node. Call it in the driver, once, before ``verl.trainer.main_ppo`` is imported. It sets ``os.environ``, installs
    the platform in this process, and fills what is missing in ``config.ray_kwargs.ray_init``: the runtime environment
    that carries the variables to all workers, and, unless an existing cluster is joined, logical GPUs.

    Args:
        config: The composed Hydra config; changed in place.

    Returns:
        The variables every process of the run gets; empty on any other device.

    Raises:
        ValueError: ``VERL_PLATFORM`` and ``trainer.device`` contradict each other.
        RuntimeError: verl has already settled on another platform.
    """
    device, requested = config.trainer.device, _requested_platform()
    if requested and (requested == PLATFORM_NAME) != (device == PLATFORM_NAME):
        raise ValueError(
            f"trainer.device={device} but {PLATFORM_VARIABLE}={requested}: unset {PLATFORM_VARIABLE}, or set"
            " trainer.device=cpu to train without a GPU"
        )
    if device != PLATFORM_NAME:
        return {}
    n_ranks = int(config.trainer.n_gpus_per_node)
    # Variables in the config win over ours; the platform is not negotiable.
    environment = cpu_environment(n_ranks) | _variables(config) | {PLATFORM_VARIABLE: PLATFORM_NAME}
    _set(config, _VARIABLES, environment)
    if not names_cluster(config):
        # Ray would join a cluster that happens to run on this machine, and refuse the numbers below.
        _set_missing(config, f"{_RAY}.address", LOCAL)
        _set_missing(config, f"{_RAY}.num_gpus", n_ranks)
        # Two more processes with a full set of imports, for a page nobody opens on such a machine.
        _set_missing(config, f"{_RAY}.include_dashboard", False)
    os.environ.update(environment)

    import verl  # noqa: F401  (first: it loads the plugin, which installs the platform)

    install()
    return environment


def fork_processes(config: DictConfig) -> None:
    """Begin to import what the processes of a run on CPUs are forked with (:mod:`spark_verl.compat.forking`)."""
    if _forks(config):
        os.environ.update(forking.start())


def use_forked_processes(config: DictConfig) -> None:
    """Wait until all is imported, and have Ray's workers forked. To be called right before Ray starts.

    Changes ``config`` in place, in a way that only this process can use: not before the config is recorded.
    """
    if _forks(config):
        forking.wait(os.environ[fork_server.ADDRESS])
        _set(config, _EXECUTABLE, os.environ[fork_server.LAUNCHER])


def _forks(config: DictConfig) -> bool:
    """Whether Ray is the run's own (a cluster may have other machines), and the config names no executable."""
    own = config.trainer.device == PLATFORM_NAME and not names_cluster(config)
    return own and OmegaConf.select(config, _EXECUTABLE) is None


def reserve_cpus(config: DictConfig) -> None:
    """Give a Ray that this run starts as many logical CPUs as its actors ask for, on any device.

    With fewer, the last actors wait for a place without an end and without a word: 35 are asked for with 8 GPUs. They
    are no cores, only places. Changes ``config.ray_kwargs.ray_init`` in place where ``num_cpus`` is not set.
    """
    joins = names_cluster(config) or (config.trainer.device != PLATFORM_NAME and RUNNING_CLUSTER.is_file())
    if joins:
        return
    units = OmegaConf.select(config, "transfer_queue.backend.SimpleStorage.num_data_storage_units") or 0
    needed = int(config.trainer.n_gpus_per_node) * _CPUS_PER_RANK + int(units) + _SPARE_CPUS
    _set_missing(config, f"{_RAY}.num_cpus", max(needed, os.cpu_count() or 1))


def carry_environment(config: DictConfig) -> None:
    """Put the variables of :data:`_CARRIED` that are set here into the run's runtime environment.

    Processes of a Ray cluster that was started earlier have the environment of ``ray start``, not that of the command
    that joins it; metrics would go to another file than the one asked for. Changes ``config`` in place.
    """
    found = {name: os.environ[name] for name in _CARRIED if name in os.environ}
    if found:
        _set(config, _VARIABLES, found | _variables(config))


def name_run(config: DictConfig) -> None:
    """Give the run a word of its own, for the sockets that its weights go through (changes ``config`` in place)."""
    _set(config, _VARIABLES, {RUN_VARIABLE: secrets.token_hex(4)} | _variables(config))


def mend_models(config: DictConfig) -> None:
    """Have verl import :mod:`spark_verl.compat.verl_models` wherever it builds a model, beside a user's own modules.

    Changes ``actor_rollout_ref.model.external_lib`` of ``config`` in place, and, for a vision tower that is to be
    frozen or to see no picture twice, the environment of the run's processes.

    Raises:
        ValueError: The tower cannot be frozen with this kind of sharding.
    """
    actor = config.actor_rollout_ref.actor
    if actor.get("freeze_vision_tower"):
        if actor.strategy != "fsdp2" and not actor.fsdp_config.get("use_orig_params"):
            raise ValueError(
                f"actor_rollout_ref.actor.freeze_vision_tower=true needs actor.strategy=fsdp2 (is {actor.strategy}):"
                " FSDP1 shards frozen and trained weights together"
            )
        _set(config, _VARIABLES, _variables(config) | {FROZEN_VARIABLE: "1"})
    if OmegaConf.select(config, "spark.share_media"):
        _set(config, _VARIABLES, _variables(config) | {SHARED_VARIABLE: "1"})
    found = config.actor_rollout_ref.model.external_lib
    modules = list(found) if isinstance(found, ListConfig) else [found] if found else []
    if MODEL_FIXES not in modules:
        # A list only where there are several: verl takes both.
        _set(config, "actor_rollout_ref.model.external_lib", [MODEL_FIXES, *modules] if modules else MODEL_FIXES)


def _variables(config: DictConfig) -> dict[str, str]:
    """The variables that the config itself gives to the run's processes."""
    return {str(name): str(value) for name, value in (OmegaConf.select(config, _VARIABLES) or {}).items()}


def _set(config: DictConfig, key: str, value: Any) -> None:
    OmegaConf.update(config, key, value, merge=False, force_add=True)


def _set_missing(config: DictConfig, key: str, value: Any) -> None:
    """Set a key where it is absent or null."""
    if OmegaConf.select(config, key) is None:
        _set(config, key, value)
