"""Short training runs for benchmarks: the quickstart's recipe with overrides, and the metrics of its steps."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from spark_verl.compat import bootstrap
from spark_verl.runs.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = Path(__file__).resolve().parent

STOCK_VERL = [
    "trainer.v1.trainer_mode=sync",
    "actor_rollout_ref.rollout.agent.agent_loop_manager_class=null",
    "reward.num_workers=1",
    "ray_kwargs.ray_init.num_cpus=16",
    "+ray_kwargs.ray_init.num_gpus=1",
    "+ray_kwargs.ray_init.include_dashboard=false",
]
"""With these, ``verl.trainer.main_ppo`` runs the recipe with its own trainer, sampler, worker and reward worker."""

PADDED = [
    "actor_rollout_ref.model.use_remove_padding=false",
    "actor_rollout_ref.model.override_config.attn_implementation=sdpa",
]
"""verl alone needs flash-attn for packed rows: on a CPU it has to pad them."""


def run(
    overrides: list[str], data: Path, model: Path, steps: int, skip: int = 2, module: str = "spark_verl.main"
) -> list[dict[str, float]]:
    """Train for a few steps.

    Args:
        overrides: Hydra overrides.
        data: Folder with ``train.parquet`` and ``test.parquet``.
        model: Model folder.
        steps: Steps that count.
        skip: Steps before them, which contain warm-up.
        module: ``spark_verl.main`` or ``verl_alone`` (``verl.trainer.main_ppo``, with :data:`STOCK_VERL`).

    Returns:
        Metrics of each step that counts.

    Raises:
        SystemExit: The run failed; with the end of its output.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", module),
            *("--config-path", str(ROOT / "recipes"), "--config-name", "quickstart"),
            f"data.train_files={data}/train.parquet",
            f"data.val_files={data}/test.parquet",
            f"actor_rollout_ref.model.path={model}",
            f"trainer.default_local_dir={folder}",
            f"trainer.total_training_steps={steps + skip}",
            *("trainer.val_before_train=false", "trainer.test_freq=-1", "trainer.save_freq=-1"),
            *("trainer.rollout_data_dir=null", "trainer.validation_data_dir=null"),
            *overrides,
        ]
        metrics = Path(folder) / "metrics.jsonl"
        environment = {
            **os.environ,
            "VERL_FILE_LOGGER_PATH": str(metrics),
            "HF_HUB_OFFLINE": "1",
            # Agent loops and workers of a benchmark are imported in Ray's processes.
            "PYTHONPATH": os.pathsep.join(filter(None, [str(BENCHMARKS), os.environ.get("PYTHONPATH")])),
        }
        if module != "spark_verl.main":
            environment |= bootstrap.cpu_environment()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"the run failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return [values for step, values in sorted(read_metrics(metrics).items()) if step > skip]
