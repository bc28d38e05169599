"""The page's server: its files, questions to pick from, and what becomes of a question, line by line.

Whoever else is on the web must not use it: requests are taken under this machine's own names only, and a question only
as JSON, which a page of another origin cannot send.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Annotated, Any

import openai
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from spark_verl.data.errors import RowError
from spark_verl.data.images import DEFAULT_MAX_PIXELS, prepare_image
from spark_verl.data.stores import Images
from spark_verl.evaluation import connection
from spark_verl.evaluation.benchmarks import Benchmark
from spark_verl.evaluation.benchmarks.source import Rows
from spark_verl.evaluation.client import ServerGoneError
from spark_verl.evaluation.judging import Prompts
from spark_verl.evaluation.question import Question, to_openai, user_message
from spark_verl.evaluation.session import Sample, Session
from spark_verl.evaluation.walk import Begun, Ended, Judged, walk
from spark_verl.options import LONGEST_REASON, brief

MAX_BYTES = 64 * 2**20
"""Of a question with its images as base64."""

_EXPECTED = (ValueError, OSError, RowError, ServerGoneError, openai.OpenAIError)
"""What one line on the page explains: bad images, refused requests, a server that is gone."""


@dataclass(frozen=True)
class Example:
    """A question to pick, and the benchmark that scores it."""

    benchmark: Benchmark
    question: Question


class Asked(BaseModel):
    """What the page sends.

    Attributes:
        question: The text.
        images: As data URIs, in front of the text.
        example: Number of the example that all this is, unchanged; None for a question of one's own.
        temperature: Of answer and reflection.
        always_reflect: Reflect also when the judge does not say wrong.
        attempt: Another number is another sample, where the temperature is not 0.
    """

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=100_000, pattern=r"\S")
    images: list[Annotated[str, Field(pattern="^data:")]] = Field(default=[], max_length=16)
    example: int | None = Field(default=None, ge=0)
    temperature: float = Field(default=0.0, ge=0, le=2)
    always_reflect: bool = False
    attempt: int = 0


class Demo:
    """What the page shows.

    Args:
        options: Those of the command: how the model is asked.
        prompts: The judge's words.
        base_url: The model's server.
        examples: Questions to pick.
    """

    def __init__(
        self, options: argparse.Namespace, prompts: Prompts, base_url: str, examples: Sequence[Example] = ()
    ) -> None:
        self.options, self.prompts, self.base_url, self.examples = options, prompts, base_url, examples
        self.name = options.model or ""

    async def connect(self) -> None:
        """Find out whether the server answers, and the model's name where only the server knows it.

        Raises:
            UsageError: No server answers, or it does not have the model.
        """
        async with connection.connected(self.options, self.prompts, self.base_url) as (_, model):
            self.name = self.name or model.id

    def app(self) -> Starlette:
        """The page and what it asks for."""
        return Starlette(
            routes=[
                Route("/about", self._about),
                Route("/example/{number:int}", self._example),
                Route("/ask", self._ask, methods=["POST"]),
                Route("/colours.css", _colours),
                Mount("/", StaticFiles(packages=[("spark_verl.demo", "page")], html=True)),
            ],
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        )

    async def _about(self, request: Request) -> Response:
        told = {"model": self.name, "examples": len(self.examples), "temperature": self.options.temperature}
        return JSONResponse(told)

    async def _example(self, request: Request) -> Response:
        number = request.path_params["number"]
        if number >= len(self.examples):
            return _refuse(404, f"there is no example {number}, only {len(self.examples)}")
        try:
            messages = to_openai(self.examples[number].question.messages)
        except ValueError as error:  # an image that cannot be read
            return _refuse(422, str(error))
        parts = [part for message in messages for part in message["content"]]
        texts = [part["text"] for part in parts if part["type"] == "text"]
        images = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        return JSONResponse({"question": "\n\n".join(texts), "images": images})

    async def _ask(self, request: Request) -> Response:
        if request.headers.get("content-type") != "application/json":
            return _refuse(415, "a question comes as application/json")
        if int(request.headers.get("content-length", MAX_BYTES + 1)) > MAX_BYTES:
            return _refuse(413, f"question and images have more than {MAX_BYTES >> 20} MB: use smaller images")
        try:
            asked = Asked.model_validate_json(await request.body())
            example = self._asked_example(asked)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return _refuse(422, f"{'.'.join(map(str, first['loc'])) or 'the request'}: {brief(first['msg'])}")
        except (ValueError, RowError) as error:
            return _refuse(422, str(error))
        return StreamingResponse(self._lines(asked, example), media_type="application/x-ndjson")

    def _asked_example(self, asked: Asked) -> Example:
        """The example that is asked, or a question of one's own, with its images as training would have them."""
        if asked.example is not None:
            if asked.example >= len(self.examples):
                raise ValueError(f"there is no example {asked.example}, only {len(self.examples)}")
            example = self.examples[asked.example]
            # The first attempt has the id, and so the seeds, of an evaluation.
            again = f"{example.question.id}/{asked.attempt}" if asked.attempt else example.question.id
            return replace(example, question=replace(example.question, id=again))
        done: Counter[str] = Counter()
        images = [prepare_image(uri, Images([]), DEFAULT_MAX_PIXELS, done)["bytes"] for uri in asked.images]
        question = Question(f"{asked.question}/{asked.attempt}", "demo", user_message(asked.question, images), None)
        return Example(Benchmark(Rows([], "the page")), question)

    async def _lines(self, asked: Asked, example: Example) -> AsyncGenerator[str]:
        """One JSON object per line for everything that happens; ends early when nobody listens any more."""
        told: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        task = asyncio.create_task(self._walk(asked, example, told))
        try:
            while (event := await told.get()) is not None:
                yield json.dumps(event) + "\n"
        finally:
            task.cancel()

    async def _walk(self, asked: Asked, example: Example, told: asyncio.Queue[dict[str, Any] | None]) -> None:
        options = argparse.Namespace(**{**vars(self.options), "temperature": asked.temperature})
        question = example.question

        def show(text: str) -> None:
            told.put_nowait({"kind": "text", "text": text})

        def tell(event: Begun | Sample | Judged | Ended) -> None:
            told.put_nowait(record(event, question))

        try:
            async with connection.connected(options, self.prompts, self.base_url, show) as (context, _):
                session = Session(context, example.benchmark, question)
                await walk(session, tell, always_reflect=asked.always_reflect)
        except _EXPECTED as error:
            told.put_nowait({"kind": "error", "why": brief(error, LONGEST_REASON)})
        finally:
            told.put_nowait(None)


def record(event: Begun | Sample | Judged | Ended, question: Question) -> dict[str, Any]:
    """An event as the page wants it."""
    if isinstance(event, Begun):
        return {"kind": "begin", "objective": event.objective}
    if isinstance(event, Sample):
        known = question.has_truth and event.verdict.decided
        cut = event.completion.finish_reason == "length"
        return {"kind": "sample", "answer": event.answer, "cut": cut, "right": event.verdict.correct if known else None}
    if isinstance(event, Judged):
        found = event.judgement
        return {
            "kind": "judged",
            "verdict": event.verdict,
            "says_right": found.says_right,
            "p_right": found.p_right,
        }
    return {"kind": "ended", "why": event.why}


def _refuse(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)


async def _colours(request: Request) -> Response:
    """The colours of the report's page."""
    text = resources.files("spark_verl.report").joinpath("templates/colours.css").read_text(encoding="utf-8")
    return Response(text, media_type="text/css")
