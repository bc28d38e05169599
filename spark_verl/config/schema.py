"""The ``spark:`` block: every option with its default, its meaning and what it may be. Light: no verl, no torch.

After a change here: ``python -m spark_verl.config.describe`` writes ``spark_options.yaml`` and the table of the docs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from spark_verl.options import NOT_NEGATIVE, POSITIVE, SHARE, Allowed, at_least, load, one_of, option, some_of
from spark_verl.reward.options import RewardOptions
from spark_verl.vocabulary import JudgeStep, LabelForm, Objective, SelfRewardKind, SelfRewardWeight

# One sample alone has no group to be compared with: its GRPO advantage is meaningless.
_SAMPLES = at_least(2, "(or null for rollout.n)")
_LENGTH = at_least(1, "(or null for data.max_response_length)")
_POINTWISE_FORMS = some_of([form.value for form in LabelForm if form.labels], least=1)
_AUDIT = Allowed("lie between 0 and 1, both excluded", lambda value: 0 < value < 1)
_ROWS = Allowed("be -1 (all rows) or more", lambda value: value >= -1)
_LIMIT = Allowed("be 0 (none) or a positive number of seconds", lambda value: value >= 0)
_WINDOW = Allowed("be 0 (none) or at least 2", lambda value: value == 0 or value >= 2)


@dataclass(kw_only=True)
class ObjectiveConfig:
    """What the three judge objectives have in common."""

    cot_share: float = option(0.5, SHARE)
    """Share of prompts that show the whole response instead of its parsed answer."""
    n: int | None = option(None, _SAMPLES)
    """Samples per prompt."""
    max_response_length: int | None = option(None, _LENGTH)
    """Token limit of its responses."""
    weight: float = 1.0
    """Factor on the advantages of its rows."""


@dataclass(kw_only=True)
class PointwiseConfig(ObjectiveConfig):
    """Is this answer right?"""

    share_in_unanimous: float = option(1.0, SHARE)
    """Probability that a judge prompt asked of an all-right or all-wrong group is built at all; balance.labels lowers
    it."""
    label_forms: list[str] = option(lambda: ["yes_no"], _POINTWISE_FORMS)
    """Verdict formats to choose from."""


@dataclass(kw_only=True)
class PairwiseConfig(ObjectiveConfig):
    """Which of these two is right?"""

    share_in_mixed: float = option(0.7, SHARE)
    """Probability that a judge prompt of a group with both outcomes is pairwise, else pointwise."""


@dataclass(kw_only=True)
class ReflectionConfig(ObjectiveConfig):
    """Here is an attempt, do better."""

    right_share: float = option(0.0, SHARE)
    """Share of prompts about an attempt that is right already (reference: 0)."""


@dataclass(kw_only=True)
class BalanceConfig:
    """How a step's judge data follow from what earlier steps brought."""

    labels: bool = True
    """Steer the shares of Yes (pointwise) and A (pairwise) among the labels towards one half."""
    budgets: bool = True
    """Ask groups more often when others cannot give a prompt, so that the numbers above are met."""
    memory: float = option(10.0, at_least(1, "step"))
    """Number of steps that are remembered."""


