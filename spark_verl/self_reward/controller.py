"""What the trainer holds: the window of audit groups, the coefficients, the gate."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

import numpy as np

from spark_verl.config.schema import SelfRewardConfig
from spark_verl.self_reward.answers import ScoredGroup
from spark_verl.self_reward.gate import Measured, correlation, measure
from spark_verl.self_reward.posterior import Posterior, fit
from spark_verl.self_reward.rewards import (
    advantages,
    class_rewards,
    sample_rewards,
    sample_truth,
    shuffle_verdicts,
    teaches,
)
from spark_verl.vocabulary import SelfRewardKind, SelfRewardWeight, Supervision, Word

MIN_WEIGHT = 0.02
"""A smaller weight counts as none: rows would cost their time in the update, and dilute it, for nothing."""


class Closed(Word):
    """Why the gate is closed."""

    FEW_GROUPS = "few_audit_groups"
    BOUND = "no_correlation"
    CALIBRATION = "miscalibrated"
    UNREADABLE = "unreadable_verdicts"
    ALARM = "self_confirmation"


@dataclass
class StepReward:
    """What a step's groups get.

    Attributes:
        weight: Of the gate.
        closed: Why it is closed; None where it is open.
        advantages: ``{uid: {session: advantage}}`` of unlabelled groups that teach something.
        rewards: ``{uid: reward of each class}`` of all scored groups.
        metrics: ``spark/self_reward/*``.
    """

    weight: float
    closed: Closed | None
    advantages: dict[str, dict[int, float]] = field(default_factory=dict)
    rewards: dict[str, list[float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


class SelfReward:
    """Learns from audit groups and rewards unlabelled ones.

    Args:
        config: The block ``spark.self_reward``.
        seed: ``spark.seed``.
    """

    def __init__(self, config: SelfRewardConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed
        self.kind = SelfRewardKind(config.reward)
        self.posterior = Posterior()
        self.measured: Measured | None = None
        self.alarm = False
        """Whether the self-confirmation alarm rang in the last step."""
        self.window: deque[ScoredGroup] = deque(maxlen=config.window)

    # ------------------------------------------------------------------ a step

    def step(self, groups: Mapping[str, ScoredGroup], step: int) -> StepReward:
        """Take in a step's audit groups, then reward its unlabelled ones.

        Args:
            groups: ``{uid: group}`` of all scored groups of the step, in an order that arrival has no part in.
            step: Number of the step.
        """
        order = list(groups)
        scored = [groups[uid] for uid in order]
        if self.config.shuffle_verdicts:
            scored = shuffle_verdicts(scored, Random(f"{self.seed}/verdicts/{step}"))
        # An audit group of which some answer was not verified measures nothing.
        self.window.extend(
            group for group in scored if group.supervision is Supervision.AUDIT and (group.known or not group.classes)
        )
        self._learn()
        closed = self._why_closed() if self.config.gate else None
        weight = 0.0 if closed else self._open_weight()
        found = StepReward(weight, closed)
        for uid, group in zip(order, scored, strict=True):
            found.rewards[uid] = self._rewards(group, self.posterior)
            if group.supervision is Supervision.UNLABELLED:
                given = advantages(sample_rewards(group, found.rewards[uid]), weight, self.config.min_std)
                if given:
                    found.advantages[uid] = given
        unlabelled = {
            uid: group for uid, group in zip(order, scored, strict=True) if group.supervision is Supervision.UNLABELLED
        }
        of_step = _step_metrics(scored, unlabelled, found, self.config.min_std)
        found.metrics = {**self._gate_metrics(found), **of_step}
        return found

    def _rewards(self, group: ScoredGroup, posterior: Posterior) -> list[float]:
        return class_rewards(self.kind, group, posterior)

    def _learn(self) -> None:
        groups = list(self.window)
        if groups:
            self.posterior = fit(groups)
            self.measured = measure(groups, self._rewards, self.config.min_std, self.seed)

    def _why_closed(self) -> Closed | None:
        found, config = self.measured, self.config
        if found is None or found.groups < config.min_audit_groups or found.questions < config.min_audit_questions:
            return Closed.FEW_GROUPS
        if self.alarm:
            return Closed.ALARM
        if found.unreadable > config.max_unreadable:
            return Closed.UNREADABLE
        # Only the posterior claims to be a probability.
        if self.kind is SelfRewardKind.POSTERIOR and abs(found.reward - found.accuracy) > config.max_miscalibration:
            return Closed.CALIBRATION
        return Closed.BOUND if found.low < MIN_WEIGHT else None

    def _open_weight(self) -> float:
        if not self.config.gate or not self.measured:
            return 1.0
        estimate = self.config.weight == SelfRewardWeight.ESTIMATE
        return min(1.0, self.measured.rho if estimate else self.measured.low)

    # ------------------------------------------------------------------ what is seen

    def _gate_metrics(self, found: StepReward) -> dict[str, float]:
        values: dict[str, float] = {"weight": found.weight}
        values |= {f"closed/{reason}": float(found.closed is reason) for reason in Closed}
        values |= {f"posterior/{name}": value for name, value in asdict(self.posterior).items()}
        if self.measured:
            of_judge = {**asdict(self.measured), "youden": self.measured.youden}
            of_judge["miscalibration"] = self.measured.reward - self.measured.accuracy
            values |= {f"audit/{name}": value for name, value in of_judge.items() if not math.isnan(value)}
        return {f"spark/self_reward/{name}": float(value) for name, value in values.items()}

    # ------------------------------------------------------------------ checkpoint

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint; can be written as JSON."""
        return {"alarm": self.alarm, "window": [group.to_dict() for group in self.window]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`; of a longer window the latest groups are kept."""
        self.alarm = state["alarm"]
        self.window.extend(ScoredGroup.from_dict(group) for group in state["window"])
        self._learn()


def _step_metrics(
    scored: Sequence[ScoredGroup], unlabelled: Mapping[str, ScoredGroup], found: StepReward, min_std: float
) -> dict[str, float]:
    """What this step's groups say: how many there are, what they cost, and what was predicted of them."""
    values: dict[str, float] = {
        "groups": len(unlabelled),
        "taught_groups": len(found.advantages),
        "audit_groups": len(scored) - len(unlabelled),
        "verdicts": sum(each.asked for group in scored for each in group.classes),
    }
    rewards = {uid: sample_rewards(group, found.rewards[uid]) for uid, group in unlabelled.items()}
    predicted = [value for of_group in rewards.values() for value in of_group.values()]
    if predicted:
        values["reward/mean"] = float(np.mean(predicted))
        largest = [group.classes[0].votes / group.size for group in unlabelled.values() if group.classes]
        values["largest_vote"] = float(np.mean(largest)) if largest else 0.0
        verdicts = [each for group in unlabelled.values() for each in group.classes if each.read]
        if verdicts:
            values["yes_rate"] = sum(each.yes for each in verdicts) / sum(each.read for each in verdicts)
    # Where the truth is hidden from training but stored with the row, as in an experiment.
    known = {uid: sample_truth(group) for uid, group in unlabelled.items() if group.known}
    if known:
        values["realised/acc"] = float(np.mean([value for truth in known.values() for value in truth.values()]))
        values["realised/reward"] = float(np.mean([value for uid in known for value in rewards[uid].values()]))
        # As the gate measures it: of the groups that would teach something.
        taught = [uid for uid in known if teaches(rewards[uid].values(), min_std)]
        if taught:
            values["realised/rho"] = float(
                np.mean(
                    [correlation([*rewards[uid].values()], [known[uid][s] for s in rewards[uid]]) for uid in taught]
                )
            )
    return {f"spark/self_reward/{name}": float(value) for name, value in values.items()}
