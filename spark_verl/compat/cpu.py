"""verl's device interface on a machine without an accelerator.

verl reaches every device through :class:`verl.plugin.platform.PlatformBase` and a ``torch.<device>`` namespace. Here
the device is the CPU itself: streams and caches do not exist, memory is the process's resident memory, and Ray's
"GPU" is a logical resource that stands for one rank.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import torch
from verl.plugin.platform import PlatformBase, PlatformRegistry

# getrusage reports the peak in KiB on Linux and in bytes on macOS.
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024


class CpuDeviceModule(ModuleType):
    """``torch.cpu`` with the calls that verl expects of any ``torch.<device>`` namespace.

    Anything not defined here comes from ``torch.cpu`` (streams, for instance, which it has as no-ops).
    """

    def __init__(self) -> None:
        super().__init__("spark_verl.compat.cpu.device", doc=CpuDeviceModule.__doc__)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.cpu, name)

    def is_available(self) -> bool:
        return True

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def set_device(self, device: Any = None) -> None:
        """Do nothing: there is one device."""

    def synchronize(self, device: Any = None) -> None:
        """Do nothing: work on the CPU is done when the call returns."""

    def empty_cache(self) -> None:
        """Do nothing: the allocator keeps no device cache."""

    def ipc_collect(self) -> None:
        """Do nothing: no memory is shared through device handles."""

    def set_per_process_memory_fraction(self, fraction: float, device: Any = None) -> None:
        """Do nothing: resident memory is not limited by torch."""

    def memory_allocated(self, device: Any = None) -> int:
        """Return this process's resident memory in bytes."""
        return psutil.Process().memory_info().rss

    def memory_reserved(self, device: Any = None) -> int:
        return self.memory_allocated()

    def max_memory_allocated(self, device: Any = None) -> int:
        """Return this process's peak resident memory in bytes."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT

    def max_memory_reserved(self, device: Any = None) -> int:
        return self.max_memory_allocated()

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        """Do nothing: the kernel's peak cannot be reset."""

    def reset_accumulated_memory_stats(self, device: Any = None) -> None:
        """Do nothing, as for the peak."""

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """Return (available, total) memory of the machine in bytes."""
        memory = psutil.virtual_memory()
        return memory.available, memory.total

    def get_device_name(self, device: Any = None) -> str:
        # The key under which verl's FLOPs table holds a CPU.
        return "CPU"

    def get_device_properties(self, device: Any = None) -> SimpleNamespace:
        return SimpleNamespace(name=self.get_device_name(), total_memory=self.mem_get_info()[1])

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)


@PlatformRegistry.register(platform="cpu")
class PlatformCPU(PlatformBase):
    """The CPU as verl's device; chosen by ``VERL_PLATFORM=cpu`` only."""

    _module = CpuDeviceModule()

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "generic"

    @property
    def device_module(self) -> ModuleType:
        return self._module

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        # verl asks this to auto-detect. A head node without a GPU in a GPU cluster must not find a CPU platform.
        return False

    def current_device(self) -> torch.device:
        # verl passes this to `Tensor.to`, where a bare index would mean an accelerator.
        return torch.device("cpu")

    def device_count(self) -> int:
        return self._module.device_count()

    def set_device(self, device_index: int) -> None:
        self._module.set_device(device_index)

    def synchronize(self, device_index: int | None = None) -> None:
        self._module.synchronize(device_index)

    def manual_seed(self, seed: int) -> None:
        self._module.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        self._module.manual_seed_all(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """Do nothing: the settings are those of the CUDA allocator."""

    def empty_cache(self) -> None:
        self._module.empty_cache()

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        # Ray numbers its logical GPUs through this variable; nothing reads it as a GPU here.
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        """Do nothing: there is no device profiler."""

    def profiler_stop(self) -> None:
        """Do nothing: there is no device profiler."""

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

    def cudart(self) -> None:
        return None
