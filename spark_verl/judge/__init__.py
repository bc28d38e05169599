"""Judge data: from a group of rollouts to prompts that train the same model as a judge.

- :mod:`~spark_verl.judge.types`: RolloutGroup in, JudgePrompt out.
- :mod:`~spark_verl.judge.plan`: what a group is asked for; :mod:`~spark_verl.judge.balance`: planning a whole step so
  that labels stay balanced and budgets are met.
- :mod:`~spark_verl.judge.build`: carrying a plan out, and the rendering.
- :mod:`~spark_verl.judge.pointwise`, :mod:`~spark_verl.judge.pairwise`, :mod:`~spark_verl.judge.reflection`: one
  objective each.
- :mod:`~spark_verl.judge.templates`: the words; :mod:`~spark_verl.judge.text`: making rollout text safe;
  :mod:`~spark_verl.judge.length`: making prompts fit.
"""

from spark_verl.judge.balance import BalanceController, StepOutcome
from spark_verl.judge.build import JudgeBuilder, build_judge_prompts
from spark_verl.judge.plan import JudgeAsk, Plan, ReflectionAsk
from spark_verl.judge.types import JudgeBuild, JudgePrompt
from spark_verl.vocabulary import Correctness, Rollout, RolloutGroup

__all__ = [
    "BalanceController",
    "Correctness",
    "JudgeAsk",
    "JudgeBuild",
    "JudgeBuilder",
    "JudgePrompt",
    "Plan",
    "ReflectionAsk",
    "Rollout",
    "RolloutGroup",
    "StepOutcome",
    "build_judge_prompts",
]
