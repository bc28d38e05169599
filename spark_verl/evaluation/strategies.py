"""Test-time scaling: ways to spend more tokens on a question.

==================  ==========================================================================================
``single``          one sample: what everything else is compared with
``reflect``         solve → judge → reflect (SPARK, equations 9-11)
``majority``        many samples, equal answers vote
``best_of_n``       many samples, the one that the model itself most probably calls right
``weighted_vote``   many samples, equal answers vote with the model's own P(right)
==================  ==========================================================================================

A new strategy is a frozen dataclass here: a ``name``, its options, and ``run``. Add it to :data:`STRATEGIES`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import ClassVar

from spark_verl.evaluation.session import Judgement, Session
from spark_verl.reward.same import answer_classes, same_answer

ACCEPTANCE = ("always", "judged", "higher")
TIE = 0.01


@dataclass(frozen=True)
class Strategy:
    """A way to spend tokens on a question; its fields are its options.

    Attributes:
        name: What the command and the results call it.
        needs_judge: Whether it judges its own answers, which makes no sense for answers that are judgements.
    """

    name: ClassVar[str]
    needs_judge: ClassVar[bool] = False

    async def run(self, session: Session) -> int:
        """Ask what has to be asked; the index of the final sample in ``session.samples``."""
        raise NotImplementedError


@dataclass(frozen=True)
class Single(Strategy):
    """Single pass: one response, taken as it is."""

    name: ClassVar[str] = "single"

    async def run(self, session: Session) -> int:
        """See :class:`Strategy`."""
        return (await session.answers(1))[0]


@dataclass(frozen=True)
class Reflect(Strategy):
    """Self-reflection (SPARK, equations 9-11): the model answers, judges its answer, and tries again if it says wrong.

    Only a judgement that says "wrong" leads to a reflection. One that cannot be parsed is counted and keeps the
    attempt (the reference takes it as "wrong"). An attempt without an answer is tried again unjudged, and a reflection
    without an answer never replaces one.

    Attributes:
        rounds: Most reflections per question.
        accept: What a reflection needs to replace the attempt. "always": nothing, as in the paper. "judged": its own
            judgement must not say "wrong". "higher": its P(right) must exceed the attempt's.
    """

    name: ClassVar[str] = "reflect"
    needs_judge: ClassVar[bool] = True

    rounds: int = 1
    accept: str = "always"

    async def run(self, session: Session) -> int:
        """See :class:`Strategy`."""
        current = (await session.answers(1))[0]
        judgement = await self._judge(session, current)
        for number in range(self.rounds):
            answered = session.samples[current].answer is not None
            if answered and (judgement is None or judgement.says_right is not False):
                break
            new = await session.reflect(current, number)
            if session.samples[new].answer is None:
                continue
            # The last reflection needs no judgement where it is accepted anyway.
            last = number == self.rounds - 1
            needed = answered and self.accept != "always"
            new_judgement = await self._judge(session, new) if needed or not last else None
            if not answered or self._accepts(judgement, new_judgement):
                current, judgement = new, new_judgement
        return current

    async def _judge(self, session: Session, index: int) -> Judgement | None:
        return await session.judge(index) if session.samples[index].answer is not None else None

    def _accepts(self, old: Judgement | None, new: Judgement | None) -> bool:
        if self.accept == "always":
            return True
        if self.accept == "judged":
            return new is None or new.says_right is not False
        before, after = (judgement.score if judgement else None for judgement in (old, new))
        return before is not None and after is not None and after > before


@dataclass(frozen=True)
class Majority(Strategy):
    """Majority vote (self-consistency, arXiv 2203.11171): the most frequent answer wins, the first one in a tie.

    Answers are equal when the verifier says so: ``1/2`` and ``0.5`` vote together.

    Attributes:
        samples: Samples per question.
    """

    name: ClassVar[str] = "majority"

    samples: int = 8

    async def run(self, session: Session) -> int:
        """See :class:`Strategy`."""
        await session.answers(self.samples)
        return winner(await _pool_samples(session))


@dataclass(frozen=True)
class SelfJudged(Strategy):
    """Shared by the strategies that judge every sample.

    Attributes:
        samples: Samples per question.
        judgements: Per sample, see :func:`p_right`.
    """

    needs_judge: ClassVar[bool] = True

    samples: int = 8
    judgements: int = 1


class BestOfN(SelfJudged):
    """Best of n: of ``samples`` responses, the one with the highest P(right) that the model itself gives.

    Probabilities that differ by less than :data:`TIE` are a tie, and the first sample wins it. After a chain of thought
    the verdict is nearly certain (0.9999 against 0.9998), and choosing by such differences would be choosing at random.
    Several judgements with ``--judge_temperature`` above 0 tell more candidates apart.
    """

    name: ClassVar[str] = "best_of_n"

    async def run(self, session: Session) -> int:
        """See :class:`Strategy`."""
        await session.answers(self.samples)
        scores = await p_right(session, self.judgements)
        return next(index for index, score in enumerate(scores) if score >= max(scores) - TIE)


class WeightedVote(SelfJudged):
    """Weighted vote: equal answers add up the P(right) that the model itself gives to each of their samples."""

    name: ClassVar[str] = "weighted_vote"

    async def run(self, session: Session) -> int:
        """See :class:`Strategy`."""
        await session.answers(self.samples)
        pools = await _pool_samples(session)
        return winner(pools, await p_right(session, self.judgements))


STRATEGIES: dict[str, type[Strategy]] = {
    strategy.name: strategy for strategy in (Single, Reflect, Majority, BestOfN, WeightedVote)
}
"""Every strategy by its name."""


def chosen(
    names: Collection[str], *, samples: int, majority_samples: int | None, judgements: int, rounds: int, accept: str
) -> list[Strategy]:
    """The strategies that are asked for, and those that they are compared with.

    Majority has as many samples as the others, or twice as many where a judge's tokens have to be matched.
    """
    if majority_samples is None:
        majority_samples = samples * (1 if {BestOfN.name, WeightedVote.name}.isdisjoint(names) else 2)
    every: list[Strategy] = [
        Single(),
        Majority(majority_samples),
        Reflect(rounds, accept),
        BestOfN(samples, judgements),
        WeightedVote(samples, judgements),
    ]
    compared = {Single.name, Majority.name} if set(names) != {Single.name} else set()
    return [strategy for strategy in every if strategy.name in compared.union(names)]


async def _pool_samples(session: Session) -> list[int | None]:
    """Set and return the ``pool`` of every sample: equal answers get the same number."""
    pools = await pool_answers([sample.answer for sample in session.samples], session.question.choices)
    for sample, pool in zip(session.samples, pools, strict=True):
        sample.pool = pool
    return pools


async def pool_answers(answers: Sequence[str | None], choices: dict[str, str] | None = None) -> list[int | None]:
    """Number equal answers, in the order of their first appearance.

    Equal as in training (:func:`spark_verl.reward.same.answer_classes`), so that ``1/2``, ``0.5`` and ``\\frac{1}{2}``
    vote together. A question's numeric tolerance is left aside: it says how far an answer may be from the truth, and
    what is within it of one answer need not be within it of another.

    Args:
        answers: One per sample, None for a missing one.
        choices: Options of a multiple-choice question by letter.

    Returns:
        One number per sample; a missing answer is in no pool.
    """
    classes = await answer_classes(answers, partial(same_answer, choices=choices))
    leaders = {spelling: leader for leader, spellings in classes.items() for spelling in spellings}
    # A dict keeps the order in which its keys came.
    numbers = {leader: number for number, leader in enumerate(dict.fromkeys(leaders[a] for a in answers if a))}
    return [numbers[leaders[answer]] if answer else None for answer in answers]


def winner(pools: Sequence[int | None], weights: Sequence[float] | None = None) -> int:
    """Index of the first sample of the pool with the largest weight.

    Args:
        pools: Pool of every sample; None votes for nothing.
        weights: What every vote counts; None counts each as 1.

    Returns:
        Ties go to the pool that appeared first; 0 when nobody votes.

    Example:
        >>> winner([0, 1, 1, None])
        1
        >>> winner([0, 1, 1], [0.9, 0.2, 0.3])
        0
    """
    totals: dict[int, float] = defaultdict(float)
    for pool, weight in zip(pools, weights or [1.0] * len(pools), strict=True):
        if pool is not None:
            totals[pool] += weight
    # max takes the first of equals, and the dict is in the order of appearance.
    return pools.index(max(totals, key=totals.__getitem__)) if totals else 0


async def p_right(session: Session, judgements: int) -> list[float]:
    """The model's own P(right) of all samples, averaged over judgements.

    Args:
        session: The question; samples without an answer are not judged and get 0, for they cannot be right.
        judgements: Per sample, in the words of different templates.

    Returns:
        One probability per sample. One whose judgements cannot be parsed gets the mean of the others, which moves it
        neither up nor down; 0.5 where there are no others.
    """
    judged = [index for index, sample in enumerate(session.samples) if sample.answer is not None]
    found = await asyncio.gather(*(session.judge(index, number) for index in judged for number in range(judgements)))
    scores: dict[int, list[float]] = defaultdict(list)
    for judgement in found:
        if judgement is not None and judgement.score is not None:
            scores[judgement.about].append(judgement.score)
    means = {index: fmean(values) for index, values in scores.items()}
    neutral = fmean(means.values()) if means else 0.5
    return [means.get(index, neutral) if index in judged else 0.0 for index in range(len(session.samples))]
