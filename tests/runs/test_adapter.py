"""A merged LoRA checkpoint is the trained model, not the base model with an adapter lying beside it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import forked
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from spark_verl.runs.adapter import name_adapted_layers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As verl's merger leaves it: the base model, and an adapter whose layers are named by their last parts."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    base = Qwen2ForCausalLM(Qwen2Config(vocab_size=50, num_key_value_heads=2, **sizes)).to(torch.bfloat16)
    base.save_pretrained(tmp_path / "model")
    adapted = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=r".*layers\.1.*(q_proj|down_proj)"))
    with torch.no_grad():
        for name, weights in adapted.named_parameters():
            if "lora_" in name:
                weights.normal_(std=0.3)
    adapted.save_pretrained(tmp_path / "model" / "lora_adapter")
    file = tmp_path / "model" / "lora_adapter" / "adapter_config.json"
    settings = json.loads(file.read_text()) | {"target_modules": ["q_proj", "down_proj"]}
    file.write_text(json.dumps(settings))
    return tmp_path / "model"


def add_adapter(folder) -> subprocess.CompletedProcess:
    """The program that adds an adapter to the weights."""
    command = [forked.python(), "-m", "spark_verl.runs.adapter", str(folder)]
    return subprocess.run(command, env={**os.environ, **forked.environment()}, capture_output=True, text=True)


def test_the_folder_is_the_trained_model(folder: Path) -> None:
    ids = torch.arange(12)[None]
    base = Qwen2ForCausalLM.from_pretrained(folder)
    layers = name_adapted_layers(folder / "lora_adapter")
    assert layers == ["model.layers.1.mlp.down_proj", "model.layers.1.self_attn.q_proj"]
    with torch.no_grad():
        before = base(ids).logits
        expected = PeftModel.from_pretrained(base, folder / "lora_adapter")(ids).logits
    done = add_adapter(folder)
    assert done.returncode == 0, done.stderr
    assert "2 layers" in done.stdout
    merged = Qwen2ForCausalLM.from_pretrained(folder)
    assert merged.dtype == torch.bfloat16
    with torch.no_grad():
        found = merged(ids).logits
    assert not torch.allclose(before, expected, atol=0.1), "the adapter changes something"
    assert torch.allclose(found, expected, atol=0.05, rtol=0.02)
    # A second time would add the adapter twice: the folder says that it has been added.
    again = add_adapter(folder)
    assert again.returncode == 1 and "has been added" in again.stderr
