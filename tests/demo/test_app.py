"""What the demo's server says, over HTTP, with a model that follows a rule."""

from __future__ import annotations

import base64
import io
import json

import pytest
from PIL import Image
from rule_server import Reply, RuleServer
from starlette.testclient import TestClient

from spark_verl.demo.__main__ import main, parser
from spark_verl.demo.app import MAX_BYTES, Demo, Example
from spark_verl.evaluation import benchmarks
from spark_verl.evaluation.benchmarks.source import Rows
from spark_verl.evaluation.judging import Prompts


def rule(verdict: str, p: float | None = 0.25):
    def reply(request: dict) -> Reply:
        if "<candidate>" in request["text"]:
            return Reply(verdict, p)
        if "<attempt>" in request["text"]:
            return Reply("Rather \\boxed{4}")
        return Reply("It is \\boxed{5}")

    return reply


def examples(rows: list[dict]) -> list[Example]:
    benchmark = benchmarks.REGISTRY["verl"](Rows(rows, "rows"))
    return [Example(benchmark, question) for question in benchmark.questions]


def client(server: RuleServer, picked: list[Example] | None = None) -> TestClient:
    options = parser().parse_args(["--base-url", server.base_url, "--max_retries", "0"])
    demo = Demo(options, Prompts(), server.base_url, picked or [])
    return TestClient(demo.app(), base_url="http://127.0.0.1")


def events(response) -> list[dict]:
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def without_text(found: list[dict]) -> list[tuple]:
    return [tuple(event.values()) for event in found if event["kind"] != "text"]


@pytest.mark.parametrize(
    ("why", "verdict", "more", "expected"),
    [
        ("it agrees", "\\boxed{Yes}", {}, [("judged", "Yes", True, 0.25), ("ended", "the answer stands")]),
        (
            "it does not",
            "\\boxed{No}",
            {},
            [("judged", "No", False, 0.25), ("begin", "reflection"), ("sample", "4", False, None),
             ("ended", "5 became 4")],
        ),
        (
            "in any case",
            "\\boxed{Yes}",
            {"always_reflect": True},
            [("judged", "Yes", True, 0.25), ("begin", "reflection"), ("sample", "4", False, None),
             ("ended", "5 became 4")],
        ),
        (
            "unreadable",
            "Who knows",
            {},
            [("judged", None, None, None), ("ended", "the answer stands: an unreadable judgement is no objection")],
        ),
    ],
)  # fmt: skip
def test_answer_judgement_reflection(why, verdict, more, expected):
    with RuleServer(rule(verdict)) as server:
        found = events(client(server).post("/ask", json={"question": "2+2=?", **more}))
    start = [("begin", "policy"), ("sample", "5", False, None), ("begin", "pointwise")]
    assert without_text(found) == start + expected
    first = next(index for index, event in enumerate(found) if event["kind"] == "sample")
    assert "".join(event["text"] for event in found[1:first]) == "It is \\boxed{5}"


def test_an_example_is_scored_and_a_question_of_ones_own_is_not(rows):
    with RuleServer(rule("\\boxed{No}")) as server:
        page = client(server, examples(rows))
        shown = page.get("/example/0").json()
        assert page.get("/about").json()["examples"] == 2
        asked = {"question": shown["question"], "temperature": 1.0}
        scored = events(page.post("/ask", json={**asked, "example": 0}))
        own = events(page.post("/ask", json={**asked, "images": shown["images"]}))
        again = events(page.post("/ask", json={**asked, "example": 0, "attempt": 1}))
    assert [event["right"] for event in scored if event["kind"] == "sample"] == [False, True]
    assert [event["right"] for event in own if event["kind"] == "sample"] == [None, None]
    assert len(again) == len(scored)
    first, same, other = (server.requests[index] for index in (0, 3, 6))
    assert first["messages"] == same["messages"] == other["messages"]
    assert first["seed"] != other["seed"], "another attempt is another sample"


def test_an_image_is_as_training_would_have_it(data_uri):
    rotated = Image.new("RGB", (20, 10))
    exif = rotated.getexif()
    exif[0x0112] = 6
    sent = [data_uri(Image.new("RGBA", (8, 8), (0, 0, 0, 0))), data_uri(rotated, exif=exif)]
    with RuleServer(rule("\\boxed{Yes}")) as server:
        events(client(server).post("/ask", json={"question": "?", "images": sent}))
        parts = server.requests[0]["messages"][0]["content"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    clear, upright = (Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls)
    assert clear.convert("RGB").getpixel((4, 4)) == (255, 255, 255)
    assert upright.size == (10, 20)


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"content": b"question=?", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 415, "json"),
        ({"content": b'{"question": "?"}', "headers": {"content-type": "text/plain"}}, 415, "json"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "the request: Invalid JSON"),
        ({"json": {"question": " "}}, 422, "question: "),
        ({"json": {"question": "?", "temperature": 3}}, 422, "temperature: "),
        ({"json": {"question": "?", "more": 3}}, 422, "more: "),
        ({"json": {"question": "?", "example": 0}}, 422, "there is no example 0"),
        ({"json": {"question": "?", "images": ["/etc/hostname"]}}, 422, "images.0: "),
        ({"json": {"question": "?", "images": ["data:text/plain;base64,YWJj"]}}, 422, "cannot be decoded"),
        ({"json": {"question": "?", "images": ["data:image/png;base64,!"]}}, 422, "no data URI"),
        (
            {
                "json": {
                    "question": "?",
                    "images": ["data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"],
                }
            },
            422,
            "one pixel",
        ),
        ({"json": {"question": "?"}, "headers": {"host": "evil.example"}}, 400, "Invalid host"),
        (
            {"content": b"{}", "headers": {"content-type": "application/json", "content-length": str(MAX_BYTES + 1)}},
            413,
            "smaller images",
        ),
    ],
)
def test_what_is_refused_is_one_line_and_asks_no_model(request_, status, message):
    with RuleServer(rule("")) as server:
        response = client(server).post("/ask", **request_)
        assert server.requests == []
    assert response.status_code == status
    assert message in response.text and len(response.text.splitlines()) == 1 and len(response.text) < 400


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(fault="400", message="the prompt is too long"), "the prompt is too long"),
        (Reply(fault="empty"), "answered with nothing"),
    ],
)
def test_what_goes_wrong_later_is_the_last_line(reply, message):
    with RuleServer(lambda request: reply) as server:
        page = client(server)
        *_, last = events(page.post("/ask", json={"question": "?"}))
    assert last["kind"] == "error" and message in last["why"]
    (last,) = events(page.post("/ask", json={"question": "?"}))
    assert last["kind"] == "error" and "no OpenAI-compatible server answers" in last["why"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either a model folder or --base-url"),
        (["--base-url", "http://127.0.0.1:9/v1", "--port", "0"], "no OpenAI-compatible server answers"),
        (["--base-url", "http://127.0.0.1:9/v1", "--port", "70000"], "must be between 0 and 65535"),
        (["--base-url", "http://127.0.0.1:9/v1", "--benchmark", "nothing.parquet"], "nothing.parquet does not exist"),
        (["/nowhere/model"], "/nowhere/model does not exist"),
    ],
)
def test_errors_of_the_command_are_one_line(capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1
