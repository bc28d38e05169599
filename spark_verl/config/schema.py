"""The ``spark:`` block: every option with its default, its meaning and what it may be. Light: no verl, no torch.

After a change here: ``python -m spark_verl.config.describe`` writes ``spark_options.yaml`` and the table of the docs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from spark_verl.options import NOT_NEGATIVE, POSITIVE, SHARE, Allowed, at_least, load, option, some_of
from spark_verl.reward.options import RewardOptions
from spark_verl.vocabulary import LabelForm, Objective

# One sample alone has no group to be compared with: its GRPO advantage is meaningless.
_SAMPLES = at_least(2, " (or null for rollout.n)")
_LENGTH = at_least(1, " (or null for data.max_response_length)")
_POINTWISE_FORMS = [form.value for form in LabelForm if form.labels]
_ROWS = Allowed("be -1 (all rows) or more", lambda value: value >= -1)
_WINDOW = Allowed("be 0 (none) or at least 2", lambda value: value == 0 or value >= 2)


@dataclass(kw_only=True)
class ObjectiveConfig:
    """What the three judge objectives have in common."""

    cot_share: float = option(0.5, "Share of prompts that show the whole response instead of its parsed answer", SHARE)
    n: int | None = option(None, "Samples per prompt; null for rollout.n", _SAMPLES)
    max_response_length: int | None = option(
        None, "Token limit of its responses; null for data.max_response_length", _LENGTH
    )
    weight: float = option(1.0, "Factor on the advantages of its rows")


@dataclass(kw_only=True)
class PointwiseConfig(ObjectiveConfig):
    """Pointwise judging."""

    share_in_unanimous: float = option(
        1.0,
        "Probability that a judge prompt asked of an all-right or all-wrong group is built at all; balance.labels"
        " lowers it",
        SHARE,
    )
    label_forms: list[str] = option(
        lambda: ["yes_no"],
        f"Verdict formats to choose from: {', '.join(_POINTWISE_FORMS)}",
        some_of(_POINTWISE_FORMS, least=1),
    )


@dataclass(kw_only=True)
class PairwiseConfig(ObjectiveConfig):
    """Pairwise judging."""

    share_in_mixed: float = option(
        0.7, "Probability that a judge prompt of a group with both outcomes is pairwise, else pointwise", SHARE
    )


@dataclass(kw_only=True)
class ReflectionConfig(ObjectiveConfig):
    """Reflection. A model that never sees a right attempt learns to change every answer (``right_share``)."""

    right_share: float = option(0.0, "Share of prompts about an attempt that is right already (reference: 0)", SHARE)


@dataclass(kw_only=True)
class BalanceConfig:
    """How a step's judge data follow from earlier steps; see :mod:`spark_verl.judge.balance`."""

    labels: bool = option(
        True, "Steer the shares of Yes (pointwise) and A (pairwise) among the labels towards one half"
    )
    budgets: bool = option(
        True, "Ask groups more often when others cannot give a prompt, so that the numbers above are met"
    )
    memory: float = option(10.0, "Number of steps that are remembered", at_least(1, " step"))


@dataclass(kw_only=True)
class SparkConfig:
    """The whole ``spark:`` block."""

    enable: bool = option(
        True,
        "Build judge prompts from the step's rollouts and train on both; false is plain GRPO on the same code path",
    )
    seed: int = option(0, "Seed of every choice in the judge transform")
    judge_prompts_per_group: float = option(
        0.5,
        "Expected number of pointwise or pairwise prompts per policy prompt (reference: up to 32 per 64)",
        NOT_NEGATIVE,
    )
    reflection_prompts_per_group: float = option(
        0.5, "Expected number of reflection prompts per policy prompt (reference: up to 32 per 64)", NOT_NEGATIVE
    )
    templates: str | None = option(
        None, "Folder with judge templates, or pkg://package/folder; null for the built-in ones"
    )
    # verl's fixed 2 s is more than half of a small step.
    poll_interval_s: float = option(
        0.1, "Seconds between two looks at TransferQueue while a step's rollouts are under way", POSITIVE
    )
    share_media: bool = option(
        True, "Tokenize a prompt, and fetch and process its images, once; false does it for each sample, as verl does"
    )
    policy_weight: float = option(1.0, "Factor on the advantages of policy rows")
    check_rows: int = option(
        100,
        "Rows of each data file that are looked at before the start (columns, images, answers); 0 for none, -1 for all",
        _ROWS,
    )
    alarm_window: int = option(
        20,
        "Steps per window of the alarm that rings when the judge says Yes more and more while accuracy does not rise;"
        " 0: none",
        _WINDOW,
    )
    balance: BalanceConfig = option(BalanceConfig, "How a step's judge data follow from what earlier steps brought")
    pointwise: PointwiseConfig = option(PointwiseConfig, "Is this answer right?")
    pairwise: PairwiseConfig = option(PairwiseConfig, "Which of these two is right?")
    reflection: ReflectionConfig = option(ReflectionConfig, "Here is an attempt, do better")
    reward: RewardOptions = option(RewardOptions, "The verifier and the spark reward manager")

    def replace(self, **changes: Any) -> SparkConfig:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def used_label_forms(self) -> list[tuple[Objective, LabelForm]]:
        """What this config can ask for; each pair needs a template."""
        used: list[tuple[Objective, LabelForm]] = []
        if self.judge_prompts_per_group > 0:
            used += [(Objective.POINTWISE, LabelForm(form)) for form in self.pointwise.label_forms]
            if self.pairwise.share_in_mixed > 0:
                used.append((Objective.PAIRWISE, LabelForm.A_B))
        if self.reflection_prompts_per_group > 0:
            used.append((Objective.REFLECTION, LabelForm.FREE))
        return used

    def objective(self, name: Objective) -> ObjectiveConfig:
        """The block of a judge objective."""
        return getattr(self, Objective(name))

    def weight_of(self, objective: Objective) -> float:
        """Factor on the advantages of an objective's rows."""
        return self.policy_weight if objective == Objective.POLICY else self.objective(objective).weight


def load_spark_config(config: DictConfig) -> SparkConfig:
    """Read and check the ``spark:`` block of a composed config.

    Args:
        config: The whole Hydra config.

    Raises:
        ValueError: The block is missing, has an unknown key, a value of the wrong type or one out of range.
    """
    block = config.get("spark")
    if block is None:
        raise ValueError("the config has no `spark:` block: add `spark` to the defaults list of your recipe")
    return load(SparkConfig, block, "spark")
