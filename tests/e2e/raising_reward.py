"""A user's reward function that fails on some responses, as users' functions do."""

from spark_verl.reward import verify


def compute_score(data_source, solution_str, ground_truth, extra_info=None, **kwargs):
    """verl's signature; raises on about every sixth text, always the same ones."""
    if sum(map(ord, solution_str)) % 6 == 0:
        raise ValueError("made to fail")
    verdict = verify(solution_str, ground_truth)
    return {"score": float(verdict.correct), "acc": float(verdict.correct), "answer": verdict.answer or ""}
