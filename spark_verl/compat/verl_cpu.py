"""verl's device interface on a machine without an accelerator.

verl reaches every device through :class:`verl.plugin.platform.PlatformBase` and a ``torch.<device>`` namespace. Here
the device is the CPU itself: streams and caches do not exist, memory is the process's resident memory, and Ray's
"GPU" is a logical resource that stands for one rank.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import psutil
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

from spark_verl.compat.replace import replaces


def _nothing(*_: Any, **__: Any) -> None:
    """What means something on an accelerator only."""


class CpuDevice:
    """``torch.cpu`` and what verl calls of any ``torch.<device>`` namespace beside that; sizes are bytes."""

    empty_cache = ipc_collect = set_per_process_memory_fraction = _nothing
    # The kernel's peak cannot be reset.
    reset_peak_memory_stats = reset_accumulated_memory_stats = _nothing

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def memory_allocated(self) -> int:
        """This process's resident memory."""
        return psutil.Process().memory_info().rss

    def max_memory_allocated(self) -> int:
        """This process's peak resident memory."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    memory_reserved, max_memory_reserved = memory_allocated, max_memory_allocated

    def mem_get_info(self) -> tuple[int, int]:
        """(available, total) memory of the machine."""
        memory = psutil.virtual_memory()
        return memory.available, memory.total

    def get_device_name(self) -> str:
        """The key under which verl's FLOPs table holds a CPU."""
        return "CPU"

    def get_device_properties(self, _: Any) -> SimpleNamespace:
        """Name and memory of the machine."""
        return SimpleNamespace(name=self.get_device_name(), total_memory=self.mem_get_info()[1])

    def get_rng_state(self) -> torch.Tensor:
        """torch's state on the CPU."""
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor) -> None:
        """Set torch's state on the CPU."""
        torch.set_rng_state(state)


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformBase):
    """The CPU as verl's device, chosen by ``VERL_PLATFORM=cpu`` only; the methods are described by their base."""

    device_name = "cpu"
    vendor_name = "generic"
    device_module = CpuDevice()

    # There is one device, whose work is done when a call returns; it has no cache, allocator settings or profiler.
    set_device = synchronize = empty_cache = set_allocator_settings = _nothing
    profiler_start = profiler_stop = cudart = _nothing

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        # verl asks this to auto-detect. A head node without a GPU in a GPU cluster must not find a CPU platform.
        return False

    def current_device(self) -> torch.device:  # ty: ignore[incompatible-method-override]
        # verl passes this to `Tensor.to`, where a bare index would mean an accelerator.
        return torch.device("cpu")

    def device_count(self) -> int:
        return 1

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        # Ray numbers its logical GPUs through this variable; nothing reads it as a GPU here.
        return "CUDA_VISIBLE_DEVICES"

    def nvtx_range(self, msg: str) -> nullcontext[None]:  # ty: ignore[incompatible-method-override]
        return nullcontext()

    def get_device_uuid(self, device_id: int) -> str:
        return f"cpu-{device_id}"

    def ray_resource_name(self) -> str:
        # verl counts "GPU" (or "NPU") in the cluster before it starts; Ray is given logical ones.
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        # Weights then travel from rank to replica through POSIX shared memory.
        return False


@replaces("verl.utils.distributed", "initialize_global_process_group_ray")
def use_one_gloo_backend(original: Callable[..., None]) -> Callable[..., None]:
    """Let verl open its process group with ``cpu:gloo`` instead of ``cpu:gloo,cpu:gloo``.

    verl asks for one backend per device, ``cpu:gloo,{device}:{backend}``. With the CPU as the device this names the
    CPU twice, which torch refuses (``Duplicate device type cpu in backend string``).
    """

    def initialize_global_process_group_ray(timeout_second: float | None = None, backend: str | None = None) -> None:
        original(timeout_second=timeout_second, backend=backend or "cpu:gloo")

    return initialize_global_process_group_ray
