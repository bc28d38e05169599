"""Typed, validated form of the ``spark:`` block. Light: imports neither verl nor torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spark_verl.reward.options import RewardOptions
from spark_verl.vocabulary import LabelForm, Objective

POINTWISE_LABEL_FORMS = ("yes_no", "a_b")


def _check_share(value: float, name: str) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"spark.{name} must lie between 0 and 1, got {value}")


def _check_n(value: int | None, name: str) -> None:
    # One sample alone has no group to be compared with: its GRPO advantage is meaningless.
    if value is not None and value < 2:
        raise ValueError(f"spark.{name} must be at least 2 (or null for rollout.n), got {value}")


def _check_length(value: int | None, name: str) -> None:
    if value is not None and value < 1:
        raise ValueError(f"spark.{name} must be at least 1 (or null for data.max_response_length), got {value}")


@dataclass
class PointwiseConfig:
    """Pointwise judging.

    Attributes:
        cot_share: Share of prompts that show a whole response instead of its parsed answer.
        share_in_unanimous: Probability that a judge prompt asked of a group with one outcome (all right or all wrong)
            is built at all. ``balance.labels`` lowers it where such groups would skew the labels.
        label_forms: Verdict formats to choose from: "yes_no", "a_b".
        n: Samples per prompt; null means ``actor_rollout_ref.rollout.n``.
        max_response_length: Token limit of its responses; null means ``data.max_response_length``.
        weight: Factor on the advantages of its rows.
    """

    cot_share: float = 0.5
    share_in_unanimous: float = 1.0
    label_forms: list[str] = field(default_factory=lambda: ["yes_no"])
    n: int | None = None
    max_response_length: int | None = None
    weight: float = 1.0

    def validate(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        _check_share(self.cot_share, "pointwise.cot_share")
        _check_share(self.share_in_unanimous, "pointwise.share_in_unanimous")
        _check_n(self.n, "pointwise.n")
        _check_length(self.max_response_length, "pointwise.max_response_length")
        unknown = sorted(set(self.label_forms) - set(POINTWISE_LABEL_FORMS))
        if unknown or not self.label_forms:
            raise ValueError(
                f"spark.pointwise.label_forms must name some of {list(POINTWISE_LABEL_FORMS)}, got {self.label_forms}"
            )


@dataclass
class PairwiseConfig:
    """Pairwise judging.

    Attributes:
        share_in_mixed: Probability that a judge prompt of a group with both outcomes is pairwise (else pointwise).
        cot_share: Share of prompts that show whole responses instead of their parsed answers.
        n: Samples per prompt; null means ``actor_rollout_ref.rollout.n``.
        max_response_length: Token limit of its responses; null means ``data.max_response_length``.
        weight: Factor on the advantages of its rows.
    """

    share_in_mixed: float = 0.7
    cot_share: float = 0.5
    n: int | None = None
    max_response_length: int | None = None
    weight: float = 1.0

    def validate(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        _check_share(self.share_in_mixed, "pairwise.share_in_mixed")
        _check_share(self.cot_share, "pairwise.cot_share")
        _check_n(self.n, "pairwise.n")
        _check_length(self.max_response_length, "pairwise.max_response_length")


@dataclass
class ReflectionConfig:
    """Reflection.

    Attributes:
        cot_share: Share of prompts that show a whole response instead of its parsed answer.
        right_share: Share of prompts about an attempt that is right, so that the model does not learn to change every
            answer. The reference has 0.
        n: Samples per prompt; null means ``actor_rollout_ref.rollout.n``.
        max_response_length: Token limit of its responses; null means ``data.max_response_length``.
        weight: Factor on the advantages of its rows.
    """

    cot_share: float = 0.5
    right_share: float = 0.0
    n: int | None = None
    max_response_length: int | None = None
    weight: float = 1.0

    def validate(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        _check_share(self.cot_share, "reflection.cot_share")
        _check_share(self.right_share, "reflection.right_share")
        _check_n(self.n, "reflection.n")
        _check_length(self.max_response_length, "reflection.max_response_length")


@dataclass
class BalanceConfig:
    """How a step's judge data follow from earlier steps; see :mod:`spark_verl.judge.balance`.

    Attributes:
        labels: Steer the shares of Yes and of A towards one half.
        budgets: Ask groups more often when some cannot give a prompt, so that the configured numbers are met.
        memory: Number of steps that are remembered.
    """

    labels: bool = True
    budgets: bool = True
    memory: float = 10.0

    def validate(self) -> None:
        """Raise ValueError, naming the field, for a value out of range."""
        if self.memory < 1:
            raise ValueError(f"spark.balance.memory must be at least 1 step, got {self.memory}")


@dataclass
class SparkConfig:
    """The whole ``spark:`` block.

    Attributes:
        enable: False trains plain GRPO with the same code path.
        seed: Seed of every choice in the judge transform.
        judge_prompts_per_group: Expected number of pointwise or pairwise prompts per policy prompt. The reference
            draws up to 32 per 64 policy prompts: 0.5.
        reflection_prompts_per_group: Expected number of reflection prompts per policy prompt; reference: 0.5.
        templates: Folder with judge templates (or ``pkg://package/folder``); null takes spark_verl's own.
        poll_interval_s: Seconds between two looks at TransferQueue while waiting for a step's rollouts. verl's fixed
            2 s is more than half of a small step.
        share_media: Tokenize a prompt once for its samples, and fetch and process a group's images once for its samples
            and judge prompts; false does it for each sample, as verl does (for comparison; the tensors are the same).
        policy_weight: Factor on the advantages of policy rows.
        check_rows: Rows of each data file that are looked at before the start; 0 for none, -1 for all.
        alarm_window: Steps per window of the alarm for self-confirmation (``spark/alarm/*``); 0 for none.
        balance: Shares and budgets over several steps.
        pointwise, pairwise, reflection: Per objective.
        reward: Options of the ``spark`` reward manager.
    """

    enable: bool = True
    seed: int = 0
    judge_prompts_per_group: float = 0.5
    reflection_prompts_per_group: float = 0.5
    templates: str | None = None
    poll_interval_s: float = 0.1
    share_media: bool = True
    policy_weight: float = 1.0
    check_rows: int = 100
    alarm_window: int = 20
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    pointwise: PointwiseConfig = field(default_factory=PointwiseConfig)
    pairwise: PairwiseConfig = field(default_factory=PairwiseConfig)
    reflection: ReflectionConfig = field(default_factory=ReflectionConfig)
    reward: RewardOptions = field(default_factory=RewardOptions)

    def validate(self) -> SparkConfig:
        """Check every value; return self.

        Raises:
            ValueError: A value is out of range; the message names the field.
        """
        for name in ("judge_prompts_per_group", "reflection_prompts_per_group"):
            if getattr(self, name) < 0:
                raise ValueError(f"spark.{name} must not be negative, got {getattr(self, name)}")
        if self.poll_interval_s <= 0:
            raise ValueError(f"spark.poll_interval_s must be positive, got {self.poll_interval_s}")
        if self.check_rows < -1:
            raise ValueError(f"spark.check_rows must be -1 (all rows) or more, got {self.check_rows}")
        if self.alarm_window < 0 or self.alarm_window == 1:
            raise ValueError(f"spark.alarm_window must be 0 (none) or at least 2, got {self.alarm_window}")
        for part in (self.balance, self.pointwise, self.pairwise, self.reflection, self.reward):
            part.validate()
        return self

    def replace(self, **changes: Any) -> SparkConfig:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def used_label_forms(self) -> list[tuple[Objective, LabelForm]]:
        """The (objective, label form) pairs that this config can ask for; each needs a template."""
        used: list[tuple[Objective, LabelForm]] = []
        if self.judge_prompts_per_group > 0:
            used += [(Objective.POINTWISE, LabelForm(form)) for form in self.pointwise.label_forms]
            if self.pairwise.share_in_mixed > 0:
                used.append((Objective.PAIRWISE, LabelForm.A_B))
        if self.reflection_prompts_per_group > 0:
            used.append((Objective.REFLECTION, LabelForm.FREE))
        return used

    def objective(self, name: str) -> PointwiseConfig | PairwiseConfig | ReflectionConfig:
        """The block of an objective."""
        return {"pointwise": self.pointwise, "pairwise": self.pairwise, "reflection": self.reflection}[name]

    def weight_of(self, objective: str) -> float:
        """Factor on the advantages of an objective's rows; ``"policy"`` for policy rows."""
        return self.policy_weight if objective == "policy" else self.objective(objective).weight


def load_spark_config(config: DictConfig) -> SparkConfig:
    """Read and validate the ``spark:`` block of a composed config.

    Args:
        config: The whole Hydra config.

    Raises:
        ValueError: The block is missing, has an unknown key, a value of the wrong type or one out of range.
    """
    block = config.get("spark")
    if block is None:
        raise ValueError("the config has no `spark:` block: add `spark` to the defaults list of your recipe")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(SparkConfig), block)
        spark = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        known = ", ".join(f.name for f in dataclasses.fields(SparkConfig))
        reason = str(error).splitlines()[0]
        raise ValueError(f"spark.{error.full_key or '?'}: {reason} (keys of spark: {known})") from error
    return spark.validate()
