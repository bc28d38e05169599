"""One asynchronous client for every strategy: requests, retries, tokens and seconds.

Retries are the ``openai`` client's own: connection errors, time-outs, 408, 409, 429 and 5xx, with exponential backoff
and jitter, honouring ``Retry-After``.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletionTokenLogprob

from spark_verl.evaluation.messages import to_openai
from spark_verl.vocabulary import Message

logger = logging.getLogger(__name__)

TOP_LOGPROBS = 20
"""Alternatives per token that are asked for: the OpenAI protocol's and vLLM's default limit."""

_FAILURES_IN_A_ROW = 16
"""So many requests in a row without any answer mean that the server is gone, not that the questions are bad."""


class ServerGoneError(RuntimeError):
    """The server does not answer any more: the run stops, and what is done stays done."""


@dataclass(frozen=True)
class Sampling:
    """How to sample.

    Attributes:
        temperature, top_p, max_tokens: For answers and reflections.
        judge_temperature, judge_max_tokens: For judgements, whose nucleus is everything.
    """

    temperature: float = 1.0
    max_tokens: int = 2048
    top_p: float = 1.0
    judge_temperature: float = 0.0
    judge_max_tokens: int = 2048

    def __post_init__(self) -> None:
        for name in ("temperature", "judge_temperature"):
            if not 0 <= getattr(self, name) <= 2:
                raise ValueError(f"--{name} must be between 0 and 2, got {getattr(self, name)}")
        if self.max_tokens < 1:
            raise ValueError(f"--max_tokens must be at least 1, got {self.max_tokens}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"--top_p must be above 0 and at most 1, got {self.top_p}")


@dataclass(frozen=True)
class Completion:
    """One response.

    Attributes:
        text: What the model wrote.
        finish_reason: "stop", or "length" at the token limit.
        prompt_tokens: Tokens of the request, as the server counts them (images included); 0 where it does not say.
        completion_tokens: Tokens of the response.
        seconds: From the request to the response, waiting in the server's queue included.
        logprobs: Sampled tokens with the most probable ones at their places; empty when they were not asked for.
    """

    text: str
    finish_reason: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    logprobs: tuple[ChatCompletionTokenLogprob, ...] = field(default=(), repr=False, compare=False)

    def record(self) -> dict[str, Any]:
        """As it stands in the results: without log-probabilities."""
        return {name: value for name, value in vars(self).items() if name != "logprobs"}


@dataclass(frozen=True)
class ServedModel:
    """What a server tells about a model; beyond the name only vLLM does.

    Attributes:
        name: What requests call it.
        context_length: Tokens of prompt and response together; None when unknown.
        root: The model's folder or hub id; None when unknown.
    """

    name: str
    context_length: int | None
    root: str | None


class Client:
    """Asks an OpenAI-compatible server.

    Args:
        base_url: The server's address with ``/v1``.
        model: The name under which it serves the model.
        concurrency: Requests in flight.
        api_key: Sent as bearer token.
        timeout_s: Seconds after which a request is given up (and tried again).
        max_retries: Tries after the first one.
        show: Takes every piece of a response while it is written; None asks for whole responses.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        concurrency: int = 32,
        api_key: str = "none",
        timeout_s: float = 600.0,
        max_retries: int = 6,
        show: Callable[[str], None] | None = None,
    ) -> None:
        self.model = model
        self.base_url = base_url
        # A server on this machine is never asked through a proxy that the environment names.
        direct = urlsplit(base_url).hostname in ("127.0.0.1", "localhost", "::1")
        self.openai = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key,
            timeout=timeout_s,
            max_retries=max_retries,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False) if direct else None,
        )
        self._show = show
        self._slots = asyncio.Semaphore(concurrency)
        self._failures = 0
        self._refused: set[str] = set()

    async def close(self) -> None:
        """Close all connections."""
        await self.openai.close()

    async def served_models(self) -> dict[str, ServedModel]:
        """The models that the server offers, by name."""
        found = [
            ServedModel(model.id, getattr(model, "max_model_len", None), getattr(model, "root", None))
            for model in (await self.openai.models.list()).data
        ]
        return {model.name: model for model in found}

    def check_alive(self, error: Exception) -> None:
        """Raise a :class:`ServerGoneError` when too many requests in a row have failed, ``error`` being the last."""
        if self._failures >= _FAILURES_IN_A_ROW:
            raise ServerGoneError(
                f"{self._failures} requests in a row failed at {self.base_url}, the last one with "
                f"{type(error).__name__}. Start the server again and repeat the command: it resumes"
            ) from error

    async def ask(
        self,
        messages: list[Message],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
        top_p: float = 1.0,
        logprobs: bool = False,
    ) -> Completion:
        """Sample one response.

        Args:
            messages: As in :class:`spark_verl.evaluation.question.Question`.
            temperature, max_tokens, top_p: Sampling options.
            seed: A server with per-request seeds (vLLM) gives the same response to the same seed.
            logprobs: Ask for :data:`TOP_LOGPROBS` alternatives of every token.

        Raises:
            openai.OpenAIError: The request failed for good.
            ValueError: The messages cannot be sent.
            ServerGoneError: Many requests in a row got no answer at all.
        """
        parameters: dict[str, Any] = {
            "model": self.model,
            "messages": to_openai(messages),
            "temperature": temperature,
            "max_tokens": max_tokens,
            "top_p": top_p,
            "seed": seed,
        }
        if logprobs:
            parameters |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        async with self._slots:
            started = time.perf_counter()
            completion = await self._without_refused(parameters)
            return replace(completion, seconds=time.perf_counter() - started)

    async def _without_refused(self, parameters: dict[str, Any]) -> Completion:
        """Ask, without the parameters that this server has refused; one that it refuses now is left out from now on."""
        while True:
            request = without(parameters, self._refused)
            try:
                completion = await (self._whole(request) if self._show is None else self._streamed(request, self._show))
                self._failures = 0
                return completion
            except (openai.APIConnectionError, openai.InternalServerError) as error:
                self._failures += 1
                self.check_alive(error)
                raise
            except openai.APIStatusError as error:
                self._failures = 0  # it answers
                refused = {name for name, sign in REPLACEABLE.items() if name in request and sign.search(str(error))}
                if not refused or not isinstance(error, openai.BadRequestError):
                    raise
                self._refused |= refused
                logger.warning("%s takes no %s: asking without", self.base_url, " and no ".join(sorted(refused)))

    async def _whole(self, request: dict[str, Any]) -> Completion:
        response = await self.openai.chat.completions.create(**request)
        if not response.choices:
            raise ValueError(f"{self.base_url} answered without a choice")
        choice, usage = response.choices[0], response.usage
        return Completion(
            text=choice.message.content or "",
            finish_reason=choice.finish_reason or "",
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            logprobs=_token_logprobs(choice),
        )

    async def _streamed(self, request: dict[str, Any], show: Callable[[str], None]) -> Completion:
        text, finish_reason, logprobs = "", "", ()
        async for piece in await self.openai.chat.completions.create(stream=True, **request):
            for choice in piece.choices:
                show(choice.delta.content or "")
                text += choice.delta.content or ""
                finish_reason = choice.finish_reason or finish_reason
                logprobs += _token_logprobs(choice)
        return Completion(text, finish_reason, logprobs=logprobs)


