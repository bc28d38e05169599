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
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import hydra
import psutil
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spark_verl import compat
from spark_verl.checks import budget, keys, rules
from spark_verl.checks.architecture import known_shape
from spark_verl.config import load_spark_config
from spark_verl.options import brief
from spark_verl.runs import advice
from spark_verl.trainer import ending
from spark_verl.trainer.checkpoint import write_at_once
from spark_verl.vocabulary import Supervision


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
            OmegaConf.update(
                config, key, [os.path.expanduser(item) if isinstance(item, str) else item for item in value]
            )
        elif isinstance(value, str):
            OmegaConf.update(config, key, os.path.expanduser(value))


def check_config(config: DictConfig) -> None:
    """SPARK's block, what it needs of verl's, and files. The model of a dry run may be on another machine."""
    model = str(OmegaConf.select(config, "actor_rollout_ref.model.path"))
    rules.check(config, at_hand=not dry_run() or known_shape(model) is None)


def warn_of_keys(config: DictConfig) -> None:
    """Say which keys have no effect; they may be meant for a plugin of the user's own."""
    for message in keys.unknown_keys(config):
        print(f"spark_verl: warning: {message}", file=sys.stderr)


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


def fork_processes(config: DictConfig) -> None:
    """Begin with the imports of the run's processes; a dry run has none."""
    if not dry_run():
        compat.fork_processes(config)


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
    """verl's own checks, the model's shape, and the checkpoint that the run would go on from."""
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config
    from verl.utils.device import auto_set_device

    from spark_verl.checks import architecture, resume, with_verl

    auto_set_device(config)
    with_verl.check(config)
    validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    architecture.check_architecture(config)
    resume.check_resume(config, mend=not dry_run())


def check_with_vllm(config: DictConfig) -> None:
    """vLLM's own checks. A run does without: they take seconds, and its engine makes them again."""
    if dry_run():
        from spark_verl.checks import with_vllm

        with_vllm.check(config)


def check_rows(config: DictConfig) -> None:
    """A sample of the data's rows, as verl will read them; with self-reward, whether there are rows of every kind."""
    from spark_verl.data.check import check_data, known_truths
    from spark_verl.self_reward.questions import divide

    spark = load_spark_config(config)
    check_data(config, spark.check_rows, spark.self_reward.enable)
    truths = known_truths(config) if spark.self_reward.enable else None
    if truths:
        kinds = Counter(divide(truths, spark.self_reward, spark.seed))
        print("training questions: " + ", ".join(f"{kinds[kind]:,} {kind}" for kind in Supervision))


PREPARATION: tuple[Callable[[DictConfig], object], ...] = (
    # With other versions nothing that follows means anything.
    check_versions,
    # Before the checks: they look at the paths that the run will open.
    add_files,
    expand_home,
    # While nothing of verl is imported and no process is changed: what must be refused is refused within a second.
    check_config,
    warn_of_keys,
    check_devices,
    # Before the first import of verl, which settles on a platform for good.
    compat.configure,
    # After configure, which says whether the run has a Ray of its own.
    compat.reserve_cpus,
    # After both, as early as can be: it imports while the checks go on.
    fork_processes,
    # Before carry_environment, which hands its variable on, and after configure, whose variables come first.
    name_metrics_file,
    compat.carry_environment,
    compat.name_run,
    compat.mend_models,
    # Imports verl, and looks at what verl has loaded.
    check_installation,
    # The config as verl will get it.
    check_with_verl,
    # verl's dataset class reads the rows, with the tokenizer and the processor of the model.
    check_rows,
    check_with_vllm,
)
"""What is done before Ray starts, in this order. Checks only look; the others change the config or this process."""


def show(config: DictConfig) -> None:
    """Print the resolved config and the budget of a run that is not started.

    Raises:
        ValueError: The budget does not fit.
    """
    print(OmegaConf.to_yaml(config, resolve=True))
    model = config.actor_rollout_ref.model
    shape = budget.model_shape(str(model.path), model.trust_remote_code)
    if shape is None:
        print(f"budget: unknown model {brief(model.path)} (give a local folder to have it computed)")
        return
    needed = budget.compute(config, shape, gpu_memory())
    print(needed.table())
    if needed.problems:
        raise ValueError("; ".join(needed.problems))


def gpu_memory() -> float:
    """``GPU_MEMORY_GB``: of one GPU, in GiB.

    Raises:
        ValueError: It is no positive number.
    """
    text = os.environ.get("GPU_MEMORY_GB", "80")
    try:
        size = float(text)
    except ValueError:
        size = 0.0
    if not 0 < size < float("inf"):
        raise ValueError(f"GPU_MEMORY_GB must be a positive number, got {brief(text)}")
    return size


