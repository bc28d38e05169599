"""SPARK's configuration: the ``spark:`` block that stands beside verl's own.

``schema.py`` describes every option once. The yaml files in this folder are Hydra configs: ``spark.yaml`` is what a
recipe composes (the block, and what SPARK needs of verl), ``spark_options.yaml`` the block itself, written from
``schema.py`` by ``describe.py``; ``spark_trainer.yaml`` adds verl's ``ppo_trainer``; ``platform/gpu.yaml`` and
``platform/cpu.yaml`` are overlays for machines with and without GPUs, ``preset/paper.yaml`` is one with the settings of
the paper's own code.
"""

from spark_verl.config.schema import (
    BalanceConfig,
    PairwiseConfig,
    PointwiseConfig,
    ReflectionConfig,
    SparkConfig,
    load_spark_config,
)

__all__ = ["BalanceConfig", "PairwiseConfig", "PointwiseConfig", "ReflectionConfig", "SparkConfig", "load_spark_config"]
