"""The arms of the ablation: what is switched off, at the same number of sampled and trained sequences per step.

Sequences are equal, tokens are not: a policy that guesses answers shortly. ``grpo_tokens`` is the other comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

POLICY_PROMPTS = 8
"""Questions per step of every arm that builds judge prompts."""

JUDGE_PROMPTS = 16
"""Judge and reflection prompts per step of those arms, on average."""

ALL_PROMPTS = POLICY_PROMPTS + JUDGE_PROMPTS
"""Questions per step of plain GRPO."""


@dataclass(frozen=True)
class Arm:
    """One way to spend the same number of sequences.

    Attributes:
        name: In tables and folders.
        about: What it is, in a few words.
        overrides: Of the quickstart's recipe; None for the model before training.
        offline: Train on judge prompts that were built once, from the untrained model's rollouts.
        longer: Factor on the number of training steps.
        data: Which training data: "plenty" (labelled), "scarce" (few labelled ones, and unlabelled ones where the
            overrides switch self-reward on), or "oracle" (as many as those together, all labelled).
    """

    name: str
    about: str
    overrides: tuple[str, ...] | None
    offline: bool = False
    longer: float = 1.0
    data: str = "plenty"

    def steps(self, steps: int) -> int:
        """Training steps of this arm, for those of the arms at equal sequences."""
        return round(self.longer * steps)


def _batch(questions: int) -> tuple[str, ...]:
    return (f"data.train_batch_size={questions}", f"actor_rollout_ref.actor.ppo_mini_batch_size={questions}")


def _judge(judge: float, reflection: float) -> tuple[str, ...]:
    """Prompts per question; together they are always :data:`JUDGE_PROMPTS` per step."""
    assert (judge + reflection) * POLICY_PROMPTS == JUDGE_PROMPTS
    return (
        *_batch(POLICY_PROMPTS),
        f"spark.judge_prompts_per_group={judge}",
        f"spark.reflection_prompts_per_group={reflection}",
    )


def _sources(share: float) -> tuple[str, ...]:
    return tuple(f"spark.{objective}.cot_share={share}" for objective in ("pointwise", "pairwise", "reflection"))


_PLAIN = (*_batch(ALL_PROMPTS), "spark.enable=false")

RECYCLED = (
    Arm("base", "before training", None),
    Arm("grpo", "policy only: every sequence answers a question", _PLAIN),
    # SPARK's 539,000 tokens in 40 steps against GRPO's 310,000 (means of five seeds)
    Arm("grpo_tokens", "policy only, 1.75 x the steps: about as many tokens as SPARK", _PLAIN, longer=1.75),
    Arm("judge_only", "only judge rows are trained on", (*_judge(1.5, 0.5), "spark.policy_weight=0")),
    Arm("no_reflection", "policy and judge, no reflection", _judge(2.0, 0.0)),
    Arm("spark", "everything", _judge(1.5, 0.5)),
    Arm(
        "no_pointwise",
        "pairwise and reflection",
        (*_judge(1.5, 0.5), "spark.pairwise.share_in_mixed=1", "spark.pointwise.share_in_unanimous=0"),
    ),
    Arm("no_pairwise", "pointwise and reflection", (*_judge(1.5, 0.5), "spark.pairwise.share_in_mixed=0")),
    Arm("answer_only", "candidates are bare answers", (*_judge(1.5, 0.5), *_sources(0.0))),
    Arm("cot_only", "candidates are whole responses", (*_judge(1.5, 0.5), *_sources(1.0))),
    Arm("offline", "judge prompts from the untrained model, built once", _PLAIN, offline=True),
)
"""What recycling rollouts brings, with a label for every question."""


def _self_reward(*settings: str, judged: bool = True, trained: bool = True, questions: int = 0) -> tuple[str, ...]:
    """Half of a step's questions are unlabelled unless the settings say otherwise; verdicts count as sequences.

    With L labelled, A audit and U unlabelled questions of 8 samples, two judge prompts about each labelled one and at
    most 16 verdicts (as much as two prompts) on each of the others, a step has 3 L + 3 (A + U) prompts' worth of
    sequences; L + 3 (A + U) where no judge is trained, L + U where none is asked. From that the number of questions,
    where none is given.
    """
    questions = questions or (POLICY_PROMPTS if trained else 11 if judged else ALL_PROMPTS)
    prompts = (1.5, 0.5) if trained else (0.0, 0.0)
    return (
        *_batch(questions),
        f"spark.judge_prompts_per_group={prompts[0]}",
        f"spark.reflection_prompts_per_group={prompts[1]}",
        "spark.self_reward.enable=true",
        *(f"spark.self_reward.{setting}" for setting in settings),
    )


SELF_REWARDED = tuple(
    Arm(name, about, overrides, data=data)
    for name, about, overrides, data in (
        ("labelled_grpo", "labelled questions alone, GRPO", _PLAIN, "scarce"),
        ("labelled_spark", "labelled questions alone, SPARK", _judge(1.5, 0.5), "scarce"),
        (
            "majority",
            "and unlabelled ones by majority vote (TTRL), no judge",
            _self_reward("reward=majority", "gate=false", judged=False, trained=False),
            "scarce",
        ),
        (
            "vote",
            "by share of votes, no judge",
            _self_reward("reward=vote", "gate=false", judged=False, trained=False),
            "scarce",
        ),
        ("judge_ungated", "by verdicts alone, trusted blindly", _self_reward("reward=judge", "gate=false"), "scarce"),
        ("posterior_ungated", "by the posterior, trusted blindly", _self_reward("gate=false"), "scarce"),
        ("judge", "by verdicts alone, gated", _self_reward("reward=judge"), "scarce"),
        ("vote_judge", "by vote times a bounded judge", _self_reward("reward=vote_judge", "gate=false"), "scarce"),
        ("gated", "by the gated posterior", _self_reward("weight=bound"), "scarce"),
        ("gated_estimate", "the same, weighed by the estimate", _self_reward("weight=estimate"), "scarce"),
        (
            "gated_more",
            "the same, three of four questions unlabelled",
            _self_reward("unlabelled_share=0.75", "weight=estimate"),
            "scarce",
        ),
        (
            "gated_more_undiluted",
            "as gated_more, and groups that agree weigh nothing down",
            _self_reward("unlabelled_share=0.75", "weight=estimate", "dilute=false"),
            "scarce",
        ),
        ("gated_untrained", "as gated, and no judge is trained", _self_reward(trained=False), "scarce"),
        (
            "gated_more_untrained",
            "as gated_more, and no judge is trained",
            _self_reward("unlabelled_share=0.75", "weight=estimate", trained=False, questions=9),
            "scarce",
        ),
        ("shuffled", "gated, with verdicts handed round", _self_reward("shuffle_verdicts=true"), "scarce"),
        ("oracle_grpo", "all questions labelled, GRPO", _PLAIN, "oracle"),
        ("oracle_spark", "all questions labelled, SPARK", _judge(1.5, 0.5), "oracle"),
    )
)
"""What the model's own judgement brings where few questions have a label (``spark.self_reward``)."""

SCHEDULED = (
    Arm("spark_next", "everything, judge prompts about the step before", (*_judge(1.5, 0.5), "spark.judge_step=next")),
    Arm(
        "spark_async",
        "everything, rows that are ready, begun with older weights",
        (*_judge(1.5, 0.5), "trainer.v1.trainer_mode=spark_colocate_async"),
    ),
)
"""What it costs that no step waits for its judge prompts, or for its slowest response: beside ``spark``."""

ARMS = {arm.name: arm for arm in (*RECYCLED, *SELF_REWARDED, *SCHEDULED)}
"""Every arm by its name."""
