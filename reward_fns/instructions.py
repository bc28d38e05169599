"""Instructions about the form of a response: length, format, keywords, case, language (IFEval's 25 kinds).

For any verl recipe, with verl's own reward managers::

    reward.custom_reward_function.path=reward_fns/instructions.py

``data_preprocess/instructions.py`` makes such data.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from spark_verl.reward.constraints import answer_of, followed
from spark_verl.vocabulary import Status


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
        ground_truth: A JSON list of instructions, see :mod:`spark_verl.reward.constraints`.
        extra_info: Not used.
        kwargs: What verl's managers add.

    Returns:
        ``score`` and ``acc``: 1.0 where every instruction is followed, else 0.0; ``followed``: the share that is;
        ``answer``: the response itself, which is what a judge is shown; ``format`` and
        ``status``: whether there is one.
    """
    found, answer = followed(solution_str, ground_truth), answer_of(solution_str)
    right = float(all(found))
    return {
        "score": right,
        "acc": right,
        "followed": fmean(found),
        "answer": answer,
        "format": float(bool(answer)),
        "status": Status.OK if answer else Status.UNPARSABLE,
    }
