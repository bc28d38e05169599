"""verl, torch, transformers and vLLM are asked about the values of a config; each refusal is one line."""

from __future__ import annotations

import json
import sys

import pytest
from checked_configs import load, write_files

from spark_verl import main

ROLLOUT, ACTOR = "actor_rollout_ref.rollout", "actor_rollout_ref.actor"

REFUSED = [
    (f"{ROLLOUT}.name=vlm", f"{ROLLOUT}.name=vlm: choose from vllm, sglang, trtllm"),
    (f"{ACTOR}.strategy=fsdp3", f"{ACTOR}.strategy=fsdp3: choose from fsdp, fsdp2"),
    (f"{ACTOR}.kl_loss_type=k9", f"{ACTOR}.kl_loss_type=k9: unknown to verl"),
    (f"{ACTOR}.policy_loss.loss_mode=vanila", "choose from vanilla, "),
    (f"{ACTOR}.loss_agg_mode=token", f"{ACTOR}: Invalid loss_agg_mode: token"),
    (f"{ACTOR}.optim.lr=-1", f"{ACTOR}.optim: Invalid learning rate: -1"),
    (f"{ACTOR}.optim.betas=[0.9,1.2]", f"{ACTOR}.optim: Invalid beta parameter at index 1: 1.2"),
    (f"{ACTOR}.optim.optimizer=Adamm", "has no attribute 'Adamm'"),
    (f"{ACTOR}.optim.lr_scheduler_type=cosin", 'assert self.lr_scheduler_type in ["constant", "cosine"]'),
    (f"{ACTOR}.fsdp_config.model_dtype=fp33", "unexpected precision: fp33"),
    (f"{ACTOR}.fsdp_config.mixed_precision.param_dtype=fp8x", "unexpected precision: fp8x"),
    (f"{ACTOR}.ppo_epochs=1.0", f"{ACTOR}.ppo_epochs must be at least 1, a whole number, got 1.0"),
    (f"{ACTOR}.data_loader_seed=1.5", f"{ACTOR}.data_loader_seed=1.5: Input should be a valid integer"),
    (f"{ACTOR}.optim._target_=os.path", f"{ACTOR}.optim._target_: os.path is no dataclass"),
    (f"+{ACTOR}.lrr=3", f"{ACTOR}.lrr: verl has no such option: did you mean {ACTOR}.optim.lr?"),
    (f"{ROLLOUT}.mode=sync", "Rollout mode 'sync' has been removed"),
    ("data.truncation=midle", "data.truncation=midle: assert truncation in"),
    ("trainer.logger=[console,wandbx]", "choose from wandb, mlflow"),
    ("algorithm.rollout_correction.rollout_is=tokens", "algorithm.rollout_correction: "),
    ("algorithm.rollout_correction.rollout_rs=tokens", "algorithm.rollout_correction: "),
    ("trainer.logger=wandbx", "trainer.logger=wandbx: choose from wandb"),
    ("data.custom_cls.path=/nowhere/d.py", "data.custom_cls.path=/nowhere/d.py: Custom module file not found"),
    ("reward.custom_reward_function.path=/nowhere/r.py", "custom_reward_function.path=/nowhere/r.py: Custom module"),
    ("reward.reward_manager.name=NoManager", "reward.reward_manager.name=NoManager: "),
    (f"{ACTOR}.checkpoint.save_contents=[modl]", f"{ACTOR}.checkpoint: choose from extra, hf_model, "),
    (f"{ACTOR}.checkpoint.save_contents=[lora_only]", f"{ACTOR}.checkpoint: choose from extra, hf_model, model, "),
    (f"{ACTOR}.checkpoint.load_contents=[model,optimiser]", f"{ACTOR}.checkpoint: choose from "),
    ("data.seed=one", "data.seed=one: manual_seed expected a long"),
    (f"{ROLLOUT}.router_config_path=/nowhere.yaml", f"{ROLLOUT}.router_config_path=/nowhere.yaml: Router config file"),
    (f"{ROLLOUT}.agent.agent_loop_config_path=/nowhere.yaml", "No such file or directory: '/nowhere.yaml'"),
    (f"{ROLLOUT}.multi_turn.tool_config_path=/nowhere.yaml", "No such file or directory: '/nowhere.yaml'"),
    (f"{ACTOR}.fsdp_config.fsdp_size=3", f"{ACTOR}.fsdp_config.fsdp_size (3) must divide the number of GPUs (1 x 8)"),
    (f"{ACTOR}.grad_clip=0.5", f"{ACTOR}.grad_clip (0.5) is read by nobody in this version of verl: set {ACTOR}.optim"),
    (f"{ACTOR}.optim.clip_grad=-1", f"{ACTOR}.optim.clip_grad must be positive, got -1"),
    ("ray_kwargs.ray_init.num_cpus=-1", "ray_kwargs.ray_init.num_cpus must be at least 1 (or null), a whole number"),
    ("transfer_queue.backend.storage_backend=Simple", "storage_backend=Simple: choose from "),
    (f"{ROLLOUT}.temperature=0", f"{ROLLOUT}.temperature must be positive, got 0"),
    (f"{ROLLOUT}.agent.default_agent_loop=loop", "choose from single_turn_agent"),
    ("actor_rollout_ref.model.override_config.attn_implementation=flash", "choose from eager, "),
    (
        f"{ROLLOUT}.tensor_model_parallel_size=8",
        "tensor_model_parallel_size=8 does not divide the model's 4 attention heads",
    ),
    (f"{ROLLOUT}.max_model_len=1024", f"{ROLLOUT}.max_model_len: 1024 tokens, the model's context is 512"),
]
REFUSED_BY_VLLM = [
    (f"{ROLLOUT}.dtype=fp8x", f"{ROLLOUT}.dtype=fp8x: argument --dtype: invalid choice: 'fp8x'"),
    (f"{ROLLOUT}.logprobs_mode=raw", "argument --logprobs-mode: invalid choice: 'raw'"),
    (f"{ROLLOUT}.load_format=foo", "Load format `foo` is not supported"),
    (f"{ROLLOUT}.quantization=foo", "['fp8', 'torchao', 'ascend']"),
    (f"{ROLLOUT}.gpu_memory_utilization=1.5", "Input should be less than or equal to 1"),
    (f"{ROLLOUT}.temperature=3", f"{ROLLOUT}.temperature=3: temperature must be in [0, 2]"),
    (f"{ROLLOUT}.val_kwargs.top_p=2", f"{ROLLOUT}.val_kwargs.top_p=2: top_p must be in (0, 1]"),
    (f"{ROLLOUT}.max_num_seqs=9000", "max_num_batched_tokens (4096) must be greater than or equal to max_num_seqs"),
    (f"+{ROLLOUT}.engine_kwargs.vllm.kv_cache_dtype=fp9", "argument --kv-cache-dtype: invalid choice: 'fp9'"),
    (f"+{ROLLOUT}.engine_kwargs.vllm.max_num_seq=9", f"did you mean {ROLLOUT}.engine_kwargs.vllm.max_num_seqs?"),
]


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Prepares a dry run of the quickstart with these overrides."""
    monkeypatch.setenv("DRY_RUN", "1")
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", f"{tmp_path}/metrics.jsonl")
    # The alias of vLLM's distribution must not outlive the test.
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])

    def run(*overrides: str, **model: object) -> None:
        platform = ["platform=gpu", "trainer.n_gpus_per_node=8", "trainer.resume_mode=auto"]
        main.prepare(load([*platform, *write_files(tmp_path, **model), *overrides], "quickstart_gpu"))

    return run


def refusal(prepare, *overrides: str, **model: object) -> str:
    with pytest.raises(ValueError) as caught:
        prepare(*overrides, **model)
    message = str(caught.value)
    assert len(message.splitlines()) == 1, message
    assert len(message) < 500
    return message


@pytest.mark.parametrize("attention", ["sdpa", "eager", "torch_flash_varlen"])
def test_a_sound_config_passes(prepare, attention):
    prepare(f"actor_rollout_ref.model.override_config.attn_implementation={attention}")


@pytest.mark.parametrize(("override", "message"), REFUSED + REFUSED_BY_VLLM, ids=lambda text: text[-40:])
def test_what_would_be_refused_later_is_refused_now(prepare, override, message):
    assert message in refusal(prepare, override)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def other(): pass", "compute_score"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise KeyError('of its own')", "of its own"),
        ("raise AssertionError", "unknown to verl"),
        ("exit('not here')", "not here"),
    ],
)
def test_a_reward_function_is_loaded(prepare, tmp_path, code, message):
    (tmp_path / "own.py").write_text(code)
    assert message in refusal(prepare, f"reward.custom_reward_function.path={tmp_path}/own.py")


def checkpoint(folder, ranks: int = 8, **model: object):
    """A checkpoint of step 5, as verl leaves one."""
    actor = folder / "out" / "global_step_5" / "actor"
    (actor / "huggingface").mkdir(parents=True)
    for rank in range(ranks):
        (actor / f"model_world_size_{ranks}_rank_{rank}.pt").touch()
    config = json.loads((folder / "model" / "config.json").read_text())
    (actor / "huggingface" / "config.json").write_text(json.dumps(config | model))
    (folder / "out" / "latest_checkpointed_iteration.txt").write_text("5")
    return actor


def test_a_run_goes_on_from_its_own_checkpoint(prepare, tmp_path):
    write_files(tmp_path)
    checkpoint(tmp_path)
    prepare()


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"ranks": 4}, "was saved by 4 ranks, this run has 8"),
        ({"num_hidden_layers": 3}, "is of another model (num_hidden_layers 3, actor_rollout_ref.model.path has 2)"),
        ({"vocab_size": 999}, "is of another model (vocab_size 999"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_a_checkpoint_of_another_run_is_refused(prepare, tmp_path, saved, message):
    write_files(tmp_path)
    checkpoint(tmp_path, **saved)
    assert message in refusal(prepare)
    prepare("trainer.resume_mode=disable")


def test_a_checkpoint_with_an_adapter_is_refused(prepare, tmp_path):
    write_files(tmp_path)
    (checkpoint(tmp_path) / "lora_train_meta.json").write_text('{"r": 64, "lora_alpha": 128, "task_type": "CAUSAL_LM"}')
    assert "has a LoRA adapter of rank 64, this run has lora_rank=None" in refusal(prepare)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("null", "trainer.resume_from_path must be a folder .../global_step_N, got None"),
        ("{out}", "must be a folder .../global_step_N"),
        ("{out}/global_step_6", "is no whole checkpoint, it has no folder actor"),
    ],
)
def test_a_path_to_resume_from_is_one(prepare, tmp_path, path, message):
    resume = ["trainer.resume_mode=resume_path", f"trainer.resume_from_path={path.format(out=tmp_path / 'out')}"]
    assert message in refusal(prepare, *resume)
    checkpoint(tmp_path)
    prepare(resume[0], f"trainer.resume_from_path={tmp_path}/out/global_step_5")


def test_a_tracker_that_names_no_step(prepare, tmp_path):
    write_files(tmp_path)
    checkpoint(tmp_path)
    (tmp_path / "out" / "latest_checkpointed_iteration.txt").write_text("five")
    assert "must hold the number of a step, got five" in refusal(prepare)


LORA = ("actor_rollout_ref.model.lora_rank=8", f"{ROLLOUT}.load_format=safetensors")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "target_modules=[q_proj,vv_proj]",
            "has no module vv_proj, its linear layers are down_proj, gate_proj, k_proj",
        ),
        ("target_modules=nothing", "target_modules=nothing: Target modules nothing not found"),
        ("target_modules=[mlp]", "target_modules=['mlp']: Target module Qwen2MLP"),
        ("target_modules='.*(['", "target_modules=.*([: unterminated character set"),
        ("exclude_modules='.*(['", "exclude_modules=.*([: unterminated character set"),
        ("exclude_modules='.*'", "exclude_modules=.*: All modules were excluded"),
        ("lora_adapter_path=/nowhere", "lora_adapter_path: /nowhere is no adapter, it has no adapter_config.json"),
    ],
)
def test_lora_goes_on_modules_that_the_model_has(prepare, override, message):
    assert message in refusal(prepare, *LORA, f"actor_rollout_ref.model.{override}")


@pytest.mark.parametrize("modules", ["all-linear", "[q_proj,v_proj]", "'.*mlp.*_proj'"])
def test_lora_on_modules_that_are_there(prepare, modules):
    prepare(*LORA, f"actor_rollout_ref.model.target_modules={modules}")


def test_a_config_that_transformers_does_not_know(prepare):
    assert "transformers cannot read it" in refusal(prepare, model_type="no_such_model")
