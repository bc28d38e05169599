"""vLLM plugin (entry point group ``vllm.general_plugins``): weights on the CPU that can be updated.

vLLM calls :func:`register` in the engine core and in every worker, before a model is built.
"""

from __future__ import annotations


def register() -> None:
    """Keep vLLM's linear layers from handing their weights to oneDNN. Inert unless ``VERL_PLATFORM=cpu``.

    After loading a model, vLLM's CPU backend packs each linear weight into a oneDNN handle and replaces the parameter
    by an empty tensor. The next weight update of the trainer then finds nothing to write to (``Attempted to load
    weight ... into parameter (torch.Size([0]))``), and if it did, the handle would go on with the old weights. Without
    oneDNN the layers call ``torch.nn.functional.linear`` on the parameter itself.
    """
    from spark_verl.platform.bootstrap import is_active

    if not is_active():
        return
    import vllm._custom_ops as custom_ops

    custom_ops._supports_onednn = False
