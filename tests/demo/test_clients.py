"""What docs/clients.md shows of the openai client runs as it stands there, but for the server's address."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image
from rule_server import Reply, RuleServer

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")


def test_the_example_of_the_openai_client_runs(tmp_path, monkeypatch, capsys):
    data = tmp_path / "outputs" / "quickstart" / "data"
    data.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(data / "example.png")
    (data / "example.txt").write_text("What is 2+2?")
    monkeypatch.chdir(tmp_path)
    example = next(block for block in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "OpenAI(" in block)
    with RuleServer(lambda request: Reply("\\boxed{4}")) as server:
        here = example.replace("http://127.0.0.1:8000/v1", server.base_url)
        assert here != example
        exec(compile(here, "docs/clients.md", "exec"), {})
        (request,) = server.requests
    assert request["model"] == "spark" and request["text"] == "What is 2+2?" and request["logprobs"]
    assert capsys.readouterr().out == "\\boxed{4}\n"
