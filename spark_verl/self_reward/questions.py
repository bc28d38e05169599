"""Which questions measure the judge, which are trained on by the verifier, which by the judge."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from spark_verl.config.schema import SelfRewardConfig
from spark_verl.vocabulary import Supervision


def divide(truths: Sequence[bool], config: SelfRewardConfig, seed: int) -> list[Supervision]:
    """Say of every row of the training data what it is for.

    Args:
        truths: Whether each row has a ground truth.
        config: The share of audit rows.
        seed: Of the choice.

    Raises:
        ValueError: The shares cannot be met: one line that says what to change.
    """
    labelled = [row for row, known in enumerate(truths) if known]
    unlabelled = len(truths) - len(labelled)
    if not unlabelled and config.unlabelled_share > 0:
        raise ValueError(
            "spark.self_reward.enable is set, but every training row has a ground truth: add rows whose"
            " reward_model.ground_truth is null (data.train_files or spark.self_reward.files)"
        )
    if config.needs_audit and config.unlabelled_share == 1:
        raise ValueError(
            "spark.self_reward.unlabelled_share=1 leaves no place for audit questions, on which the judge is measured:"
            " lower it, or set spark.self_reward.gate=false and a reward other than posterior"
        )
    audit = Random(f"{seed}/audit").sample(labelled, round(config.audit_share * len(labelled)))
    if not config.needs_audit:
        audit = []
    elif len(audit) < config.min_audit_questions:
        raise ValueError(
            f"{len(labelled)} labelled training rows with spark.self_reward.audit_share={config.audit_share} give"
            f" {len(audit)} audit questions, and the judge is measured on at least {config.min_audit_questions}"
            " (spark.self_reward.min_audit_questions): add labelled rows, or set spark.self_reward.gate=false, which"
            " rewards the model's own judgement however wrong it is"
        )
    chosen = set(audit)
    kinds = {True: Supervision.LABELLED, False: Supervision.UNLABELLED}
    return [Supervision.AUDIT if row in chosen else kinds[bool(known)] for row, known in enumerate(truths)]
