"""Judge data: from a group of rollouts to prompts that train the same model as a judge.

- :mod:`~spark_verl.judge.types`: RolloutGroup in, JudgePrompt out.
- :mod:`~spark_verl.judge.build`: which objectives a group gives, and the rendering.
- :mod:`~spark_verl.judge.pointwise`, :mod:`~spark_verl.judge.pairwise`, :mod:`~spark_verl.judge.reflection`: one
  objective each.
- :mod:`~spark_verl.judge.templates`: the words; :mod:`~spark_verl.judge.text`: making rollout text safe.
"""

from spark_verl.judge.build import JudgeBuilder, build_judge_prompts
from spark_verl.judge.types import Correctness, JudgeBuild, JudgePrompt, Rollout, RolloutGroup

__all__ = [
    "Correctness",
    "JudgeBuild",
    "JudgeBuilder",
    "JudgePrompt",
    "Rollout",
    "RolloutGroup",
    "build_judge_prompts",
]
