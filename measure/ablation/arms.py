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
    """

    name: str
    about: str
    overrides: tuple[str, ...] | None
    offline: bool = False
    longer: float = 1.0

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

ARMS = {
    arm.name: arm
    for arm in (
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
}
"""Every arm by its name."""
