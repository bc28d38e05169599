"""One question under one strategy: asks, scores and judges, and records what it cost.

Seeds and templates depend on the question and on what is asked for, never on the strategy or on arrival order. So the
first sample of ``majority`` is the sample of ``single``, which makes comparisons paired; and a request that two
strategies share is sent once (:class:`Shared`) and charged to both.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import openai

from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.client import Client, Completion, Sampling
from spark_verl.evaluation.judge_prompts import Prompts
from spark_verl.evaluation.question import Question
from spark_verl.evaluation.verdict_probability import verdict_probability
from spark_verl.judge.candidates import shown_text, usable
from spark_verl.reward import Verdict, parse_judgement
from spark_verl.vocabulary import Correctness, Message, Objective, Rollout, Source


@dataclass
class Sample:
    """A scored response to the question.

    Attributes:
        kind: "answer", or "reflection" on an earlier sample.
        completion: The response.
        verdict: The benchmark's verdict on it.
        pool: Number of its answer among the different answers to this question; None without an answer or when
            answers were not pooled.
        p_positive: Probability of the favourable label, where the response is itself a judgement.
    """

    kind: str
    completion: Completion
    verdict: Verdict
    pool: int | None = None
    p_positive: float | None = None

    @property
    def answer(self) -> str | None:
        """The parsed answer."""
        return self.verdict.answer

    @property
    def rollout(self) -> Rollout:
        """As the judge transform sees it; what is shown at test time follows the rules of training."""
        finish_reason = self.completion.finish_reason
        return Rollout(self.completion.text, self.answer, Correctness.NOT_VERIFIED, finish_reason)

    def record(self) -> dict[str, Any]:
        """As it stands in the results."""
        verdict = {"status": self.verdict.status, "correct": self.verdict.correct}
        found = {"kind": self.kind, "answer": self.answer, **verdict, "pool": self.pool}
        if self.p_positive is not None:
            found["p_positive"] = self.p_positive
        return found | self.completion.record()


@dataclass
class Judgement:
    """The model's judgement on one of its own samples.

    Attributes:
        about: Index of the sample.
        source: What was shown.
        completion: The judgement.
        says_right: True or False; None for an unparsable judgement.
        p_right: Probability of "right" against "wrong" from the log-probabilities; None where they do not say.
        mass: See :class:`spark_verl.evaluation.verdict_probability.VerdictProbability`.
    """

    about: int
    source: Source
    completion: Completion
    says_right: bool | None
    p_right: float | None
    mass: float | None

    @property
    def score(self) -> float | None:
        """P(right); the bare verdict where the server gives no log-probabilities; None for an unparsable judgement."""
        if self.p_right is not None:
            return self.p_right
        return None if self.says_right is None else float(self.says_right)

    def record(self) -> dict[str, Any]:
        """As it stands in the results."""
        keys = {"about": self.about, "source": self.source, "says_right": self.says_right}
        return keys | {"p_right": self.p_right, "mass": self.mass} | self.completion.record()


class Shared:
    """Responses to one question that several strategies use."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[object, ...], asyncio.Task[Completion]] = {}

    async def get(self, key: tuple[object, ...], ask: Callable[[], Awaitable[Completion]]) -> Completion:
        """The response for a key; asked for once, also when it fails."""
        if key not in self._tasks:
            self._tasks[key] = asyncio.ensure_future(ask())
        return await self._tasks[key]


@dataclass
class Context:
    """What is the same for all questions.

    Attributes:
        client: Asks the server.
        sampling: Temperatures and token limits.
        prompts: Judge and reflection prompts.
        source: What judges and reflections are shown, where both can be.
        seed: From which every request's seed follows.
    """

    client: Client
    sampling: Sampling
    prompts: Prompts
    source: Source = Source.ANSWER
    seed: int = 0


