"""What a recipe needs on each GPU, and how many tokens a step has: computed from the config, before anything starts.

The estimate counts what dominates (states, gathered layers, saved activations, KV cache) by the textbook formulas given
at each line; it leaves out fragmentation, communication buffers and CUDA contexts, for which ``RESERVE_GIB`` stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from spark_verl.checks.architecture import empty_model, model_config
from spark_verl.compat.vision_tower import vision_towers

GIB = 2**30
RESERVE_GIB = 4.0
"""CUDA contexts, NCCL and cuBLAS buffers, fragmentation. At most a quarter of the GPU: one of 4 GiB holds no model that
could leave larger gaps, and two contexts take less than 1 GiB."""


@dataclass(frozen=True)
class ModelShape:
    """What a budget needs to know of a model.

    Attributes:
        parameters: All of them.
        layer_parameters: Of one decoder layer.
        root_parameters: Of what FSDP gathers with the whole model: embeddings and head.
        linear_sizes: (name, in + out features) of every linear layer.
        layers, hidden, intermediate, kv_heads, head_dim, vocab: Of the language model.
        vision_parameters: Of the vision tower; 0 without one.
        vision_inputs: Numbers that enter all of the tower's layers, per image token of the language model.
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
    vision_parameters: int = 0
    vision_inputs: int = 0


def model_shape(path: str, trust_remote_code: bool = False) -> ModelShape | None:
    """Shape of a model folder, or of a known model of the hub; None for one that is unknown or built otherwise.

    Parameters are counted on an empty model (torch's ``meta`` device), so nothing is loaded.
    """
    config = model_config(path, trust_remote_code)
    if config is None:
        return None
    model = empty_model(config, trust_remote_code)
    if model is None:
        return None
    import torch

    text = config.get_text_config()
    layers = [m for name, m in model.named_modules() if re.search(r"(?<!visual)\.layers\.0$", name)]
    if not layers:
        return None
    linear = tuple(
        (name, module.in_features + module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and not name.endswith("lm_head")
    )
    embedding = text.vocab_size * text.hidden_size
    towers = vision_towers(model)
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
        vision_parameters=sum(p.numel() for tower in towers for p in tower.parameters()),
        vision_inputs=sum(_layer_inputs(tower.config) for tower in towers),
    )


def _layer_inputs(vision: Any) -> int:
    layers = getattr(vision, "depth", 0) or vision.num_hidden_layers
    # A square of patches makes one image token.
    return layers * vision.hidden_size * getattr(vision, "spatial_merge_size", 1) ** 2


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
    training = _training(config, shape)
    generating = _generating(config, shape, training, gpu_gib)
    reserve = {"reserve (contexts, buffers, fragmentation)": min(RESERVE_GIB, gpu_gib / 4)}
    return Budget(
        gpu_gib,
        training={name: size / GIB for name, size in training.items() if size} | reserve,
        generating={name: size / GIB for name, size in generating.items()} | reserve,
        facts=_facts(config, shape, generating[_CACHE]),
    )


_IN_TOWER = re.compile(r"(^|\.)visual\.")
_WEIGHTS, _OPTIMIZER, _REFERENCE = "weights", "optimizer (Adam, two moments in fp32)", "reference weights"
_CACHE = "engine: KV cache"


def _training(config: DictConfig, shape: ModelShape) -> dict[str, float]:
    """Bytes per GPU during the update."""
    model, actor, ref = (config.actor_rollout_ref[name] for name in ("model", "actor", "ref"))
    ranks = config.trainer.n_gpus_per_node * config.trainer.nnodes
    trainable, state = _trainable(config, shape), _bytes(actor.fsdp_config.model_dtype)
    tokens = actor.ppo_max_token_len_per_gpu if actor.use_dynamic_bsz else _fixed_tokens(config)
    # With checkpointing each layer keeps its input, and one layer's inner tensors exist while it is recomputed: about 8
    # of the hidden and 4 of the intermediate size per token.
    inner = 8 * shape.hidden + 4 * shape.intermediate
    kept = shape.layers * shape.hidden + inner if model.enable_gradient_checkpointing else shape.layers * inner
    found = {
        # FSDP shards states over all ranks; the update runs in the arithmetic dtype, states stay in the model's.
        _WEIGHTS: shape.parameters * state / ranks,
        _OPTIMIZER: trainable * 8 / ranks,
        "gradients": trainable * state / ranks,
        # Two units are gathered at a time: the one at work and the next; embeddings and head stay gathered.
        "gathered units in bf16": 2 * (2 * shape.layer_parameters + shape.root_parameters),
        "activations": 2 * tokens * kept,
        # As if all tokens were an image's: rows of a large image, a question and an answer have two thirds of them.
        # What one layer of the tower computes inside is gone before the language model's activations are there.
        "activations of the vision tower": 2 * tokens * shape.vision_inputs if _trains_vision(config, shape) else 0,
        # Fused kernels work in chunks; without them logits and their gradient exist in fp32.
        "logits": 0 if model.use_fused_kernels else 8 * tokens * shape.vocab,
    }
    uses_reference = actor.use_kl_loss and _lora_rank(model) == 0
    # Under FSDP2 verl keeps a model that is only evaluated on the host, whatever ref.fsdp_config.param_offload says.
    if uses_reference and not ref.fsdp_config.param_offload and ref.strategy != "fsdp2":
        found[_REFERENCE] = shape.parameters * _bytes(ref.fsdp_config.model_dtype) / ranks
    return found


