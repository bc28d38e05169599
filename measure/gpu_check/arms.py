"""The training runs that are compared: the recipe ``spark_vl_7b`` with the check's model, each in a way of its own.

=======  ====================================================================================================
arm      a step
=======  ====================================================================================================
spark    questions, judge and reflection prompts about the rollouts, streamed (``spark.judge_step=same``); one update
verl     as many sequences about the same pictures with ``verl.trainer.main_ppo``: verl's own GRPO
ipc      spark, with weights sent to the engine in small buckets: what is larger than one, as the 7B model's embeddings
         are larger than the usual one, goes by a handle of its own
barrier  spark, but no judge prompt starts before the last rollout has ended
policy   the questions alone
next     spark, with judge prompts about the step before (``spark.judge_step=next``)
async    spark, with a step that takes what is ready (``trainer.v1.trainer_mode=spark_colocate_async``)
=======  ====================================================================================================

Answers are as long as a log-normal distribution says, the same for all arms; half of them are right (``schedules.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from runs import BENCHMARKS, ROOT, STOCK_VERL

from gpu_check.sizes import Size
from spark_verl.compat.bootstrap import MODEL_FIXES

SPARK, VERL = "spark_verl.main", "verl_alone"
RECIPE = "spark_vl_7b"
NAMES = ("spark", "verl", "ipc", "barrier", "policy", "next", "async")
"""In the order in which they are run: what says most comes first."""
USUAL = NAMES[:2]
"""Those that are run where none are named: the goals are about these."""
START_UP_S = 150
"""What an H100's host needs to start a run (167 s with another one beside it): with less time left none is begun."""
SIGMA = 0.8
"""Standard deviation of the logarithm of a response's length."""
LOOPS = """\
- name: spark_long_tail
  _target_: schedules.SparkLongTailLoop
- name: verl_long_tail
  _target_: schedules.VerlLongTailLoop
"""
NO_DASHBOARD = "+ray_kwargs.ray_init.include_dashboard=false"
ON_GPU = (
    # Half of the GPU is the trainer's.
    "actor_rollout_ref.rollout.gpu_memory_utilization=0.4",
    # Fewer graphs, so that the engine is there sooner.
    "actor_rollout_ref.rollout.cudagraph_capture_sizes=[1,2,4,8,16,32,64,128,192,256]",
    "transfer_queue.backend.SimpleStorage.num_data_storage_units=2",
)
DEVICES = {"gpu": ON_GPU, "cpu": ("platform=cpu",)}


class Arm(NamedTuple):
    """A run.

    Attributes:
        module: What Python runs.
        overrides: Hydra overrides of the recipe.
        steps: How many it trains.
    """

    module: str
    overrides: tuple[str, ...]
    steps: int

    @property
    def command(self) -> tuple[str, ...]:
        """Arguments of the interpreter."""
        recipe = ("--config-path", str(ROOT / "recipes"), "--config-name", RECIPE)
        return ("-m", self.module, *recipe, f"trainer.total_training_steps={self.steps}", *self.overrides)


def arms(size: Size, folder: Path, device: str, steps: int, overrides: Sequence[str] = ()) -> dict[str, Arm]:
    """The arms by name.

    Args:
        size: Of model, data and batches.
        folder: Of the check; with ``model``, ``data`` and ``loops.yaml``.
        device: ``gpu`` or ``cpu``.
        steps: Per run.
        overrides: Hydra overrides of every run.
    """
    batch, loop = "data.train_batch_size", "actor_rollout_ref.rollout.agent.default_agent_loop"
    mini, bucket = "actor_rollout_ref.actor.ppo_mini_batch_size", "checkpoint_engine.update_weights_bucket_megabytes"
    shared = (
        *DEVICES[device],
        *size.overrides,
        "trainer.n_gpus_per_node=1",
        f"actor_rollout_ref.model.path={folder}/model",
        f"data.val_files={folder}/data/test.parquet",
        f"data.max_response_length={size.longest}",
        f"actor_rollout_ref.rollout.n={size.samples}",
        *("data.shuffle=false", "data.filter_overlong_prompts=false", "data.dataloader_num_workers=0"),
        f"actor_rollout_ref.rollout.agent.agent_loop_config_path={folder}/loops.yaml",
        f"reward.custom_reward_function.path={BENCHMARKS}/schedules.py",
        *("trainer.val_before_train=false", "trainer.test_freq=-1", "trainer.save_freq=-1"),
        "trainer.resume_mode=disable",
        *("trainer.rollout_data_dir=null", "trainer.validation_data_dir=null"),
        # Answers only: candidates as long as these responses would not be in the other arms' prompts.
        *(f"spark.{objective}.cot_share=0" for objective in ("pointwise", "pairwise", "reflection")),
        "spark.reward.warm_up=false",
        # As many sequences in every step, the first one included.
        "spark.judge_step=same",
    )
    questions = (
        *(*shared, NO_DASHBOARD, f"{loop}=spark_long_tail", f"data.train_files={folder}/data/train.parquet"),
        *(f"{batch}={size.questions}", f"{mini}={size.questions // 2}"),
    )
    verl = (
        *(*shared, *STOCK_VERL, f"{loop}=verl_long_tail", f"data.train_files={folder}/data/mixed.parquet"),
        *(f"{batch}={2 * size.questions}", f"{mini}={size.questions}", "spark.enable=false"),
        f"actor_rollout_ref.model.external_lib={MODEL_FIXES}",
    )
    barrier = "actor_rollout_ref.rollout.agent.agent_loop_manager_class=schedules.BarrierManager"
    found = {
        "spark": Arm(SPARK, questions, steps),
        "verl": Arm(VERL, verl, steps),
        # Two: the second is sampled with weights that have travelled this way.
        "ipc": Arm(SPARK, (*questions, f"actor_rollout_ref.rollout.{bucket}=256"), min(steps, 2)),
        "barrier": Arm(SPARK, (*questions, barrier), steps),
        "policy": Arm(SPARK, (*questions, "spark.enable=false"), steps),
        "next": Arm(SPARK, (*questions, "spark.judge_step=next"), steps),
        "async": Arm(SPARK, (*questions, "trainer.v1.trainer_mode=spark_colocate_async"), steps),
    }
    return {name: arm._replace(overrides=(*arm.overrides, *overrides)) for name, arm in found.items()}


def sequences(size: Size) -> int:
    """Per step of all arms but ``policy``: as many judge and reflection prompts as questions (the recipe's numbers)."""
    return 2 * size.questions * size.samples
