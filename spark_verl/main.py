"""``python -m spark_verl.main``: train with SPARK on verl.

    python -m spark_verl.main --config-path /abs/recipes --config-name spark_vl_7b data.train_files=train.parquet ...

The config is verl's ``ppo_trainer`` with a ``spark:`` block (:mod:`spark_verl.config`). What can go wrong before Ray
starts goes wrong here, with one line that says what to change. With ``DRY_RUN=1`` in the environment the run is only
checked: the resolved config and a memory and token budget are printed (``GPU_MEMORY_GB``: of one GPU, default 80).
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import hydra
import psutil
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf

from spark_verl import compat
from spark_verl.checks import budget, rules


def prepare(config: DictConfig) -> None:
    """Check versions, config and files, and make the config and this process ready for verl: :data:`PREPARATION`.

    Raises:
        ValueError, FileNotFoundError, AssertionError: From the checks; the message says what to change.
        spark_verl.compat.NotReadyError: The installation does not fit.
    """
    for step in PREPARATION:
        step(config)


def dry_run() -> bool:
    """Whether the run is to be checked only (``DRY_RUN=1``): neither Ray nor a GPU is needed."""
    return os.environ.get("DRY_RUN") == "1"


def check_versions(config: DictConfig) -> None:
    """The installed verl and vLLM are those that this package was written against."""
    compat.assert_versions()


def expand_home(config: DictConfig) -> None:
    """Replace a leading ``~`` in paths: not everything that opens them later does."""
    for key in ("data.train_files", "data.val_files", "actor_rollout_ref.model.path", "trainer.default_local_dir"):
        value = OmegaConf.select(config, key)
        if isinstance(value, ListConfig):
            OmegaConf.update(config, key, [os.path.expanduser(str(item)) for item in value])
        elif value is not None:
            OmegaConf.update(config, key, os.path.expanduser(str(value)))


def add_files(config: DictConfig) -> None:
    """Append ``spark.self_reward.files`` to the training files."""
    extra = OmegaConf.select(config, "spark.self_reward.files")
    if extra and OmegaConf.select(config, "spark.self_reward.enable"):
        files = config.data.train_files
        OmegaConf.update(config, "data.train_files", [*([files] if isinstance(files, str) else files), *extra])


def check_devices(config: DictConfig) -> None:
    """There are the GPUs that the run asks for; a dry run needs none."""
    if not dry_run():
        rules.check_devices(config)


def name_metrics_file(config: DictConfig) -> None:
    """Have verl's file logger write into the run's folder, where nothing else is asked for."""
    if "VERL_FILE_LOGGER_ROOT" not in os.environ:
        folder = Path(str(config.trainer.default_local_dir)).expanduser().absolute()
        os.environ.setdefault(compat.METRICS_VARIABLE, str(folder / "metrics.jsonl"))


def check_installation(config: DictConfig) -> None:
    """verl loaded this package as a plugin, and vLLM is there."""
    if dry_run():
        # verl looks up vLLM's version; a recipe for GPUs can be checked where only the CPU build is installed.
        compat.alias_vllm_distribution()
    else:
        compat.assert_ready()


def check_with_verl(config: DictConfig) -> None:
    """verl's own checks."""
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config
    from verl.utils.device import auto_set_device

    auto_set_device(config)
    validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))


def check_rows(config: DictConfig) -> None:
    """A sample of the data's rows, as verl will read them."""
    from spark_verl.data.check import check_data

    check_data(config, config.spark.check_rows, config.spark.self_reward.enable)


PREPARATION: tuple[Callable[[DictConfig], object], ...] = (
    # With other versions nothing that follows means anything.
    check_versions,
    # Before the checks: they look at the paths that the run will open.
    add_files,
    expand_home,
    # While nothing of verl is imported and no process is changed: what must be refused is refused within a second.
    rules.check,
    check_devices,
    # Before the first import of verl, which settles on a platform for good.
    compat.configure,
    # After configure, which says whether the run has a Ray of its own.
    compat.reserve_cpus,
    # Before carry_environment, which hands its variable on, and after configure, whose variables come first.
    name_metrics_file,
    compat.carry_environment,
    compat.mend_models,
    # Imports verl, and looks at what verl has loaded.
    check_installation,
    # The config as verl will get it.
    check_with_verl,
    # verl's dataset class reads the rows, with the tokenizer and the processor of the model.
    check_rows,
)
"""What is done before Ray starts, in this order. Checks only look; the others change the config or this process."""


def show(config: DictConfig) -> None:
    """Print the resolved config and the budget of a run that is not started.

    Raises:
        ValueError: The budget does not fit.
    """
    print(OmegaConf.to_yaml(config, resolve=True))
    shape = budget.model_shape(str(config.actor_rollout_ref.model.path))
    if shape is None:
        print(f"budget: unknown model {config.actor_rollout_ref.model.path} (give a local folder to have it computed)")
        return
    needed = budget.compute(config, shape, float(os.environ.get("GPU_MEMORY_GB", "80")))
    print(needed.table())
    if needed.problems:
        raise ValueError("; ".join(needed.problems))


def record(config: DictConfig) -> None:
    """Write ``config.yaml`` (resolved) and ``run.json`` (recipe, overrides, versions) into the run's folder."""
    folder = Path(str(config.trainer.default_local_dir)).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config, resolve=True), encoding="utf-8")
    call = HydraConfig.get()
    versions = {"python": sys.version.partition(" ")[0]}
    for name in ("spark-verl", "verl", "vllm", "torch", "transformers", "ray"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    about = {"recipe": call.job.config_name, "overrides": list(call.overrides.task), "versions": versions}
    (folder / "run.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def run(config: DictConfig) -> None:
    """Start or join Ray and train. Returns when training has ended."""
    started_at = psutil.Process().create_time()

    import ray
    from verl.trainer.main_ppo import TaskRunnerV1, run_ppo

    # verl exports the runner as a Ray actor class; subclassing needs the plain class behind it.
    class SparkTaskRunner(TaskRunnerV1.__ray_metadata__.modified_class):  # ty: ignore[missing-attribute]
        """verl's task runner in whose process SparkTrainer is registered."""

        def run(self, config: DictConfig) -> None:
            # The import registers trainer_mode "spark".
            from spark_verl.trainer.trainer import SparkTrainer

            SparkTrainer.started_at = started_at
            compat.prepare_metrics_file(keep=config.trainer.resume_mode != "disable")
            super().run(config)

    run_ppo(config, task_runner_class=ray.remote(num_cpus=1)(SparkTaskRunner))


@hydra.main(config_path="config", config_name="spark_trainer", version_base=None)
def main(config: DictConfig) -> None:
    """Hydra entry point."""
    try:
        prepare(config)
        if dry_run():
            show(config)
            return
        record(config)
    except InstantiationException as error:
        # verl's dataclasses check themselves while Hydra builds them; the reason is the last error of the chain.
        fail(error.__cause__ or error)
    except (ValueError, FileNotFoundError, AssertionError, compat.NotReadyError) as error:
        fail(error)
    run(config)


def fail(error: BaseException) -> NoReturn:
    """End with one line; with a stack trace if ``HYDRA_FULL_ERROR=1``."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
    sys.exit(f"spark_verl: {error}\n(HYDRA_FULL_ERROR=1 shows where)")


if __name__ == "__main__":
    main()
