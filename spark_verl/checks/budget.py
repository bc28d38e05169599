"""What a recipe needs on each GPU, and how many tokens a step has: computed from the config, before anything starts.

The estimate counts what dominates (states, gathered layers, saved activations, KV cache) by the textbook formulas given
at each line; it leaves out fragmentation, communication buffers and CUDA contexts, for which ``RESERVE_GIB`` stands.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

GIB = 2**30
RESERVE_GIB = 4.0
"""CUDA contexts, NCCL and cuBLAS buffers, fragmentation."""

_VISION = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420}
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen2.5-VL-3B": (
        "qwen2_5_vl",
        {"hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2}
        | {"intermediate_size": 11008, "vocab_size": 151936, "tie_word_embeddings": True}
        | {"vision_config": {**_VISION, "out_hidden_size": 2048}},
    ),
    "Qwen2.5-VL-7B": (
        "qwen2_5_vl",
        {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
        | {"intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False}
        | {"vision_config": {**_VISION, "out_hidden_size": 3584}},
    ),
    "Qwen2.5-VL-32B": (
        "qwen2_5_vl",
        {"hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8}
        | {"intermediate_size": 27648, "vocab_size": 152064, "tie_word_embeddings": False}
        | {"vision_config": {**_VISION, "intermediate_size": 3456, "out_hidden_size": 5120}},
    ),
    "Qwen2.5-7B": (
        "qwen2",
        {"hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
        | {"intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False},
    ),
}
"""Shapes of the recipes' models (their config.json), so that a budget needs no download."""


@dataclass(frozen=True)
class ModelShape:
    """What a budget needs to know of a model.

    Attributes:
        parameters: All of them.
        layer_parameters: Of one decoder layer.
        root_parameters: Of what FSDP gathers with the whole model: embeddings and head.
        linear_sizes: (name, in + out features) of every linear layer.
        layers, hidden, intermediate, kv_heads, head_dim, vocab: Of the language model.
    """

    parameters: int
    layer_parameters: int
    root_parameters: int
    linear_sizes: tuple[tuple[str, int], ...]
    layers: int
    hidden: int
    intermediate: int
    kv_heads: int
    head_dim: int
    vocab: int