def _generating(config: DictConfig, shape: ModelShape, training: dict[str, float], gpu_gib: float) -> dict[str, float]:
    """Bytes per GPU while the engine generates, with what stays there of ``training``."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    replica = rollout.tensor_model_parallel_size
    weights = 2 * shape.parameters / replica
    # vLLM profiles one full batch before it sizes the cache.
    profile = 2 * rollout.max_num_batched_tokens * (8 * shape.hidden + 4 * shape.intermediate) / replica
    found = {
        "engine: weights in bf16": weights,
        "engine: activations": profile,
        _CACHE: max(0.0, rollout.gpu_memory_utilization * gpu_gib * GIB - weights - profile),
    }
    if not actor.fsdp_config.param_offload:
        found["actor weights"] = training[_WEIGHTS]
    if not actor.fsdp_config.optimizer_offload:
        found["optimizer"] = training[_OPTIMIZER]
    if _REFERENCE in training:
        found[_REFERENCE] = training[_REFERENCE]
    return found


def _facts(config: DictConfig, shape: ModelShape, cache_bytes: float) -> dict[str, float]:
    """Parameters, sequences and tokens per step, and what the cache of one engine holds."""
    rollout, spark, prompts = config.actor_rollout_ref.rollout, config.spark, config.data.train_batch_size
    sequences = {"policy sequences": prompts * rollout.n}
    if spark.enable:
        # Which of the two a group gives is not known yet: the larger number, as this is a limit.
        judged = max(spark.pairwise.n or rollout.n, spark.pointwise.n or rollout.n)
        reflected = spark.reflection.n or rollout.n
        sequences["judge sequences (expected)"] = prompts * spark.judge_prompts_per_group * judged
        sequences["reflection sequences (expected)"] = prompts * spark.reflection_prompts_per_group * reflected
    full = config.data.max_prompt_length + config.data.max_response_length
    tokens = sum(sequences.values()) * full
    # Keys and values in bf16.
    per_token = 2 * 2 * shape.layers * shape.kv_heads * shape.head_dim / rollout.tensor_model_parallel_size
    return {
        "parameters (million)": shape.parameters / 1e6,
        "trainable parameters (million)": _trainable(config, shape) / 1e6,
        **sequences,
        "tokens at most": tokens,
        "tokens at most per rank": tokens / (config.trainer.n_gpus_per_node * config.trainer.nnodes),
        "kv cache, tokens per engine": cache_bytes / per_token,
        "kv cache, sequences at full length": cache_bytes / per_token / full,
    }


def _bytes(dtype: str | None) -> int:
    return 2 if str(dtype) in ("bf16", "bfloat16", "fp16", "float16") else 4


def _lora_rank(model: DictConfig) -> int:
    return int(model.get("lora", {}).get("rank", 0) or model.get("lora_rank", 0) or 0)


def _trainable(config: DictConfig, shape: ModelShape) -> int:
    """All parameters but a frozen tower's, or the adapter's: rank x (in + out) for every linear layer it is put on."""
    model = config.actor_rollout_ref.model
    rank = _lora_rank(model)
    if rank == 0:
        return shape.parameters - (0 if _trains_vision(config, shape) else shape.vision_parameters)
    return sum(rank * size for _, size in _adapted(config, shape))


def _adapted(config: DictConfig, shape: ModelShape) -> list[tuple[str, int]]:
    """Linear layers with an adapter that is trained."""
    model = config.actor_rollout_ref.model
    excluded = re.compile(model.exclude_modules) if isinstance(model.exclude_modules, str) else None
    found = [layer for layer in shape.linear_sizes if not (excluded and excluded.fullmatch(layer[0]))]
    frozen = config.actor_rollout_ref.actor.get("freeze_vision_tower")
    return [layer for layer in found if not (frozen and _IN_TOWER.search(layer[0]))]


def _trains_vision(config: DictConfig, shape: ModelShape) -> bool:
    """Whether gradients flow through the vision tower."""
    if config.actor_rollout_ref.actor.get("freeze_vision_tower") or not shape.vision_parameters:
        return False
    lora = _lora_rank(config.actor_rollout_ref.model) > 0
    return not lora or any(_IN_TOWER.search(name) for name, _ in _adapted(config, shape))


def _fixed_tokens(config: DictConfig) -> int:
    full = config.data.max_prompt_length + config.data.max_response_length
    return int(config.actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu or 1) * full