def record(config: DictConfig) -> None:
    """Write ``config.yaml`` (resolved) and ``run.json`` (recipe, overrides, versions) into the run's folder."""
    folder = Path(str(config.trainer.default_local_dir)).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    write_at_once(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    call = HydraConfig.get()
    versions = {"python": sys.version.partition(" ")[0]}
    for name in ("spark-verl", "verl", "vllm", "torch", "transformers", "ray"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    about = {"recipe": call.job.config_name, "overrides": list(call.overrides.task), "versions": versions}
    write_at_once(folder / "run.json", json.dumps(about, indent=2) + "\n")


def run(config: DictConfig, listener: ending.Listener) -> None:
    """Start or join Ray and train. Returns when training has ended.

    Args:
        config: The prepared config.
        listener: Gets to know when there is a trainer that can be asked to stop.
    """
    started_at = psutil.Process().create_time()
    compat.use_forked_processes(config)

    import ray
    from verl.trainer.main_ppo import TaskRunnerV1, run_ppo

    # verl exports the runner as a Ray actor class; subclassing needs the plain class behind it.
    class SparkTaskRunner(TaskRunnerV1.__ray_metadata__.modified_class):  # ty: ignore[missing-attribute]
        """verl's task runner in whose process SPARK's trainers are registered."""

        def run(self, config: DictConfig) -> None:
            # The import registers the values of trainer_mode.
            from spark_verl.trainer.colocate_async import SparkTrainer

            SparkTrainer.started_at = started_at
            compat.prepare_metrics_file(keep=config.trainer.resume_mode != "disable")
            super().run(config)

    class Runner:
        """What verl starts once Ray is there, which is when a signal can be handed on."""

        def __init__(self, actor: Any) -> None:
            self._actor = actor

        def options(self, **options: Any) -> Runner:
            """Ray's."""
            return Runner(self._actor.options(**options))

        def remote(self) -> Any:
            """Ray's: start the actor."""
            listener.listen(training=True)
            return self._actor.remote()

    run_ppo(config, task_runner_class=Runner(ray.remote(num_cpus=1)(SparkTaskRunner)))
    # On another node's disk, or with another logger, there is nothing to read.
    if found := advice.of_file(Path(os.environ.get(compat.METRICS_VARIABLE, ""))):
        print(found)


_FULL_ERROR = "HYDRA_FULL_ERROR"
_ASKED = os.environ.get(_FULL_ERROR, "0")


@hydra.main(config_path="config", config_name="spark_trainer", version_base=None)
def main(config: DictConfig) -> None:
    """Hydra entry point."""
    os.environ[_FULL_ERROR] = _ASKED
    listener = ending.Listener()
    listener.listen()
    try:
        prepare(config)
        if dry_run():
            show(config)
            return
        record(config)
    except InstantiationException as error:
        # verl's dataclasses check themselves while Hydra builds them; the reason is the last error of the chain.
        fail(error.__cause__ or error)
    except (ValueError, OSError, AssertionError, OmegaConfBaseException, compat.NotReadyError) as error:
        fail(error)
    try:
        run(config, listener)
    except Exception as error:  # whatever Ray hands on of what verl raises
        ended = ending.cause_of(error)
        if ended is None:
            raise
        import ray

        # What it still has to say of its processes comes before the cause, not after it.
        ray.shutdown()
        fail(ended, ended.code)


def command() -> None:
    """Run :func:`main`; where Hydra cannot compose the config, end with one line, too.

    Hydra's own words about an unknown key are the advice to add it, which for a misspelt one does nothing.
    """
    # Hydra then raises what it would print.
    os.environ[_FULL_ERROR] = "1"
    try:
        main()
    except (HydraException, OmegaConfBaseException) as error:
        os.environ[_FULL_ERROR] = _ASKED
        unknown = re.match(r"Could not override '([^']+)'", str(error))
        fail(ValueError(keys.unknown_override(unknown[1])) if unknown else error)


def fail(error: BaseException, code: int = 1) -> NoReturn:
    """End with one line for each finding; with a stack trace if ``HYDRA_FULL_ERROR=1``."""
    if code == 1 and os.environ.get(_FULL_ERROR) == "1":
        raise error
    # A message of our own has a line for each finding, that of a library is one message.
    foreign = isinstance(error, HydraException | OmegaConfBaseException | AssertionError)
    lines = [brief(error, limit=400)] if foreign else str(error).splitlines()
    text = "\n".join(f"spark_verl: {line}" for line in lines or [type(error).__name__])
    if code == 1:
        sys.exit(f"{text}\n({_FULL_ERROR}=1 shows where)")
    print(text, file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    command()
