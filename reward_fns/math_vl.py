"""Free-form answers: numbers, expressions, words and letters in ``\\boxed{}``.

For any verl recipe, with verl's own reward managers::

    reward.custom_reward_function.path=reward_fns/math_vl.py
"""

from __future__ import annotations

from typing import Any

from spark_verl.reward import RewardOptions, verify


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: dict[str, Any] | None = None,
    timeout_s: float = 5.0,
    **kwargs: Any,
) -> dict[str, Any]:
    """Score a response, in verl's signature.

    Args:
        data_source: Not used.
        solution_str: The whole response.
        ground_truth: See :func:`spark_verl.reward.verify`.
        extra_info: May hold ``tolerance`` (relative) and ``choices``.
        timeout_s: Limit of one symbolic comparison (``reward.custom_reward_function.reward_kwargs``).
        kwargs: What verl's managers add.

    Returns:
        ``score`` and ``acc``: 1.0 or 0.0; ``status``: see :class:`spark_verl.reward.Verdict`.
    """
    info = extra_info or {}
    options = RewardOptions(timeout_s=timeout_s)
    verdict = verify(
        solution_str, ground_truth, choices=info.get("choices"), tolerance=info.get("tolerance"), options=options
    )
    return {"score": float(verdict.correct), "acc": float(verdict.correct), "status": verdict.status}
