"""The patches of private parts of verl and torch that a run without a GPU needs.

Each is one function with its reason; :func:`apply` is called by :func:`spark_verl.compat.bootstrap.install` in every
process of a CPU run, and in no other. The fourth patch, of vLLM, is in :mod:`spark_verl.compat.vllm_cpu`.
"""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Iterable
from typing import Any

_MARK = "_spark_verl_cpu"


def apply() -> None:
    """Apply all patches to this process. Idempotent.

    Must run before ``verl.workers`` is imported, which binds two of the names; the plugin does, because verl loads
    plugins at the end of its own ``__init__``.
    """
    use_one_gloo_backend()
    never_pin_offloaded_memory()
    alias_vllm_distribution()


def use_one_gloo_backend() -> None:
    """Let verl open its process group with ``cpu:gloo`` instead of ``cpu:gloo,cpu:gloo``.

    verl asks for one backend per device, ``cpu:gloo,{device}:{backend}``. With the CPU as the device this names the
    CPU twice, which torch refuses (``Duplicate device type cpu in backend string``).
    """
    from verl.utils import distributed

    original = distributed.initialize_global_process_group_ray
    if getattr(original, _MARK, False):
        return

    @functools.wraps(original)
    def initialize_global_process_group_ray(timeout_second: float | None = None, backend: str | None = None) -> None:
        original(timeout_second=timeout_second, backend=backend or "cpu:gloo")

    setattr(initialize_global_process_group_ray, _MARK, True)
    distributed.initialize_global_process_group_ray = initialize_global_process_group_ray


def never_pin_offloaded_memory() -> None:
    """Make ``CPUOffloadPolicy`` ignore ``pin_memory=True``.

    verl shards a forward-only model (the reference policy) with ``CPUOffloadPolicy(pin_memory=True)``, without an
    option. Page-locking host memory is done by the CUDA driver, so without one it raises, and there is no device that
    would copy from that memory.
    """
    import torch.distributed.fsdp as fsdp

    if getattr(fsdp.CPUOffloadPolicy, _MARK, False):
        return

    class UnpinnedOffloadPolicy(fsdp.CPUOffloadPolicy):
        """``CPUOffloadPolicy`` whose memory stays pageable."""

        def __init__(self, pin_memory: bool = False) -> None:
            super().__init__(pin_memory=False)

    setattr(UnpinnedOffloadPolicy, _MARK, True)
    fsdp.CPUOffloadPolicy = UnpinnedOffloadPolicy


def alias_vllm_distribution() -> None:
    """Let ``importlib.metadata`` answer for ``vllm`` where only its CPU build ``vllm-cpu`` is installed.

    verl looks up the version of the distribution ``vllm`` (``verl.third_party.vllm``, the vLLM rollout) and gives up
    when there is none. The alias reports ``<version>+cpu``: vLLM itself recognises its CPU build by that suffix, and
    verl compares versions by order, which the suffix does not change.
    """
    if not any(isinstance(finder, _VllmAliasFinder) for finder in sys.meta_path):
        # Last, so that a real `vllm` is found first.
        sys.meta_path.append(_VllmAliasFinder())


class _VllmAlias(importlib.metadata.Distribution):
    """The metadata of ``vllm-cpu`` under the name ``vllm``."""

    def __init__(self, build: importlib.metadata.Distribution) -> None:
        self._build = build

    @property
    def version(self) -> str:
        return self._build.version.partition("+")[0] + "+cpu"

    def read_text(self, filename: str) -> str | None:
        # The entry points stay with `vllm-cpu`, or every plugin would be found twice.
        if filename == "entry_points.txt":
            return None
        text = self._build.read_text(filename)
        if filename == "METADATA" and text:
            text = text.replace("Name: vllm-cpu", "Name: vllm", 1)
        return text

    def locate_file(self, path: Any) -> Any:
        return self._build.locate_file(path)


class _VllmAliasFinder(importlib.metadata.DistributionFinder):
    """Finds no module, and one distribution: ``vllm``, when asked for it by name."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        return None

    def find_distributions(
        self, context: importlib.metadata.DistributionFinder.Context | None = None
    ) -> Iterable[importlib.metadata.Distribution]:
        if getattr(context, "name", None) != "vllm":
            return
        try:
            yield _VllmAlias(importlib.metadata.distribution("vllm-cpu"))
        except importlib.metadata.PackageNotFoundError:
            return
