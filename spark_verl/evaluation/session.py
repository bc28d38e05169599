"""One question under one strategy: asks, scores and judges, and records what it cost.

Seeds and templates depend on the question and on what is asked for, never on the strategy or on arrival order. So the
first sample of ``majority`` is the sample of ``single``, which makes comparisons paired; and a request that two
strategies share is sent once and charged to both.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any

import openai

from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.client import Client, Completion, Sampling
from spark_verl.evaluation.judging import Prompts, verdict_probability
from spark_verl.evaluation.question import Question
from spark_verl.judge.candidates import shown_text, usable
from spark_verl.reward import Verdict, parse_judgement
from spark_verl.vocabulary import Correctness, LabelForm, Message, Objective, Rollout, Source


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
        mass: See :class:`spark_verl.evaluation.judging.VerdictProbability`.
    """

    about: int
    source: Source
    completion: Completion
    says_right: bool | None
    p_right: float | None
    mass: float | None

    @classmethod
    def read(cls, about: int, source: Source, completion: Completion, form: LabelForm) -> Judgement:
        """The judgement that a response to a judge prompt of this form is."""
        label = parse_judgement(completion.text, form)
        says_right = None if label is None else label == form.labels[0]
        p_right, mass = verdict_probability(completion.logprobs, form) or (None, None)
        return cls(about, source, completion, says_right, p_right, mass)

    @property
    def score(self) -> float | None:
        """P(right); the bare verdict where the server gives no log-probabilities; None for an unparsable judgement."""
        if self.p_right is not None:
            return self.p_right
        return None if self.says_right is None else float(self.says_right)

    def record(self) -> dict[str, Any]:
        """As it stands in the results."""
        own = {name: value for name, value in vars(self).items() if name != "completion"}
        return own | self.completion.record()


@dataclass
class Context:
    """What is the same for all questions.

    Attributes:
        client: Asks the server.
        prompts: Judge and reflection prompts; their seed is also that from which every request's seed follows.
        sampling: For answers and reflections.
        judging: For judgements.
    """

    client: Client
    prompts: Prompts
    sampling: Sampling
    judging: Sampling


Key = tuple[object, ...]
"""What a request is for, among all that are made for one question."""


@dataclass
class Session:
    """One question under one strategy.

    Attributes:
        shared: Requests for this question, sent once, also when they fail; for all strategies.
        samples: In the order of asking.
        judgements: In the order of asking.
    """

    context: Context
    benchmark: Benchmark
    question: Question
    shared: dict[Key, asyncio.Future[Completion]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    _charged: dict[Key, Completion] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The question's name among all benchmarks."""
        return f"{self.question.benchmark}/{self.question.id}"

    def record(self) -> dict[str, Any]:
        """What is known of the question, what was asked, and what it cost, as it stands in the results."""
        # Every response that this strategy had to pay for, each once.
        truth, costs = self.question.ground_truth, self._charged.values()
        return {
            "ground_truth": truth if isinstance(truth, str | int | float | bool | None) else str(truth),
            "group": self.question.group,
            "label_form": self.benchmark.label_form(self.question),
            "kind": self.question.meta.get("data_source"),
            "samples": [sample.record() for sample in self.samples],
            "judgements": [judgement.record() for judgement in self.judgements],
            "requests": len(costs),
            "prompt_tokens": sum(completion.prompt_tokens for completion in costs),
            "completion_tokens": sum(completion.completion_tokens for completion in costs),
            "seconds": round(sum(completion.seconds for completion in costs), 4),
        }

    async def answers(self, count: int) -> list[int]:
        """Ask the question ``count`` times; indices of the new samples."""
        start = sum(sample.kind == "answer" for sample in self.samples)
        new = await asyncio.gather(*(self._answer(start + number) for number in range(count)))
        self.samples.extend(new)
        return list(range(len(self.samples) - count, len(self.samples)))

    async def _answer(self, number: int) -> Sample:
        form = self.benchmark.label_form(self.question)
        completion = await self.ask(("answer", number), self.question.messages, logprobs=form is not None)
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
        self.judgements.append(Judgement.read(index, *found, self.context.prompts.label_form))
        return self.judgements[-1]

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
        rollout, prompts = self.samples[index].rollout, self.context.prompts
        sources = [each for each in sorted(Source, key=lambda each: each != prompts.source) if usable(rollout, each)]
        judging = objective is Objective.POINTWISE
        for source in sources:
            text = shown_text(rollout, source)
            messages = prompts.about(self.question.messages, objective, text, source, self.key, number)
            key = ("judge" if judging else "reflect", text, source, number)
            try:
                return source, await self.ask(key, messages, judging=judging, logprobs=judging)
            except openai.BadRequestError:
                # A whole response may make the prompt too long; then its answer stands for it, as in training.
                if source is sources[-1] or source is Source.ANSWER:
                    raise
        return None

    async def ask(self, key: Key, messages: list[Message], *, logprobs: bool, judging: bool = False) -> Completion:
        """Send a request unless it was sent for this question before, and charge this strategy for it once.

        Args:
            key: What the request is for; its seed follows from this.
            messages: The prompt.
            logprobs: Whether the probabilities of tokens are needed.
            judging: Whether it asks for a judgement.
        """
        context = self.context
        if key not in self.shared:
            sampling = context.judging if judging else context.sampling
            seed = request_seed(context.prompts.seed, self.key, *key)
            self.shared[key] = asyncio.ensure_future(
                context.client.ask(messages, sampling, seed=seed, logprobs=logprobs)
            )
        self._charged[key] = await self.shared[key]
        return self._charged[key]


def request_seed(*parts: object) -> int:
    """A seed from everything that names a request: the same in every process and on every machine.

    Returns:
        0 to 2**31 - 1, which every server takes.
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") >> 1
