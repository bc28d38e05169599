"""Every patch works, is still needed, and is not there unless it was asked for."""

from __future__ import annotations

import pytest

OBSERVE = """
import importlib.metadata
import sys
import verl
import torch.distributed.fsdp as fsdp
from verl.plugin.platform import PlatformRegistry
from verl.utils import distributed
from spark_verl.compat import vllm_cpu

def vllm_version():
    try:
        return importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError:
        return None

import vllm._custom_ops as custom_ops
before = custom_ops._supports_onednn
vllm_cpu.register()
result = dict(
    plugin="spark_verl.plugin" in sys.modules,
    platforms=sorted(PlatformRegistry.registered_names()),
    cpu_module="spark_verl.compat.verl_cpu" in sys.modules,
    process_group=distributed.initialize_global_process_group_ray.__module__,
    offload_policy=fsdp.CPUOffloadPolicy.__module__,
    vllm_version=vllm_version(),
    onednn=[before, custom_ops._supports_onednn],
    version=importlib.metadata.version.__module__,
)
"""


def test_nothing_is_patched_unless_asked(run_python):
    result = run_python(OBSERVE)
    assert result["plugin"], "verl did not load the plugin"
    assert "cpu" not in result["platforms"]
    assert not result["cpu_module"]
    assert result["process_group"] == "verl.utils.distributed"
    assert result["offload_policy"].startswith("torch.")
    assert result["version"] == "importlib.metadata"
    assert result["onednn"][0] == result["onednn"][1]


def test_everything_is_patched_when_asked(run_python):
    result = run_python(OBSERVE, VERL_PLATFORM="cpu")
    assert result["plugin"] and result["cpu_module"]
    assert "cpu" in result["platforms"]
    assert result["process_group"] == "spark_verl.compat.verl_cpu"
    assert result["offload_policy"] == "spark_verl.compat.torch_cpu"
    assert result["version"] == "spark_verl.compat.vllm_cpu"
    assert result["vllm_version"] == "0.24.0+cpu"
    assert result["onednn"][1] is False


def test_applying_twice_changes_nothing(run_python):
    code = """
import importlib.metadata
import verl
import torch.distributed.fsdp as fsdp
from spark_verl.compat import bootstrap
from verl.utils import distributed

def state():
    replaced = distributed.initialize_global_process_group_ray, fsdp.CPUOffloadPolicy, importlib.metadata.version
    return [id(each) for each in replaced]

before = state()
bootstrap.install()
result = before == state()
"""
    assert run_python(code, VERL_PLATFORM="cpu")


PROCESS_GROUP = """
import os
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", RANK="0", WORLD_SIZE="1")
import torch
import torch.distributed as dist
from verl.utils.distributed import initialize_global_process_group_ray

try:
    dist.init_process_group("cpu:gloo,cpu:gloo", store=dist.HashStore(), rank=0, world_size=1)
    refused = ""
except ValueError as error:
    refused = str(error)
initialize_global_process_group_ray()
tensor = torch.ones(3)
dist.all_reduce(tensor)
result = dict(refused=refused, backend=dist.get_backend(), sum=tensor.tolist())
"""


def test_process_group_opens_with_one_gloo(run_python):
    result = run_python(PROCESS_GROUP, VERL_PLATFORM="cpu")
    assert "uplicate" in result["refused"], "torch accepts the doubled backend now: the patch can go"
    assert result["backend"] == "cpu:gloo"
    assert result["sum"] == [1.0, 1.0, 1.0]


FORWARD_ONLY_MODEL = """
import os
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", RANK="0", WORLD_SIZE="1")
import torch
from verl.utils.distributed import initialize_global_process_group_ray
from verl.utils.fsdp_utils import CPUOffloadPolicy, fully_shard
from torch.distributed.device_mesh import init_device_mesh

initialize_global_process_group_ray()
mesh = init_device_mesh("cpu", (1,))

def forward(policy):
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 2)
    expected = model(torch.ones(1, 4)).tolist()
    fully_shard(model, mesh=mesh, offload_policy=policy)
    return model(torch.ones(1, 4)).tolist() == expected

try:
    forward(CPUOffloadPolicy.__bases__[0](pin_memory=True))
    unpatched = "works"
except Exception as error:
    unpatched = type(error).__name__
policy = CPUOffloadPolicy(pin_memory=True)
result = dict(pinned=policy.pin_memory, same=forward(policy), unpatched=unpatched, cuda=torch.cuda.is_available())
"""


def test_reference_model_is_offloaded_without_pinning(run_python):
    result = run_python(FORWARD_ONLY_MODEL, VERL_PLATFORM="cpu")
    assert result["pinned"] is False
    assert result["same"]
    if not result["cuda"]:
        assert result["unpatched"] != "works", "pinning works without a driver now: the patch can go"


def test_vllm_has_a_version_under_its_own_name(run_python):
    code = """
import importlib.metadata as metadata
import verl
from collections import Counter
plugins = Counter(e.name for e in metadata.entry_points(group="vllm.general_plugins"))
try:
    missing = metadata.version("no-such-distribution")
except metadata.PackageNotFoundError as error:
    missing = error.name
from vllm.platforms import current_platform
from verl.third_party.vllm import vllm_version
from verl.workers.rollout.vllm_rollout import vllm_package_version
result = dict(plugins=max(plugins.values()), missing=missing, other=metadata.version("verl"),
              is_cpu=current_platform.is_cpu(), verl_sees=[vllm_version, vllm_package_version])
"""
    result = run_python(code, VERL_PLATFORM="cpu")
    assert result["plugins"] == 1
    assert (result["missing"], result["other"]) == ("no-such-distribution", "0.9.1")
    assert result["is_cpu"], "vLLM no longer recognises its CPU build"
    assert result["verl_sees"] == ["0.24.0+cpu"] * 2


LINEAR_LAYER = """
import torch
import verl
from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm
from spark_verl.compat.vllm_cpu import register

def update_after_loading():
    layer = torch.nn.Linear(64, 64, bias=False)
    dispatch_cpu_unquantized_gemm(layer, remove_weight=True)
    kept = layer.weight.numel()
    if kept:
        with torch.no_grad():
            layer.weight.fill_(1.0)
    output = layer.cpu_linear(torch.ones(1, 64), layer.weight, None)
    return kept, output[0, 0].item()

import vllm._custom_ops as custom_ops
onednn = custom_ops._supports_onednn
before = update_after_loading()
register()
result = dict(onednn=onednn, before=before, after=update_after_loading())
"""


def test_linear_weights_stay_and_can_be_updated(run_python):
    result = run_python(LINEAR_LAYER, VERL_PLATFORM="cpu")
    assert result["after"] == (64 * 64, pytest.approx(64.0))
    if result["onednn"]:
        assert result["before"][0] == 0, "vLLM keeps the weights now: the plugin can go"


ENGINE_THREADS = """
import os
import torch
import verl
from spark_verl.compat.vllm_cpu import register

# Threads of the process that forked this one are not its own.
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
register()
register()
result = torch.get_num_threads()
"""


@pytest.mark.parametrize(
    ("threads", "environment", "expected"),
    [(4, {"VERL_PLATFORM": "cpu"}, 3), (2, {"VERL_PLATFORM": "cpu"}, 1), (1, {"VERL_PLATFORM": "cpu"}, 1), (4, {}, 4)],
)
def test_engine_leaves_a_core_to_those_that_feed_it(run_python, threads: int, environment: dict, expected: int):
    assert run_python(ENGINE_THREADS, OMP_NUM_THREADS=str(threads), **environment) == expected
