"""verl's defects that stop runs on GPUs are there, and mended: real FSDP2 over two ranks, fused log-probabilities."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import forked
import pytest
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass

from spark_verl.compat.bootstrap import MODEL_FIXES, mend_models
from spark_verl.compat.vision_tower import FROZEN_VARIABLE

RANKS = Path(__file__).resolve().parents[1] / "shared" / "fused_ranks.py"
VERL = "verl.models.transformers"


@pytest.mark.parametrize("kind", ["text", "vision"])
def test_two_ranks_compute_what_one_process_does(kind):
    done = forked.two_ranks(RANKS, kind, "fixed")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "same as the whole model" in done.stdout


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("text", "got mixed torch.Tensor and DTensor"),
        ("vision", "'BaseModelOutputWithPooling' object has no attribute"),
    ],
)
def test_verl_alone_fails(kind, error):
    """When this test fails, verl has mended it, and the fix can go."""
    done = forked.two_ranks(RANKS, kind, "plain")
    assert done.returncode != 0 and error in done.stderr


PACKED_LAYER = """
import importlib
import torch

def attend(implementation):
    name, kind, config_kind, forward = {layer!r}
    modeling = importlib.import_module(f"transformers.models.{{name}}.modeling_{{name}}")
    config = getattr(importlib.import_module(f"transformers.models.{{name}}.configuration_{{name}}"), config_kind)(
        hidden_size=32, num_attention_heads=2, num_key_value_heads=2,
        rope_parameters={{"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}},
    )
    config._attn_implementation = implementation
    torch.manual_seed(0)
    layer, angles = getattr(modeling, kind)(config, 0), torch.zeros({angles!r})
    module, _, function = forward.rpartition(".")
    packed = getattr(importlib.import_module(module), function)
    inputs = dict(position_ids=torch.tensor([[0, 1, 0, 1]]), position_embeddings=(angles, angles))
    states = torch.randn(1, 4, 32)
    try:
        found = packed(layer, states, attention_mask=None, **inputs)[0]
    except NameError as error:
        return str(error)
    return torch.equal(found, layer(states, attention_mask=None, **inputs)[0])

alone = attend("sdpa")
import spark_verl.compat.verl_models
result = alone, attend("sdpa"), attend("flash_attention_2")
"""


@pytest.mark.parametrize(
    ("layer", "angles"),
    [
        (
            ("qwen2_5_vl", "Qwen2_5_VLAttention", "Qwen2_5_VLTextConfig", f"{VERL}.qwen2_vl.qwen2_vl_attn_forward"),
            (3, 1, 4, 16),
        ),
        (
            ("qwen2_vl", "Qwen2VLAttention", "Qwen2VLTextConfig", f"{VERL}.qwen2_vl.qwen2_vl_attn_forward"),
            (3, 1, 4, 16),
        ),
        (("glm4v", "Glm4vTextAttention", "Glm4vTextConfig", f"{VERL}.glm4v.glm4v_attn_forward"), (1, 4, 16)),
    ],
    ids=["Qwen2.5-VL", "Qwen2-VL", "GLM-4.1V"],
)
def test_packed_rows_need_flash_attn_only_where_it_is_asked_for(run_python, layer, angles):
    """verl's function needs it always; when the first assertion fails, verl has mended it, and ours can go."""
    if importlib.util.find_spec("flash_attn"):
        pytest.skip("flash-attn is installed")
    alone, mended, asked = run_python(PACKED_LAYER.format(layer=layer, angles=angles), VERL_PLATFORM="cpu")
    assert "_flash_" in str(alone)
    assert mended is True
    assert "_flash_" in str(asked)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, MODEL_FIXES),
        (MODEL_FIXES, MODEL_FIXES),
        ("mine", [MODEL_FIXES, "mine"]),
        (["mine", "yours"], [MODEL_FIXES, "mine", "yours"]),
    ],
)
def test_users_own_modules_are_imported_as_well(before, after):
    model = {"external_lib": before}
    config = OmegaConf.create({"actor_rollout_ref": {"model": model, "actor": {"freeze_vision_tower": False}}})
    OmegaConf.set_struct(config, True)
    mend_models(config)
    assert config.actor_rollout_ref.model.external_lib == after


@pytest.mark.parametrize(
    ("actor", "refused"),
    [
        ({"strategy": "fsdp2"}, False),
        ({"strategy": "fsdp", "fsdp_config": {"use_orig_params": True}}, False),
        ({"strategy": "fsdp"}, True),
    ],
    ids=["FSDP2", "original parameters", "FSDP1"],
)
def test_a_frozen_tower_is_told_to_all_processes(actor, refused):
    actor = {"freeze_vision_tower": True, "fsdp_config": {}, **actor}
    config = OmegaConf.create(
        {
            "actor_rollout_ref": {"model": {"external_lib": None}, "actor": actor},
            "ray_kwargs": {"ray_init": {"runtime_env": {"env_vars": {"MINE": "1"}}}},
        }
    )
    if refused:
        with pytest.raises(ValueError, match="freeze_vision_tower=true needs actor.strategy=fsdp2"):
            mend_models(config)
        return
    mend_models(config)
    assert config.ray_kwargs.ray_init.runtime_env.env_vars == {"MINE": "1", FROZEN_VARIABLE: "1"}
    config.actor_rollout_ref.actor.freeze_vision_tower = False
    config.ray_kwargs.ray_init.runtime_env.env_vars = None
    mend_models(config)
    assert config.ray_kwargs.ray_init.runtime_env.env_vars is None


def test_verl_imports_a_list_of_modules(model_folder, tmp_path, monkeypatch):
    (tmp_path / "their_module.py").write_text("raise LookupError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    model = OmegaConf.create(
        {
            "_target_": "verl.workers.config.HFModelConfig",
            "path": model_folder,
            "external_lib": [MODEL_FIXES, "their_module"],
        }
    )
    # verl imports them first, before it looks at the model. (Hydra shows what a constructor raises as its cause.)
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011  which class is Hydra's affair
        omega_conf_to_dataclass(model)
    causes, error = [], caught.value
    while error is not None:
        causes.append(type(error))
        error = error.__cause__
    assert LookupError in causes
