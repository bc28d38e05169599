"""The demo in a real browser: put in an image and a question, watch it answer, judge itself and reflect."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rule_server import Reply, RuleServer

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> \\boxed{5}"
SLOW = threading.Event()
"""Set where the model may answer a question that says "slowly"."""


def rule(request: dict) -> Reply:
    if "slowly" in request["text"]:
        SLOW.wait(60)
    if "<candidate>" in request["text"]:
        return Reply("I doubt it. \\boxed{No}", 0.25)
    return Reply("Rather \\boxed{4}") if "<attempt>" in request["text"] else Reply(HOSTILE)


@pytest.fixture(scope="module")
def server():
    with RuleServer(rule) as server:
        yield server


@pytest.fixture(scope="module")
def demo(server, rows, tmp_path_factory):
    """The command: its process and its address."""
    data = tmp_path_factory.mktemp("data") / "test.parquet"
    pq.write_table(pa.Table.from_pylist(rows), data)
    command = [sys.executable, "-m", "spark_verl.demo", "--base-url", server.base_url, "--port", "0"]
    command += ["--benchmark", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().split()[0]
        process.kill()


@pytest.fixture
def page(browser, demo):
    """The page after it has loaded; a script error or a dialog fails the test."""
    page = browser.new_page(viewport={"width": 420, "height": 900})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(demo[1])
    page.locator("#images img").wait_for()
    yield page
    page.close()
    assert problems == []


def test_answer_judgement_reflection(page, server, tmp_path):
    Image.new("RGB", (16, 12), "red").save(tmp_path / "image.png")
    page.click("#clear")
    page.set_input_files("#files", tmp_path / "image.png")
    page.locator("#images img").wait_for()
    page.fill("#question", "What is 2+2?")
    page.press("#question", "Control+Enter")
    page.get_by_text("5 became 4").wait_for()
    steps = [card.inner_text() for card in page.locator(".step").all()]
    assert HOSTILE in steps[0] and page.locator(".step img, .step script").count() == 0
    assert "No: it says wrong" in steps[1] and "P(right) = 0.250" in steps[1]
    assert page.get_by_role("meter").get_attribute("aria-valuenow") == "0.250"
    assert "Rather \\boxed{4}" in steps[2]
    assert page.locator(".truth").count() == 0
    content = server.requests[-3]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"] and content[1]["text"] == "What is 2+2?"
    assert page.evaluate("document.documentElement.scrollWidth") == 420, "nothing is wider than a phone"


def test_an_example_tells_what_is_right(page):
    first = page.input_value("#question")
    page.click("#pick")
    wait_until(lambda: page.input_value("#question") != first)
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("5 became 4").wait_for()
    assert page.locator(".truth").count() == 2
    assert {first, page.input_value("#question")} == {"2+2=?", "3+3=?"}


def test_a_question_that_is_stopped_frees_the_model(page, demo, server):
    port = int(server.base_url.split(":")[2].split("/")[0])
    asking = psutil.Process(demo[0].pid)

    def connections() -> int:
        return sum(
            each.raddr.port == port for each in asking.net_connections() if each.raddr and each.status == "ESTABLISHED"
        )

    page.fill("#question", "What is 2+2? Answer slowly.")
    before = len(server.requests)
    page.get_by_role("button", name="Ask").click()
    wait_until(lambda: len(server.requests) > before)
    assert connections() >= 1
    page.get_by_role("button", name="Stop").click()
    page.locator("#stop").wait_for(state="hidden")
    wait_until(lambda: connections() == 0)
    SLOW.set()
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("5 became 4").wait_for()


@pytest.mark.parametrize(("name", "data", "message"), [("broken.png", b"no image", "cannot be decoded")])
def test_errors_are_one_line(page, tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    page.set_input_files("#files", tmp_path / name)
    page.get_by_role("button", name="Ask").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert message in alert.inner_text()
    page.get_by_role("button", name="Ask").wait_for()  # and one can go on
    page.click("#clear")
    assert not alert.is_visible()


def test_it_ends_when_it_is_told_to_and_the_page_says_so(page, demo):
    process, _ = demo
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("alert").wait_for()


def wait_until(happens) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)
