"""What FSDP needs where there is no CUDA driver."""

from __future__ import annotations

from typing import Any

from spark_verl.compat.replace import replaces


@replaces("torch.distributed.fsdp", "CPUOffloadPolicy")
def never_pin_offloaded_memory(policy: Any) -> type:
    """Make ``CPUOffloadPolicy`` ignore ``pin_memory=True``. Must come before ``verl.workers`` is imported.

    verl shards a forward-only model (the reference policy) with ``CPUOffloadPolicy(pin_memory=True)``, without an
    option. Page-locking host memory is done by the CUDA driver, so without one it raises, and there is no device that
    would copy from that memory.
    """

    class UnpinnedOffloadPolicy(policy):
        """``CPUOffloadPolicy`` whose memory stays pageable."""

        def __init__(self, pin_memory: bool = False) -> None:
            super().__init__(pin_memory=False)

    return UnpinnedOffloadPolicy
