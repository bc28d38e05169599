"""Verdicts: Yes/No or A/B in ``\\boxed{}``, against a label.

For any verl recipe, with verl's own reward managers::

    reward.custom_reward_function.path=reward_fns/judge.py
"""

from __future__ import annotations

from typing import Any

from spark_verl.reward import label_form_of, parse_judgement
from spark_verl.vocabulary import Status


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: dict[str, Any] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Score a judge's response, in verl's signature.

    Args:
        data_source: Not used.
        solution_str: The whole response.
        ground_truth: ``"Yes"``, ``"No"``, ``"A"`` or ``"B"``.
        extra_info: May hold ``label_form``; without it the label tells the form.
        kwargs: What verl's managers add.

    Returns:
        ``score`` and ``acc``: 1.0 or 0.0; ``status``: ``ok`` or ``unparsable``.

    Raises:
        ValueError: The ground truth is no label.
    """
    label_form = label_form_of(ground_truth, (extra_info or {}).get("label_form"))
    verdict = parse_judgement(solution_str, label_form)
    correct = float(verdict == ground_truth)
    return {"score": correct, "acc": correct, "status": Status.UNPARSABLE if verdict is None else Status.OK}
