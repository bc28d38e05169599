"""Answer, judge, reflect: one question without a strategy to compare, told while it happens.

``ask`` prints what it is told, the page of :mod:`spark_verl.demo` shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from spark_verl.evaluation.session import Judgement, Sample, Session
from spark_verl.vocabulary import Objective


@dataclass(frozen=True)
class Begun:
    """A request is sent; what the model writes from now on is about this."""

    objective: Objective


@dataclass(frozen=True)
class Judged:
    """A judgement is there.

    Attributes:
        judgement: It.
        verdict: Its label; None where there is none that could be read.
    """

    judgement: Judgement
    verdict: str | None


@dataclass(frozen=True)
class Ended:
    """Nothing more comes, and why."""

    why: str


async def walk(
    session: Session, tell: Callable[[Begun | Sample | Judged | Ended], None], *, always_reflect: bool = False
) -> None:
    """Answer, judge the answer and, where the judge says wrong, reflect.

    Args:
        session: The question; its client shows the pieces of every response.
        tell: Is told what begins, each sample and judgement when it is complete, and the end.
        always_reflect: Reflect also when the judge does not say wrong.
    """
    tell(Begun(Objective.POLICY))
    (index,) = await session.answers(1)
    tell(session.samples[index])
    tell(Begun(Objective.POINTWISE))
    judgement = await session.judge(index)
    if judgement is None:
        tell(Ended("no answer, so nothing to judge"))
        return
    yes, no, *_ = session.context.prompts.label_form.labels
    verdict = None if judgement.says_right is None else yes if judgement.says_right else no
    tell(Judged(judgement, verdict))
    if judgement.says_right is not False and not always_reflect:
        tell(Ended("the answer stands" + ("" if verdict else ": an unreadable judgement is no objection")))
        return
    tell(Begun(Objective.REFLECTION))
    new = await session.reflect(index)
    tell(session.samples[new])
    before, after = (sample.answer or "no answer" for sample in (session.samples[index], session.samples[new]))
    tell(Ended(f"{before} became {after}" if before != after else f"{before} stays"))