@dataclass
class Session:
    """One question under one strategy.

    Attributes:
        samples: In the order of asking.
        judgements: In the order of asking.
    """

    context: Context
    benchmark: Benchmark
    question: Question
    shared: Shared = field(default_factory=Shared)
    samples: list[Sample] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    _charged: dict[tuple[object, ...], Completion] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The question's name among all benchmarks."""
        return f"{self.question.benchmark}/{self.question.id}"

    @property
    def completions(self) -> list[Completion]:
        """Every response that this strategy had to pay for, each once."""
        return list(self._charged.values())

    async def answers(self, count: int) -> list[int]:
        """Ask the question ``count`` times; indices of the new samples."""
        start = sum(sample.kind == "answer" for sample in self.samples)
        new = await asyncio.gather(*(self._answer(start + number) for number in range(count)))
        self.samples.extend(new)
        return list(range(len(self.samples) - count, len(self.samples)))

    async def _answer(self, number: int) -> Sample:
        form = self.benchmark.label_form(self.question)
        completion = await self._ask(("answer", number), self.question.messages, logprobs=form is not None)
        sample = await self._scored("answer", completion)
        if form is not None and (found := verdict_probability(completion.logprobs, form)):
            sample.p_positive = found.positive
        return sample

    async def _scored(self, kind: str, completion: Completion) -> Sample:
        return Sample(kind, completion, await self.benchmark.score(self.question, completion.text))

    async def judge(self, index: int, number: int = 0) -> Judgement | None:
        """Ask whether a sample is right.

        Args:
            index: The sample.
            number: How many judgements there were about the same sample.

        Returns:
            None when the sample has nothing that could be shown.
        """
        found = await self._about(index, Objective.POINTWISE, number)
        if found is None:
            return None
        source, completion = found
        form = self.context.prompts.label_form
        label = parse_judgement(completion.text, form)
        probability = verdict_probability(completion.logprobs, form)
        judgement = Judgement(
            about=index,
            source=source,
            completion=completion,
            says_right=None if label is None else label == form.labels[0],
            p_right=probability.positive if probability else None,
            mass=probability.mass if probability else None,
        )
        self.judgements.append(judgement)
        return judgement

    async def reflect(self, index: int, number: int = 0) -> int:
        """Ask for a better answer than a sample's, or, when it has nothing to show, for another one.

        Args:
            index: The sample.
            number: How many rounds there were.

        Returns:
            Index of the new sample.
        """
        found = await self._about(index, Objective.REFLECTION, number)
        if found is None:
            return (await self.answers(1))[0]
        self.samples.append(await self._scored("reflection", found[1]))
        return len(self.samples) - 1

    async def _about(self, index: int, objective: Objective, number: int) -> tuple[Source, Completion] | None:
        """Ask about a sample: what of it was shown, and the response; None when nothing can be shown."""
        rollout, wanted = self.samples[index].rollout, self.context.source
        sources = [source for source in sorted(Source, key=lambda source: source != wanted) if usable(rollout, source)]
        if not sources:
            return None

        async def ask(source: Source) -> tuple[Source, Completion]:
            text, judging = shown_text(rollout, source), objective is Objective.POINTWISE
            messages = self.context.prompts.about(self.question.messages, objective, text, source, self.key, number)
            key = ("judge" if judging else "reflect", text, source, number)
            return source, await self._ask(key, messages, judging=judging, logprobs=judging)

        try:
            return await ask(sources[0])
        except openai.BadRequestError:
            # A whole response may make the prompt too long; then its answer stands for it, as in training.
            if sources != [Source.COT, Source.ANSWER]:
                raise
            return await ask(Source.ANSWER)

    async def _ask(
        self, key: tuple[object, ...], messages: list[Message], *, logprobs: bool, judging: bool = False
    ) -> Completion:
        sampling = self.context.sampling
        completion = await self.shared.get(
            key,
            lambda: self.context.client.ask(
                messages,
                temperature=sampling.judge_temperature if judging else sampling.temperature,
                max_tokens=sampling.judge_max_tokens if judging else sampling.max_tokens,
                top_p=1.0 if judging else sampling.top_p,
                seed=request_seed(self.context.seed, self.key, *key),
                logprobs=logprobs,
            ),
        )
        self._charged[key] = completion
        return completion


def request_seed(*parts: object) -> int:
    """A seed from everything that names a request: the same in every process and on every machine.

    Returns:
        0 to 2**31 - 1, which every server takes.
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> 1
