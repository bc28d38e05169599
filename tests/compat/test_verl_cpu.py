"""The platform answers what verl asks of a device."""

from __future__ import annotations

PLATFORM = """
import torch
import verl
from verl.plugin.platform import get_platform
from verl.utils import device as verl_device
from verl.utils.memory_utils import aggressive_empty_cache, get_memory_info
from verl.utils.flops_counter import get_device_flops

platform = get_platform()
module = verl_device.get_torch_device()
torch.manual_seed(3)
state = module.get_rng_state()
first = torch.rand(2).tolist()
module.set_rng_state(state)
with platform.nvtx_range("anything"):
    again = torch.rand(2).tolist()
platform.manual_seed(5)
seeded = torch.rand(2).tolist()
torch.manual_seed(5)
aggressive_empty_cache()
result = dict(
    name=platform.device_name,
    tensor=torch.ones(1, device=verl_device.get_device_id()).device.type,
    backend=verl_device.get_nccl_backend(),
    ipc=verl_device.is_support_ipc(),
    available=[module.is_available(), verl_device.is_device_available()],
    detectable=platform.is_platform_available(use_smi_check=True),
    resource=[platform.ray_resource_name(), platform.ray_resource_options(0.5)],
    capability=verl_device.get_device_capability(),
    same_state=first == again,
    same_seed=seeded == torch.rand(2).tolist(),
    memory=[module.memory_allocated(), module.max_memory_allocated(), *module.mem_get_info()],
    info=get_memory_info(),
    flops=get_device_flops(),
    stream=type(module.current_stream()).__name__,
)
"""


def test_platform_answers_what_verl_asks(run_python):
    result = run_python(PLATFORM, VERL_PLATFORM="cpu")
    assert (result["name"], result["tensor"], result["backend"], result["ipc"]) == ("cpu", "cpu", "gloo", False)
    assert result["available"] == [True, True]
    assert result["resource"] == ["GPU", {"num_gpus": 0.5}]
    assert result["capability"] == (None, None)
    assert result["same_state"] and result["same_seed"]
    resident, peak, free, total = result["memory"]
    # A process with torch in it: hundreds of MiB, in bytes, and less than the machine has.
    assert 2**27 < resident <= total and 2**27 < peak <= total and 0 < free <= total
    assert result["info"]["allocated_memory_gb"] > 0.1
    assert 0 < result["flops"] < 10, "TFLOPS of a CPU"
    assert result["detectable"] is False


def test_platform_is_never_detected(run_python):
    code = """
import verl
import spark_verl.compat.verl_cpu
from verl.plugin.platform import get_platform
result = get_platform().device_name
"""
    assert run_python(code) != "cpu", "a node without a GPU must not choose the CPU on its own"
