"""The model's own judgement as reward where there is no ground truth, as far as it has been measured to be right.

    rollouts ──► classes of equal answers ──► verdicts on each ──► posterior π ──► advantages, times the gate's weight w
                 (answers)                    (rollout.verdicts)   (posterior)     (rewards)          ▲
                                                                                                      │
    audit groups: the same for questions whose truth is known and never trained on ────────────► gate: ρ̂, w

Everything here is pure: no Ray, no torch, no clock. :class:`~spark_verl.self_reward.controller.SelfReward` is what the
trainer holds.
"""

from spark_verl.self_reward.answers import AnswerClass, ScoredGroup
from spark_verl.self_reward.controller import SelfReward

DUMP_FOLDER = "self_reward"
"""In the folder of the rollout dumps: the judged groups of each step, one JSON object per line."""

__all__ = ["DUMP_FOLDER", "AnswerClass", "ScoredGroup", "SelfReward"]