REPLACEABLE = {
    "logprobs": re.compile("logprobs"),
    # Not "'max_tokens' is too large", which is about the length of one prompt.
    "max_tokens": re.compile(
        r"(?i)max_tokens.*(?:support|unknown|unrecogni)|(?:support|unknown|unrecogni).*max_tokens"
    ),
}
"""What some servers refuse and a request can do without, and how their error 400 says so: alternatives of tokens, and
``max_tokens``, for which ``max_completion_tokens`` is sent instead."""


def without(parameters: dict[str, Any], refused: Collection[str]) -> dict[str, Any]:
    """The parameters of a request without those of :data:`REPLACEABLE` that a server refuses.

    >>> without({"max_tokens": 8, "logprobs": True, "top_logprobs": 20}, {"max_tokens", "logprobs"})
    {'max_completion_tokens': 8}
    """
    found = dict(parameters)
    if "max_tokens" in refused:
        found["max_completion_tokens"] = found.pop("max_tokens")
    if "logprobs" in refused:
        found = {name: value for name, value in found.items() if "logprobs" not in name}
    return found


def _token_logprobs(choice: Any) -> tuple[ChatCompletionTokenLogprob, ...]:
    """The tokens of a choice of an OpenAI response, or of a piece of a streamed one."""
    return tuple(choice.logprobs.content or ()) if choice.logprobs else ()
