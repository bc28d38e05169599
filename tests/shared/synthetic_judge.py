"""A judge that errs as it is told to, on groups of answers whose truth is known."""

from __future__ import annotations

from random import Random
from typing import Any

from spark_verl.self_reward import AnswerClass, ScoredGroup
from spark_verl.vocabulary import Supervision


def draw_group(
    rng: Random,
    question: str,
    *,
    youden: float = 0.5,
    right_share: float = 0.4,
    fixed_errors: bool = False,
    misled: float = 0.0,
    samples: int = 8,
    verdicts: int = 4,
    supervision: Supervision = Supervision.AUDIT,
) -> ScoredGroup:
    """Draw a group.

    Args:
        rng: Source of chance.
        question: Its name; fixed errors depend on it.
        youden: The judge's TPR - FPR; both are (1 ± youden) / 2.
        right_share: Probability that a sample is right.
        fixed_errors: The judge errs on an answer always or never, instead of anew at each verdict.
        misled: Probability that a wrong sample gives the question's favourite wrong answer.
        samples, verdicts: Per group, and per answer.
        supervision: Of the group.
    """
    answers: dict[str, list[int]] = {}
    for session in range(samples):
        if rng.random() < right_share:
            answer = "right"
        else:
            answer = "wrong 0" if rng.random() < misled else f"wrong {rng.randrange(1, 6)}"
        answers.setdefault(answer, []).append(session)
    classes = []
    for answer, sessions in answers.items():
        yes_rate = (1 + youden) / 2 if answer == "right" else (1 - youden) / 2
        if fixed_errors:
            yes_rate = float(Random(f"{question} {answer}").random() < yes_rate)
        yes = sum(rng.random() < yes_rate for _ in range(verdicts))
        classes.append(AnswerClass(answer, tuple(sessions), yes, verdicts, verdicts, right=answer == "right"))
    classes.sort(key=lambda each: (-each.votes, each.answer))
    left_out = tuple(session for each in classes[4:] for session in each.sessions)
    return ScoredGroup(question, supervision, tuple(classes[:4]), left_out=left_out)


def draw_groups(count: int, seed: int = 0, questions: int | None = None, **judge: Any) -> list[ScoredGroup]:
    """Groups of so many different questions; as many as groups when None."""
    rng = Random(seed)
    return [draw_group(rng, f"q{i % (questions or count)}", **judge) for i in range(count)]
