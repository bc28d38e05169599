"""vLLM plugin (entry point group ``vllm.general_plugins``): weights on the CPU that can be updated, and fair threads.

vLLM calls :func:`register` in the engine core and in every worker, before a model is built.
"""

from __future__ import annotations

import os


def register() -> None:
    """Keep vLLM's linear layers from handing their weights to oneDNN, and leave a core to those that feed the engine.

    Inert unless ``VERL_PLATFORM=cpu``.

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
