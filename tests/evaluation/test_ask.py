"""``spark_verl.evaluation.ask`` against a server that streams."""

from __future__ import annotations

import pytest
from PIL import Image
from rule_server import Reply, RuleServer

from spark_verl.evaluation.ask import main


def rule(verdict: str):
    def reply(request: dict) -> Reply:
        assert request["stream"]
        if "<candidate>" in request["text"]:
            return Reply(verdict, 0.25)
        if "<attempt>" in request["text"]:
            return Reply("Rather \\boxed{5}")
        return Reply("It is \\boxed{4}")

    return reply


@pytest.mark.parametrize(
    ("verdict", "more", "expected", "requests"),
    [
        ("\\boxed{Yes}", [], ["→ Yes, P(right) = 0.250", "the answer stands"], 2),
        ("\\boxed{No}", [], ["→ No, P(right) = 0.250", "Rather \\boxed{5}", "→ 4 became 5"], 3),
        ("Who knows.", [], ["no verdict that could be read", "an unreadable judgement is no objection"], 2),
        ("\\boxed{Yes}", ["--always_reflect"], ["→ 4 became 5"], 3),
    ],
)
def test_answer_judgement_reflection(tmp_path, capsys, verdict, more, expected, requests):
    Image.new("RGB", (4, 4)).save(tmp_path / "image.png")
    with RuleServer(rule(verdict)) as server:
        code = main(["--base-url", server.base_url, "--image", str(tmp_path / "image.png"), "How many?", *more])
        assert code == 0 and len(server.requests) == requests
        assert [part["type"] for part in server.requests[0]["messages"][0]["content"]] == ["image_url", "text"]
    out = capsys.readouterr().out
    assert "It is \\boxed{4}" in out and all(text in out for text in expected)


def test_nothing_to_show_is_not_judged(capsys):
    with RuleServer(lambda request: Reply(" ")) as server:
        assert main(["--base-url", server.base_url, "How many?"]) == 0
        assert len(server.requests) == 1
    assert "nothing to judge" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image", "/nowhere.png", "?"], "no such file"),
        (["?", "--base-url", "http://127.0.0.1:9/v1"], "no OpenAI-compatible server answers"),
    ],
)
def test_errors_are_one_line(capsys, arguments, message):
    with RuleServer(rule("")) as server:
        assert main(["--base-url", server.base_url, *arguments]) == 2
    assert message in capsys.readouterr().err
