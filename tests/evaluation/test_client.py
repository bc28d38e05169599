"""The client against a server that misbehaves."""

from __future__ import annotations

import asyncio

import openai
import pytest
from rule_server import Reply, RuleServer

from spark_verl.evaluation.client import Client, Sampling, ServerGoneError

ASK = {"sampling": Sampling(max_tokens=10), "seed": 1}
MESSAGES = [{"role": "user", "content": "2?"}]


def ask(rule, options, *, times: int = 1, **more):
    async def go(server):
        client = Client(server.base_url, "rule", **options)
        try:
            jobs = [client.ask(MESSAGES, **ASK, **more) for _ in range(times)]
            return await asyncio.gather(*jobs, return_exceptions=True)
        finally:
            await client.close()

    with RuleServer(rule) as server:
        return asyncio.run(go(server)), server.requests


@pytest.fixture
def impatient(client_options):
    """Options of a client that waits less than a server that hangs."""
    return {**client_options, "timeout_s": 1.5}


@pytest.mark.parametrize("fault", ["500", "hang", "torn"])
def test_a_fault_that_passes_is_tried_again(impatient, fault):
    replies = iter([Reply(fault=fault), Reply("It is 4.")])
    (found,), requests = ask(lambda request: next(replies), impatient)
    assert (found.text, found.prompt_tokens, found.completion_tokens) == ("It is 4.", 10, 5)
    assert found.finish_reason == "stop" and found.seconds > 0
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("fault", "error", "tries"),
    [
        ("500", openai.InternalServerError, 3),
        ("hang", openai.APITimeoutError, 3),
        ("torn", openai.APIConnectionError, 3),
        ("400", openai.BadRequestError, 1),
    ],
)
def test_a_fault_that_stays_is_an_error(impatient, fault, error, tries):
    (found,), requests = ask(lambda request: Reply(fault=fault), impatient)
    assert isinstance(found, error)
    assert len(requests) == tries


def test_a_server_that_never_answers_is_gone(client_options):
    found, _ = ask(lambda request: Reply(fault="500"), {**client_options, "max_retries": 0}, times=20)
    kinds = [type(error) for error in found]
    assert kinds.count(openai.InternalServerError) == 15 and kinds.count(ServerGoneError) == 5
    # Twenty at once: which of them are the last to be answered is chance.
    assert all("it resumes" in str(error) for error in found if isinstance(error, ServerGoneError))


def test_one_answer_in_between_means_that_it_is_there(client_options):
    count = iter(range(100))
    options = {**client_options, "max_retries": 0, "concurrency": 1}
    found, _ = ask(lambda request: Reply("a" if next(count) % 10 == 9 else "", fault=None), options, times=3)
    assert not any(isinstance(one, Exception) for one in found)


def test_log_probabilities(client_options):
    (found,), requests = ask(lambda request: Reply("So \\boxed{Yes}", 0.75), client_options, logprobs=True)
    label = next(token for token in found.logprobs if token.token == "Yes")
    assert {top.token for top in label.top_logprobs} == {"Yes", "No"} and requests[0]["top_logprobs"] == 20


def test_what_a_server_refuses_is_left_out_from_then_on(client_options):
    def rule(request):
        for name in ("max_tokens", "logprobs"):
            if name in request:
                return Reply(fault="400", message=f"Unsupported parameter: '{name}'")
        return Reply("It is 4.")

    options = {**client_options, "concurrency": 1}
    found, requests = ask(rule, options, times=2, logprobs=True)
    assert [one.text for one in found] == ["It is 4."] * 2 and found[0].logprobs == ()
    assert len(requests) == 4, "each parameter is refused once"
    assert requests[-1]["max_completion_tokens"] == 10
    assert not {"max_tokens", "logprobs", "top_logprobs"} & set(requests[-1])


def test_a_prompt_that_is_too_long_is_no_refusal_of_max_tokens(client_options):
    message = "'max_tokens' or 'max_completion_tokens' is too large: 10. The maximum context length is 8 tokens"
    (found,), requests = ask(lambda request: Reply(fault="400", message=message), client_options)
    assert isinstance(found, openai.BadRequestError) and len(requests) == 1


def test_a_reply_without_a_choice_is_an_error_of_that_question(client_options):
    (found,), _ = ask(lambda request: Reply(fault="empty"), client_options)
    assert isinstance(found, ValueError) and "without a choice" in str(found)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(client_options, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (found,), _ = ask(lambda request: Reply("It is 4."), client_options)
    assert found.text == "It is 4."
