"""A recipe with files that exist, for the tests of what is said about a config."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

ROOT = Path(__file__).resolve().parents[2]

MODEL = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    **{"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 1000},
    **{"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512},
}


def load(overrides: list[str], name: str = "quickstart") -> DictConfig:
    """A recipe of the checkout, composed."""
    with initialize_config_dir(str(ROOT / "recipes"), version_base=None):
        return compose(name, overrides)


def write_files(folder: Path, rows: int = 64, **model: object) -> list[str]:
    """Data, and a model folder without real weights; returns the overrides that name them."""
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "config.json").write_text(json.dumps(MODEL | model))
    (folder / "model" / "model.safetensors").touch()
    table = [
        {
            "data_source": "math",
            "prompt": [{"role": "user", "content": f"{number} + 4?"}],
            "reward_model": {"ground_truth": str(number + 4)},
            "extra_info": {"index": number},
        }
        for number in range(rows)
    ]
    pq.write_table(pa.Table.from_pylist(table), folder / "train.parquet")
    return [
        f"actor_rollout_ref.model.path={folder}/model",
        f"data.train_files={folder}/train.parquet",
        f"data.val_files=[{folder}/train.parquet]",
        f"trainer.default_local_dir={folder}/out",
    ]
