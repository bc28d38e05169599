"""The command against a real HTTP server with a rule: a whole audit, a resumed one, failures, and refusals."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from rule_server import Reply, RuleServer
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from spark_verl.audit.__main__ import main

SUM = re.compile(r"(\d+)\+\1=\?")
CANDIDATE = re.compile(r"<candidate>\s*(.*?)\s*</candidate>", re.DOTALL)
NOBODY = "http://127.0.0.1:9/v1"


def solve(request: dict) -> Reply:
    """Half of the answers are right; four in five verdicts are, and one in twenty cannot be read."""
    luck, wanted = Random(request["seed"]).random(), str(2 * int(SUM.search(request["text"])[1]))
    if candidate := CANDIDATE.search(request["text"]):
        if luck > 0.95:
            return Reply("Who knows?")
        return Reply(f"\\boxed{{{'Yes' if (candidate[1] == wanted) == (luck < 0.76) else 'No'}}}")
    return Reply(f"Trust me. \\boxed{{{wanted if luck < 0.5 else 1000 + int(luck * 30)}}}")


def row(number: int, truth: str | None, source: str = "sums") -> dict:
    return {
        "data_source": source,
        "prompt": [{"role": "user", "content": f"{number}+{number}=?"}],
        "reward_model": {"style": "rule", "ground_truth": truth},
        # As in files that were put together from two: no number is a row's own.
        "extra_info": {"index": number % 7},
    }


def write(folder: Path) -> Path:
    """32 sums with a truth, 3 without, 2 judge questions."""
    rows = [row(n, str(2 * n)) for n in range(1, 33)]
    rows += [row(50, None), row(51, ""), row(52, None)]
    rows += [row(60, "Yes", "spark/pointwise"), row(61, "No", "spark/pointwise")]
    pd.DataFrame(rows).to_parquet(folder / "sums.parquet")
    return folder / "sums.parquet"


@pytest.fixture
def data(tmp_path) -> Path:
    return write(tmp_path)


def command(url: str, data: Path, *more: str) -> list[str]:
    options = ["--output", str(data.parent / "out"), "--max_retries", "1", "--no_progress", "--samples", "4"]
    return ["--base-url", url, str(data), *options, *more]


def audit(data: Path, rule: Callable[[dict], Reply], *more: str, code: int = 0) -> list[dict]:
    """Run the command; the requests that it made."""
    with RuleServer(rule) as server:
        assert main(command(server.base_url, data, *more)) == code
        return server.requests


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, list[dict]]:
    """A whole audit: its data, and the requests."""
    data = write(tmp_path_factory.mktemp("whole"))
    return data, audit(data, solve)


@pytest.fixture
def done(whole, tmp_path) -> Path:
    """The data beside a copy of the whole audit."""
    shutil.copytree(whole[0].parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "sums.parquet"


def result(data: Path) -> dict:
    return json.loads((data.parent / "out/audit.json").read_text())


def by_kind(requests: list[dict]) -> tuple[list[dict], list[dict]]:
    judging = [request for request in requests if CANDIDATE.search(request["text"])]
    return [request for request in requests if request not in judging], judging


def test_a_whole_audit(whole):
    data, requests = whole
    answering, judging = by_kind(requests)
    assert len(answering) == 32 * 4
    found = result(data)
    assert found["data"]["drawn"] == 32 and found["data"]["rows"] == 37
    assert found["data"]["left_out"] == {"without ground truth": 3, "about judging": 2, "failed": 0, "not verified": 0}
    assert found["settings"]["model"] == "rule" and found["settings"]["verdicts"] == 4 and found["versions"]["python"]
    figures = found["figures"]
    assert figures["pass_rate"]["value"] == pytest.approx(0.5, abs=0.1)
    assert figures["tpr"]["value"] == pytest.approx(0.8, abs=0.1)
    assert figures["fpr"]["value"] == pytest.approx(0.2, abs=0.1)
    assert figures["unreadable"]["value"] == pytest.approx(0.05, abs=0.04)
    assert figures["cost"]["answering"]["prompt_tokens"]["value"] == 40  # 10 each
    assert figures["cost"]["judging"]["prompt_tokens"]["value"] == 10 * len(judging) / 32
    # A question's own line counts both, as an evaluation's does.
    lines = (data.parent / "out/results.jsonl").read_text().splitlines()
    spent = [line for line in map(json.loads, lines) if "prompt_tokens" in line]
    assert sum(each["prompt_tokens"] for each in spent) == 10 * len(requests)
    assert sum(each["requests"] for each in spent) == len(requests)
    assert found["reward"] == "dense" and figures["gate"]["weight"] > 0.3 and figures["gate"]["closed"] is None
    assert found["advice"][0]["topic"] == "reward" and "The reward is dense" in found["advice"][0]["text"]
    assert (data.parent / "out/audit.png").read_bytes().startswith(b"\x89PNG")


def test_verdicts_are_asked_as_in_training(data):
    _, judging = by_kind(audit(data, solve, "--questions", "8", "--verdicts", "3", "--answers", "2"))
    asked, words = Counter(), defaultdict(set)
    for request in judging:
        number, candidate = SUM.search(request["text"])[1], CANDIDATE.search(request["text"])[1]
        asked[number, candidate] += 1
        words[number].add(request["text"].partition("=?")[2].replace(candidate, "CANDIDATE"))
        assert "Trust me" not in request["text"] and request["temperature"] == 1.0 and "logprobs" not in request
    # Of each of the two most frequent answers as often as was asked for, all of a question in the same words.
    assert set(asked.values()) == {3} and max(Counter(number for number, _ in asked).values()) == 2
    assert {len(each) for each in words.values()} == {1} and len(set.union(*words.values())) > 1
    assert len({request["seed"] for request in judging}) == len(judging)


def test_a_second_start_asks_nothing(done, capsys):
    before = result(done)
    assert main(command(NOBODY, done)) == 0  # nobody is there who could be asked
    assert result(done)["figures"] == before["figures"]
    captured = capsys.readouterr()
    assert "0 questions, 32 from an earlier start, 0 failed" in captured.err
    assert "| the gate would start at" in captured.out and "3 without ground truth, 2 about judging" in captured.out
    assert "reward: The reward is dense" in captured.out


def open_again(data: Path, kept: int = 31) -> None:
    """As after an interruption: so many questions are done, and the next line is torn."""
    path = data.parent / "out/results.jsonl"
    header, *lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *lines[:kept], lines[kept][:40]]))


def test_an_interrupted_audit_goes_on(done):
    before = result(done)
    open_again(done, 25)
    assert len(by_kind(audit(done, solve))[0]) == 7 * 4
    # The same but for the time that it took.
    untimed = [re.sub(r'"seconds": \{[^}]*\}', "", json.dumps(each["figures"])) for each in (before, result(done))]
    assert untimed[0] == untimed[1]


def test_more_questions_keep_the_first_ones(data):
    few = {SUM.search(each["text"])[1] for each in audit(data, solve, "--questions", "3")}
    new = {SUM.search(each["text"])[1] for each in audit(data, solve, "--questions", "8")}
    assert len(few) == 3 and len(new) == 5 and not few & new
    assert result(data)["figures"]["questions"] == 8
    audit(data, solve, "--questions", "3")  # and fewer are what is looked at
    assert result(data)["figures"]["questions"] == 3


def test_other_data_do_not_get_into_the_same_folder(done, capsys):
    rows = pd.read_parquet(done)
    rows["prompt"] = [[{"role": "user", "content": f"{n}+{n}=? Think."}] for n in range(len(rows))]
    rows.to_parquet(done.with_name("other.parquet"))
    assert main(command(NOBODY, done.with_name("other.parquet"))) == 2
    assert "the data has changed" in capsys.readouterr().err


def test_what_fails_is_counted_and_tried_again(data, capsys):
    seen = []

    def faulty(request: dict) -> Reply:
        seen.append(SUM.search(request["text"])[1])
        return Reply(fault="500") if seen[-1] == seen[0] else solve(request)

    audit(data, faulty, "--questions", "3", code=1)
    assert result(data)["data"]["left_out"]["failed"] == 1 and result(data)["figures"]["questions"] == 2
    assert "the same command tries them again" in capsys.readouterr().err
    assert {SUM.search(each["text"])[1] for each in audit(data, solve, "--questions", "3")} == {seen[0]}
    assert result(data)["data"]["left_out"]["failed"] == 0


def test_an_answer_that_cannot_be_asked_about_is_counted(data):
    def refusing(request: dict) -> Reply:
        return Reply(fault="400") if CANDIDATE.search(request["text"]) else solve(request)

    audit(data, refusing, "--questions", "3")
    figures = result(data)["figures"]
    assert figures["not_asked"]["value"] == 1.0 and figures["youden"]["value"] is None
    assert any("The server refused to judge 100%" in each["text"] for each in result(data)["advice"])


@pytest.mark.parametrize(
    ("rule", "reward"),
    [
        pytest.param(lambda request: Reply("no box"), "sparse", id="no_answer_is_wrong"),
        pytest.param(lambda request: solve(request | {"seed": 3}), "used up", id="all_right"),
    ],
)
def test_groups_without_signal(data, rule, reward):
    audit(data, rule, "--questions", "3")
    assert result(data)["reward"] == reward and result(data)["figures"]["no_signal"]["value"] == 1.0
    assert result(data)["figures"]["gate"]["weight"] == 0.0


def test_nothing_that_could_be_measured(data, capsys):
    audit(data, lambda request: Reply(fault="500"), "--questions", "3", code=2)
    assert "of 3 questions none was answered and verified" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--questions", "0"], "--questions: must be at least 1, got 0"),
        (["--samples", "1"], "--samples: must be at least 2, got 1"),
        (["--verdicts", "0"], "--verdicts: must be at least 1"),
        (["--answers", "x"], "--answers: invalid int value: 'x'"),
        (["--templates", "/nowhere"], "template folder '/nowhere' not found"),
        (["--label-form", "free"], "--label_form/--label-form: invalid choice: 'free'"),
        (["--judge_source", "cot"], "unrecognized arguments: --judge_source"),
        (["--seed", "1"], "seed was 0 and is 1"),
        (["--verdicts", "5"], "verdicts of audit was 4 and is 5"),
        ([], "no OpenAI-compatible server answers"),
    ],
)
def test_wrong_options_are_one_line(done, capsys, more, message):
    open_again(done)
    assert main(command(NOBODY, done, *more)) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "is no parquet file here"),
        (b"PAR1 and more", "data.parquet"),
        ([{"question": "1+1=?"}], "has no column 'data_source'"),
        ([row(1, None), row(2, "")], "none of its 2 rows has a ground truth"),
        ([row(1, "Yes", "spark/pointwise")], "none of its 1 rows"),
        ([row(1, "2") | {"reward_model": "2"}], "none of its 1 rows"),
        ([row(1, "2") | {"prompt": [{"role": "user"}]}], "row 0"),
        ([row(1, "2") | {"prompt": []}], "row 0"),
        ([row(1, "2") | {"prompt": "1+1=?"}], "prompt must be a list of messages"),
        ([row(1, "2") | {"data_source": 3}], "data_source must be text, got 3"),
        ([row(1, "2") | {"data_source": None}], "data_source must be text"),
        ([row(1, "2") | {"extra_info": {"tolerance": "x"}}], "extra_info.tolerance must be a number"),
        ([row(1, "2") | {"extra_info": {"choices": 5}}], "row 0"),
        ([row(1, "2") | {"images": ["/no.png"]}], "/no.png does not exist"),
    ],
)
def test_data_that_cannot_be_audited(tmp_path, capsys, rows, message):
    data = tmp_path / "data.parquet"
    if isinstance(rows, bytes):
        data.write_bytes(rows)
    elif rows:
        pd.DataFrame(rows).to_parquet(data)
    assert main(command(NOBODY, data)) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not list((tmp_path / "out").glob("audit.*"))


def test_a_model_folder_is_served_only_when_something_is_open(done, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    (folder / "model.safetensors").touch()
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
    path = done.parent / "out/results.jsonl"
    path.write_text(path.read_text().replace('"model": "rule"', f'"model": "{folder.resolve()}"'))
    started = []
    monkeypatch.setattr("spark_verl.evaluation.server.Server.__enter__", lambda server: started.append(server) or 1 / 0)
    # Options may also stand between the two.
    line = [str(folder), "--output", str(done.parent / "out"), "--samples", "4", "--no_progress", str(done)]

    assert main(line) == 0 and not started
    open_again(done)
    assert main([*line, "--verdicts", "3"]) == 2 and not started
    with pytest.raises(ZeroDivisionError):
        main(line)
    assert len(started) == 1
