"""One asynchronous client for every strategy: requests, retries, tokens and seconds.

Retries are the ``openai`` client's own: connection errors, time-outs, 408, 409, 429 and 5xx, with exponential backoff
and jitter, honouring ``Retry-After``.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types.chat import ChatCompletion, ChatCompletionTokenLogprob

from spark_verl.evaluation.question import to_openai
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
    """How to sample; the repetition penalty is vLLM's, no part of the OpenAI protocol, and sent only where not 1."""

    temperature: float = 1.0
    max_tokens: int = 2048
    top_p: float = 1.0
    repetition_penalty: float = 1.0


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

    async def served_models(self) -> dict[str, openai.types.Model]:
        """What the server tells about its models, by name; vLLM's have a ``root`` and a ``max_model_len``."""
        return {model.id: model for model in (await self.openai.models.list()).data}

    def check_alive(self, error: Exception) -> None:
        """Raise a :class:`ServerGoneError` when too many requests in a row have failed, ``error`` being the last."""
        if self._failures >= _FAILURES_IN_A_ROW:
            raise ServerGoneError(
                f"{self._failures} requests in a row failed at {self.base_url}, the last one with "
                f"{type(error).__name__}. Start the server again and repeat the command: it resumes"
            ) from error

    async def ask(
        self, messages: list[Message], sampling: Sampling, *, seed: int, logprobs: bool = False
    ) -> Completion:
        """Sample one response.

        Args:
            messages: As in :class:`spark_verl.evaluation.question.Question`.
            sampling: How.
            seed: A server with per-request seeds (vLLM) gives the same response to the same seed.
            logprobs: Ask for :data:`TOP_LOGPROBS` alternatives of every token.

        Raises:
            openai.OpenAIError: The request failed for good.
            ValueError: The messages cannot be sent.
            ServerGoneError: Many requests in a row got no answer at all.
        """
        request: dict[str, Any] = {
            "model": self.model,
            "messages": to_openai(messages),
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "top_p": sampling.top_p,
            "seed": seed,
        }
        if sampling.repetition_penalty != 1.0:
            request["extra_body"] = {"repetition_penalty": sampling.repetition_penalty}
        if logprobs:
            request |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        async with self._slots:
            started = time.perf_counter()
            response = await self._send(request)
            seconds = time.perf_counter() - started
        if not response.choices:
            raise ValueError(f"{self.base_url} answered without a choice")
        choice, usage = response.choices[0], response.usage
        return Completion(
            text=choice.message.content or "",
            finish_reason=choice.finish_reason or "",
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
            seconds=seconds,
            logprobs=tuple(choice.logprobs.content or ()) if choice.logprobs else (),
        )

    async def _send(self, request: dict[str, Any]) -> ChatCompletion:
        """Ask, without the parameters that this server has refused; one that it refuses now is left out from now on."""
        while True:
            for name in self._refused & request.keys():
                request = without(request, name)
            try:
                response = await self._create(request)
                self._failures = 0
                return response
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

    async def _create(self, request: dict[str, Any]) -> ChatCompletion:
        if self._show is None:
            return await self.openai.chat.completions.create(**request)
        async with self.openai.chat.completions.stream(**request) as stream:
            event = None
            async for event in stream:
                if event.type == "content.delta":
                    self._show(event.delta)
            if event is None:
                raise ValueError(f"{self.base_url} answered with nothing where a stream was asked for")
            return await stream.get_final_completion()


REPLACEABLE = {
    "logprobs": re.compile("logprobs"),
    # Not "'max_tokens' is too large", which is about the length of one prompt.
    "max_tokens": re.compile(
        r"(?i)max_tokens.*(?:support|unknown|unrecogni)|(?:support|unknown|unrecogni).*max_tokens"
    ),
}
"""What some servers refuse and a request can do without, and how their error 400 says so."""


def without(request: dict[str, Any], refused: str) -> dict[str, Any]:
    """A request without a parameter of :data:`REPLACEABLE`, or with what stands for it.

    >>> without({"max_tokens": 8, "logprobs": True, "top_logprobs": 20}, "logprobs")
    {'max_tokens': 8}
    """
    kept = {name: value for name, value in request.items() if refused not in name}
    return kept | {"max_completion_tokens": request[refused]} if refused == "max_tokens" else kept