def model_shape(path: str) -> ModelShape | None:
    """Shape of a model folder, or of a known model of the hub; None for an unknown one.

    Parameters are counted on an empty model (torch's ``meta`` device), so nothing is loaded.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    folder = Path(os.path.expanduser(path))
    if (folder / "config.json").is_file():
        config = AutoConfig.from_pretrained(folder)
    else:
        name = next((known for known in ARCHITECTURES if path.split("/")[-1].startswith(known)), None)
        if name is None:
            return None
        model_type, values = ARCHITECTURES[name]
        config = AutoConfig.for_model(model_type, **values)
    auto = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    text = config.get_text_config()
    layers = [m for name, m in model.named_modules() if re.search(r"(?<!visual)\.layers\.0$", name)]
    linear = tuple(
        (name, module.in_features + module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.endswith("lm_head")
    )
    embedding = text.vocab_size * text.hidden_size
    tied = getattr(text, "tie_word_embeddings", False) or getattr(config, "tie_word_embeddings", False)
    return ModelShape(
        parameters=sum(p.numel() for p in model.parameters()),
        layer_parameters=sum(p.numel() for p in layers[0].parameters()),
        root_parameters=embedding * (1 if tied else 2),
        linear_sizes=linear,
        layers=text.num_hidden_layers,
        hidden=text.hidden_size,
        intermediate=text.intermediate_size,
        kv_heads=text.num_key_value_heads,
        head_dim=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        vocab=text.vocab_size,
    )


@dataclass
class Budget:
    """GiB per GPU while training and while generating, and tokens per step.

    Attributes:
        gpu_gib: Memory of one GPU.
        training, generating: ``{what: GiB}``.
        facts: ``{what: number}``: parameters, sequences and tokens per step, KV cache capacity in tokens.
    """

    gpu_gib: float
    training: dict[str, float] = field(default_factory=dict)
    generating: dict[str, float] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """What does not fit, and what to change; empty when all does."""
        found = []
        if (total := sum(self.training.values())) > self.gpu_gib:
            found.append(
                f"training needs about {total:.0f} GiB per GPU, there are {self.gpu_gib:.0f}: set "
                "actor.fsdp_config.param_offload and optimizer_offload to true, lower actor.ppo_max_token_len_per_gpu,"
                " or use more GPUs"
            )
        if (total := sum(self.generating.values())) > self.gpu_gib:
            found.append(
                f"generating needs about {total:.0f} GiB per GPU, there are {self.gpu_gib:.0f}: lower"
                " rollout.gpu_memory_utilization or offload the actor (actor.fsdp_config.param_offload)"
            )
        if self.facts["kv cache, sequences at full length"] < 1:
            found.append(
                "the KV cache does not hold one sequence: raise rollout.gpu_memory_utilization or"
                " rollout.tensor_model_parallel_size"
            )
        return found

    def table(self) -> str:
        """The budget as text."""
        lines = [f"memory per GPU of {self.gpu_gib:.0f} GiB, estimated"]
        for title, parts in (("training", self.training), ("generating", self.generating)):
            lines.append(f"  {title}: {sum(parts.values()):.1f} GiB")
            lines += [f"    {name:<46}{value:>8.1f}" for name, value in parts.items()]
        lines.append("  per step, and what the engine holds")
        lines += [f"    {name:<46}{value:>8,.0f}" for name, value in self.facts.items()]
        return "\n".join(lines)


def compute(config: DictConfig, shape: ModelShape, gpu_gib: float) -> Budget:
    """The budget of a composed config.

    Args:
        config: The whole config.
        shape: Of ``actor_rollout_ref.model.path``.
        gpu_gib: Memory of one GPU in GiB.
    """
    model, actor, ref, rollout = (config.actor_rollout_ref[name] for name in ("model", "actor", "ref", "rollout"))
    ranks = config.trainer.n_gpus_per_node * config.trainer.nnodes
    n = shape.parameters
    trainable = _trainable(model, shape)
    budget = Budget(gpu_gib)

    # FSDP shards states over all ranks; the update runs in the arithmetic dtype, states stay in the model's.
    states = {
        "weights": n * _bytes(actor.fsdp_config.model_dtype) / ranks,
        "optimizer (Adam, two moments in fp32)": trainable * 8 / ranks,
    }
    tokens = actor.ppo_max_token_len_per_gpu if actor.use_dynamic_bsz else _fixed_tokens(config)
    training = {
        **states,
        "gradients": trainable * _bytes(actor.fsdp_config.model_dtype) / ranks,
        # Two units are gathered at a time: the one at work and the next; embeddings and head stay gathered.
        "gathered units in bf16": 2 * (2 * shape.layer_parameters + shape.root_parameters),
        # With checkpointing each layer keeps its input, and one layer's inner tensors exist while it is recomputed:
        # about 8 of the hidden and 4 of the intermediate size per token.
        "activations": 2 * tokens * (shape.layers * shape.hidden + 8 * shape.hidden + 4 * shape.intermediate),
        # Fused kernels work in chunks; without them logits and their gradient exist in fp32.
        "logits": 0 if model.use_fused_kernels else 8 * tokens * shape.vocab,
    }
    if not model.enable_gradient_checkpointing:
        training["activations"] = 2 * tokens * shape.layers * (8 * shape.hidden + 4 * shape.intermediate)
    uses_reference = actor.use_kl_loss and _lora_rank(model) == 0
    # Under FSDP2 verl keeps a model that is only evaluated on the host, whatever ref.fsdp_config.param_offload says.
    if uses_reference and not ref.fsdp_config.param_offload and ref.strategy != "fsdp2":
        training["reference weights"] = n * _bytes(ref.fsdp_config.model_dtype) / ranks

    replica = rollout.tensor_model_parallel_size
    engine = rollout.gpu_memory_utilization * gpu_gib * GIB
    engine_weights = 2 * n / replica
    # vLLM profiles one full batch before it sizes the cache.
    profile = 2 * rollout.max_num_batched_tokens * (8 * shape.hidden + 4 * shape.intermediate) / replica
    kv_bytes = max(0.0, engine - engine_weights - profile)
    generating = {
        "engine: weights in bf16": engine_weights,
        "engine: activations": profile,
        "engine: KV cache": kv_bytes,
    }
    if not actor.fsdp_config.param_offload:
        generating["actor weights"] = states["weights"]
    if not actor.fsdp_config.optimizer_offload:
        generating["optimizer"] = states["optimizer (Adam, two moments in fp32)"]
    if "reference weights" in training:
        generating["reference weights"] = training["reference weights"]
    reserve = {"reserve (contexts, buffers, fragmentation)": RESERVE_GIB}
    budget.training = {k: v / GIB for k, v in training.items() if v} | reserve
    budget.generating = {k: v / GIB for k, v in generating.items()} | reserve

    prompts, n_samples = config.data.train_batch_size, rollout.n
    per_token = 2 * 2 * shape.layers * shape.kv_heads * shape.head_dim / replica
    full = config.data.max_prompt_length + config.data.max_response_length
    budget.facts = {"parameters (million)": n / 1e6, "trainable parameters (million)": trainable / 1e6}
    budget.facts["policy sequences"] = prompts * n_samples
    if config.spark.enable:
        spark = config.spark
        asked = {"judge": spark.judge_prompts_per_group, "reflection": spark.reflection_prompts_per_group}
        # Which of the two a group gives is not known yet: the larger number, as this is a limit.
        judged = max(spark.pairwise.n or n_samples, spark.pointwise.n or n_samples)
        budget.facts["judge sequences (expected)"] = prompts * asked["judge"] * judged
        budget.facts["reflection sequences (expected)"] = (
            prompts * asked["reflection"] * (spark.reflection.n or n_samples)
        )
    sequences = sum(value for name, value in budget.facts.items() if "sequences" in name)
    budget.facts["tokens at most"] = sequences * full
    budget.facts["tokens at most per rank"] = sequences * full / ranks
    budget.facts["kv cache, tokens per engine"] = kv_bytes / per_token
    budget.facts["kv cache, sequences at full length"] = kv_bytes / per_token / full
    return budget


def _bytes(dtype: str | None) -> int:
    return 2 if str(dtype) in ("bf16", "bfloat16", "fp16", "float16") else 4


def _lora_rank(model: DictConfig) -> int:
    return int(model.get("lora", {}).get("rank", 0) or model.get("lora_rank", 0) or 0)


def _trainable(model: DictConfig, shape: ModelShape) -> int:
    """All parameters, or those of the adapter: rank x (in + out) for every linear layer it is put on."""
    rank = _lora_rank(model)
    if rank == 0:
        return shape.parameters
    excluded = re.compile(model.exclude_modules) if isinstance(model.exclude_modules, str) else None
    return sum(rank * size for name, size in shape.linear_sizes if not (excluded and excluded.fullmatch(name)))


def _fixed_tokens(config: DictConfig) -> int:
    full = config.data.max_prompt_length + config.data.max_response_length
    return int(config.actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu or 1) * full
