"""verl's defects that stop runs on GPUs are there, and mended: real FSDP2 over two ranks, fused log-probabilities."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from verl.utils.config import omega_conf_to_dataclass

from spark_verl.compat.bootstrap import MODEL_FIXES, mend_models
from spark_verl.compat.vision_tower import FROZEN_VARIABLE

RANKS = Path(__file__).resolve().parents[1] / "shared" / "fused_ranks.py"
SETTINGS = {"VERL_PLATFORM": "cpu", "VERL_ENGINE_DEVICE": "cuda", "OMP_NUM_THREADS": "1"}


def two_ranks(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(RANKS)]
    return subprocess.run(
        [*command, *arguments], env={**os.environ, **SETTINGS}, capture_output=True, text=True, timeout=1500
    )


@pytest.mark.parametrize("kind", ["text", "vision"])
def test_two_ranks_compute_what_one_process_does(kind):
    done = two_ranks(kind, "fixed")
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
    done = two_ranks(kind, "plain")
    assert done.returncode != 0 and error in done.stderr


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