@dataclass(kw_only=True)
class SelfRewardConfig:
    """The model's own judgement as reward for questions without ground truth."""

    enable: bool = False
    """Reward answers to questions whose reward_model.ground_truth is null; false refuses such rows."""
    files: list[str] = field(default_factory=list)
    """Further training files, those without ground truth, say."""
    unlabelled_share: float = option(0.5, SHARE)
    """Share of a step's questions that have no ground truth."""
    audit_share: float = option(0.2, _AUDIT)
    """Share of the labelled questions that serve to measure the judge, and are never trained on."""
    reward: str = option("posterior", one_of([kind.value for kind in SelfRewardKind]))
    """What an answer's reward is made of: verdicts and votes (posterior), or one of the rivals."""
    gate: bool = True
    """Weigh advantages by the judge's measured worth; false trusts it blindly."""
    weight: str = option("bound", one_of([kind.value for kind in SelfRewardWeight]))
    """With an open gate: the lower bound of the judge's measured worth, or its estimate; the bound opens the gate."""
    verdicts: int = option(4, at_least(1))
    """Times that the judge is asked about each different answer."""
    max_answers: int = option(4, at_least(1))
    """Different answers of a group that are judged, the most frequent ones; nothing is taught about the others."""
    min_std: float = option(0.1, NOT_NEGATIVE)
    """Groups whose rewards deviate less teach nothing."""
    mass_limit: float = option(1.0, POSITIVE)
    """Largest sum of self-rewarded rows' advantages (absolute values, by token), for each token of the verifier's."""
    dilute: bool = True
    """Groups that teach nothing weigh down those that do, as the verifier's groups with one outcome do; false: the few
    that are left late in a run weigh ever more each."""
    window: int = option(200, at_least(1))
    """Latest audit groups that the judge is measured on."""
    min_audit_groups: int = option(30, at_least(2))
    """The gate stays closed before so many audit groups were seen."""
    min_audit_questions: int = option(12, at_least(2))
    """The gate stays closed before so many different audit questions were seen."""
    max_miscalibration: float = option(0.15, SHARE)
    """The gate closes when the mean posterior is off the audited accuracy by more."""
    max_unreadable: float = option(0.1, SHARE)
    """The gate closes when a larger share of verdicts cannot be read."""
    shuffle_verdicts: bool = False
    """Control experiment: hand the verdicts round among all answers of a step."""

    @property
    def needs_audit(self) -> bool:
        """Whether there is something to measure or to fit."""
        return self.gate or self.reward == SelfRewardKind.POSTERIOR


@dataclass(kw_only=True)
class SparkConfig:
    """The whole ``spark:`` block."""

    enable: bool = True
    """Build judge prompts from the step's rollouts and train on both; false is plain GRPO on the same code path."""
    seed: int = 0
    """Seed of every choice in the judge transform."""
    judge_prompts_per_group: float = option(0.5, NOT_NEGATIVE)
    """Expected number of pointwise or pairwise prompts per policy prompt (reference: up to 32 per 64)."""
    reflection_prompts_per_group: float = option(0.5, NOT_NEGATIVE)
    """Expected number of reflection prompts per policy prompt (reference: up to 32 per 64)."""
    judge_step: str = option("same", one_of([step.value for step in JudgeStep]))
    """Step in which judge prompts are sampled: that of the rollouts they show, or the next one, beside its questions,
    where nothing waits for them."""
    templates: str | None = None
    """Folder with judge templates, or pkg://package/folder; null for the built-in ones."""
    # verl's fixed 2 s is more than half of a small step.
    poll_interval_s: float = option(0.1, POSITIVE)
    """Seconds between two looks at TransferQueue while a step's rollouts are under way."""
    stall_timeout_s: float = option(3600.0, _LIMIT)
    """Seconds without any progress (of rollouts, or from one part of a step to the next) after which the run ends, and
    says what it waited for."""
    share_media: bool = True
    """Tokenize a prompt, fetch and process its images, and have the vision tower look at them, once; false does it for
    each sample, as verl does."""
    route_groups: bool = True
    """Send a group's samples, and what is asked about them, to one engine unless it falls behind: it has the images;
    false sends each sample to the least busy engine, as verl does."""
    policy_weight: float = 1.0
    """Factor on the advantages of policy rows."""
    check_rows: int = option(100, _ROWS)
    """Rows of each data file that are looked at before the start (columns, images, answers); 0 for none."""
    alarm_window: int = option(20, _WINDOW)
    """Steps per window of the alarm that rings when the judge says Yes more and more while accuracy does not rise."""
    balance: BalanceConfig = field(default_factory=BalanceConfig)
    pointwise: PointwiseConfig = field(default_factory=PointwiseConfig)
    pairwise: PairwiseConfig = field(default_factory=PairwiseConfig)
    reflection: ReflectionConfig = field(default_factory=ReflectionConfig)
    self_reward: SelfRewardConfig = field(default_factory=SelfRewardConfig)
    reward: RewardOptions = field(default_factory=RewardOptions)

    def replace(self, **changes: Any) -> SparkConfig:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    @property
    def defers(self) -> bool:
        """Whether judge prompts wait for the step after the one that built them."""
        return self.enable and self.judge_step == JudgeStep.NEXT

    def used_label_forms(self) -> list[tuple[Objective, LabelForm]]:
        """What this config can ask for; each pair needs a template."""
        used: list[tuple[Objective, LabelForm]] = []
        if self.judge_prompts_per_group > 0 or self.self_reward.enable:
            used += [(Objective.POINTWISE, LabelForm(form)) for form in self.pointwise.label_forms]
        if self.judge_prompts_per_group > 0:
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
