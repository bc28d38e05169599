"""A group's answers as classes of equal ones: what a vote counts and what a judge is asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from spark_verl.reward.same import Same, answer_classes
from spark_verl.vocabulary import Supervision


@dataclass(frozen=True)
class AnswerClass:
    """Answers of a group that are equal by the verifier.

    Attributes:
        answer: Their most frequent spelling, which is what the judge is shown.
        sessions: The samples that gave them.
        yes: Verdicts that call the answer right.
        read: Verdicts that could be read.
        asked: Verdicts that were asked for, those included that could not be had.
        right: Whether it is right, where the truth is known; never part of any reward.
    """

    answer: str
    sessions: tuple[int, ...]
    yes: int = 0
    read: int = 0
    asked: int = 0
    right: bool | None = None

    @property
    def votes(self) -> int:
        """Samples that gave this answer."""
        return len(self.sessions)

    @property
    def favour(self) -> float:
        """(yes + ½) / (asked + 1). A verdict that cannot be read is no Yes: else it would pay to defy judgement."""
        return (self.yes + 0.5) / (self.asked + 1)


@dataclass(frozen=True)
class ScoredGroup:
    """A group that has no truth, or whose truth is only looked at to measure the judge.

    Attributes:
        question: Names the question; groups of the same question are no independent evidence.
        supervision: Audit or unlabelled.
        classes: The largest classes, the largest first; at most as many as are judged.
        unanswered: Samples without an answer that could be parsed: wrong, whatever the truth is.
        left_out: Samples whose classes are too small to be judged; nothing is said of them.
    """

    question: str
    supervision: Supervision
    classes: tuple[AnswerClass, ...]
    unanswered: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Samples that ended."""
        return sum(each.votes for each in self.classes) + len(self.unanswered) + len(self.left_out)

    @property
    def known(self) -> bool:
        """Whether the truth of every class is known."""
        return bool(self.classes) and all(each.right is not None for each in self.classes)

    def judged(self, verdicts: Mapping[str, tuple[int, int, int]]) -> ScoredGroup:
        """With ``{answer: (yes, read, asked)}`` filled in."""
        filled = []
        for each in self.classes:
            yes, read, asked = verdicts.get(each.answer, (0, 0, 0))
            filled.append(replace(each, yes=yes, read=read, asked=asked))
        return replace(self, classes=tuple(filled))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a tag, a checkpoint or a dump."""
        return {**asdict(self), "supervision": self.supervision.value}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ScoredGroup:
        """Read :meth:`to_dict` back, from JSON as well."""
        classes = [replace(AnswerClass(**each), sessions=tuple(each["sessions"])) for each in stored["classes"]]
        return cls(
            question=stored["question"],
            supervision=Supervision(stored["supervision"]),
            classes=tuple(classes),
            unanswered=tuple(stored["unanswered"]),
            left_out=tuple(stored["left_out"]),
        )


async def group_answers(
    answers: Mapping[int, str | None],
    same: Same,
    *,
    question: str,
    supervision: Supervision,
    limit: int | None,
    right: Mapping[int, bool] | None = None,
) -> ScoredGroup:
    """Put equal answers of a group together, as :func:`spark_verl.reward.same.answer_classes`.

    Args:
        answers: ``{session: parsed answer}`` of the samples that ended; None where nothing could be parsed.
        same: Whether two spellings are the same answer.
        question: Names the question.
        supervision: Audit or unlabelled.
        limit: Number of classes that are kept, the largest ones (ties by spelling); None for all.
        right: ``{session: whether it is right}`` where that is known. A class is right when most of its samples are.
    """
    classes = []
    for leader, members in (await answer_classes(answers.values(), same)).items():
        sessions = tuple(sorted(session for session, answer in answers.items() if answer in members))
        known = [right[session] for session in sessions if session in right] if right is not None else []
        classes.append(AnswerClass(leader, sessions, right=2 * sum(known) > len(known) if known else None))
    classes.sort(key=lambda each: (-each.votes, each.answer))
    kept = classes[:limit]
    return ScoredGroup(
        question=question,
        supervision=supervision,
        classes=tuple(kept),
        unanswered=tuple(sorted(session for session, answer in answers.items() if not answer)),
        left_out=tuple(sorted(session for each in classes[len(kept) :] for session in each.sessions)),
    )
