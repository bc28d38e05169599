"""Multiple choice: a letter, or the text of an option, in ``\\boxed{}``, ``<answer>`` or after "Answer:".

For any verl recipe, with verl's own reward managers::

    reward.custom_reward_function.path=reward_fns/multiple_choice.py
"""

from __future__ import annotations

from typing import Any

from spark_verl.reward import verify

FALLBACKS = ("answer_tag", "answer_line")


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: dict[str, Any] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Score a response, in verl's signature.

    Args:
        data_source: Not used.
        solution_str: The whole response.
        ground_truth: The letter, e.g. ``"B"`` or ``"(B)"``, or the text of the right option.
        extra_info: May hold ``choices``: ``{"A": "red", ...}`` or the options in order.
        kwargs: What verl's managers add.

    Returns:
        ``score`` and ``acc``: 1.0 or 0.0; ``status``: see :class:`spark_verl.reward.Verdict`.
    """
    verdict = verify(solution_str, ground_truth, choices=(extra_info or {}).get("choices"), fallbacks=FALLBACKS)
    return {"score": float(verdict.correct), "acc": float(verdict.correct), "status": verdict.status}
