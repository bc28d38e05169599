"""Two ranks on gloo: verl's fused log-probabilities of an FSDP2 model with its own head. Run by torchrun.

    torchrun --nproc-per-node 2 fused_ranks.py text|vision fixed|plain

``vision`` has no image in its batch. Ends with an error unless log-probabilities and gradients are those of the whole
model in one process.
"""

import copy
import sys

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Config, Qwen2ForCausalLM
from verl.models.transformers.monkey_patch import apply_monkey_patch
from verl.utils.fsdp_utils import apply_fsdp2, fsdp2_load_full_state_dict

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"num_key_value_heads": 2, "vocab_size": 60, "tie_word_embeddings": False}


def build(kind: str):
    torch.manual_seed(0)
    if kind == "text":
        return Qwen2ForCausalLM(Qwen2Config(**SIZES, attn_implementation="sdpa"))
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 32}
    text = {**SIZES, "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False)
    config._attn_implementation = "sdpa"
    return Qwen2_5_VLForConditionalGeneration(config)


def positions(kind: str, ids: torch.Tensor) -> torch.Tensor:
    plain = torch.arange(ids.shape[1])[None].expand(ids.shape)
    return plain if kind == "text" else plain[None].expand(4, *ids.shape)


def main(kind: str, how: str) -> None:
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    whole = build(kind)
    model = copy.deepcopy(whole)
    if how == "fixed":
        import spark_verl.compat.verl_models  # noqa: F401
    # Different on each rank, and two micro-batches before the gradients are used.
    generator = torch.Generator().manual_seed(1)
    batches = [torch.randint(3, 60, (2, 9), generator=generator) for _ in range(2 * ranks)]
    expected, loss = [], 0.0
    for ids in batches:
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        logits = whole(**inputs).logits.float()
        found = logits.log_softmax(-1).gather(-1, ids.roll(-1, 1)[..., None])[..., 0]
        expected.append(found.detach())
        loss = loss + found.sum() / ranks
    loss.backward()
    apply_monkey_patch(model, use_remove_padding=False, use_fused_kernels=True, fused_kernels_backend="torch")
    mesh = init_device_mesh("cpu", (ranks,))
    precision = MixedPrecisionPolicy(param_dtype=torch.float32, reduce_dtype=torch.float32)
    settings = {"mesh": mesh, "mp_policy": precision, "offload_policy": None, "reshard_after_forward": True}
    full = model.state_dict()
    apply_fsdp2(model, settings, {})
    fsdp2_load_full_state_dict(model, full, mesh, None)
    for ids, wanted in list(zip(batches, expected, strict=True))[rank::ranks]:
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "position_ids": positions(kind, ids)}
        output = model(**inputs, return_dict=True, use_cache=False)
        torch.testing.assert_close(output.log_probs, wanted, rtol=1e-4, atol=1e-5)
        output.log_probs.sum().backward()
    gradients = dict(whole.named_parameters())
    for name, parameter in model.named_parameters():
        if "visual" in name:
            continue
        torch.testing.assert_close(parameter.grad.full_tensor(), gradients[name].grad, rtol=1e-3, atol=1e-5)
    dist.barrier()
    if rank == 0:
        print("same as the whole model")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
