"""The command against a real HTTP server with a rule: a whole run, a resumed one, failures, and wrong command lines."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from rule_server import Reply, RuleServer

from spark_verl.evaluation.__main__ import main
from spark_verl.evaluation.results import open_results, read_results

PAPER = Path(__file__).resolve().parents[2] / "recipes/paper_evaluation.args"
SUM = re.compile(r"(\d+)\+\1=\?")


def solve(request: dict) -> Reply:
    """Knows the sums, and says Yes to every judge prompt."""
    if "<candidate>" in request["text"]:
        return Reply("\\boxed{Yes}", 0.9)
    return Reply(f"\\boxed{{{2 * int(SUM.search(request['text'])[1])}}}")


@pytest.fixture
def data(tmp_path):
    """Six sums, one judge question."""
    return write_sums(tmp_path / "sums.parquet", 6)


def write_sums(path, count: int):
    rows = [
        {
            "data_source": "sums",
            "prompt": [{"role": "user", "content": f"{i}+{i}=?"}],
            "reward_model": {"ground_truth": str(2 * i)},
            "extra_info": {"index": i, "label_form": ""},
        }
        for i in range(1, count + 1)
    ]
    judge = {"data_source": "spark/pointwise", "prompt": [{"role": "user", "content": "<candidate> 1+1=?"}]}
    rows.append(
        judge | {"reward_model": {"ground_truth": "No"}, "extra_info": {"index": count + 1, "label_form": "yes_no"}}
    )
    pd.DataFrame(rows).to_parquet(path)
    return path


def command(server, data, tmp_path, *more: str) -> list[str]:
    return [
        "--base-url", server.base_url, "--benchmark", str(data), "--output", str(tmp_path / "out"), "--no_progress",
        "--request_timeout", "1", "--max_retries", "1", "--resamples", "100", *more,
    ]  # fmt: skip


ALL = ("--strategy", "reflect", "majority", "best_of_n", "weighted_vote", "--samples", "2")


def test_a_whole_run_and_again(data, tmp_path, capsys):
    with RuleServer(solve) as server:
        assert main(command(server, data, tmp_path, *ALL)) == 0
        asked = len(server.requests)
        # 6 sums x (4 samples of majority, which hold those of the others, and 1 judgement), and the judge question
        # with 4 samples: a judge is not judged.
        assert asked == 6 * (4 + 1) + 4
        assert "| single        | 85.7 [" in capsys.readouterr().out
        assert main(command(server, data, tmp_path, *ALL)) == 0
        assert len(server.requests) == asked
        # Another option would be another measurement.
        assert main(command(server, data, tmp_path, *ALL, "--seed", "1")) == 2
        assert "seed was 0 and is 1" in capsys.readouterr().err
    figures = json.loads((tmp_path / "out/report.json").read_text())
    assert figures["benchmarks"]["sums"]["single"]["accuracy"]["value"] == pytest.approx(6 / 7)
    assert figures["benchmarks"]["sums"]["best_of_n"]["accuracy"]["value"] == 1
    assert figures["judge"]["sums: spark/pointwise"]["calibration"]["brier"] == pytest.approx(0.81)
    assert figures["judge"]["sums: own answers"]["separation"]["p_on_right"] == pytest.approx(0.9)
    assert (tmp_path / "out/reliability.png").exists() and (tmp_path / "out/own_answers_sums.png").exists()


def test_the_papers_options(tmp_path):
    """One sum, at first always wrong: two greedy reflections with a repetition penalty, and a penalty for all."""

    def rule(request: dict) -> Reply:
        if "<candidate>" in request["text"]:
            return Reply("\\boxed{No}", 0.1)
        return Reply("\\boxed{3}" if "<attempt>" not in request["text"] else "\\boxed{2}")

    data = write_sums(tmp_path / "sums.parquet", 1)
    limited = ("--limit", "1")
    with RuleServer(rule) as server:
        assert main(command(server, data, tmp_path, *limited, f"@{PAPER}", "--max_tokens", "64")) == 0
        asked = server.requests
        assert {
            (request["temperature"], request["repetition_penalty"], request["max_tokens"]) for request in asked
        } == {(0.0, 1.05, 64)}, "what stands after the file wins over it"
        # single's answer is majority's, too; reflect adds judgement, reflection, judgement, reflection
        assert len(asked) == 5
    header, records = read_results(tmp_path / "out/results.jsonl")
    assert [record["strategy"] for record in records] == ["single", "majority", "reflect"]
    assert [sample["kind"] for sample in records[-1]["samples"]] == ["answer", "reflection", "reflection"]
    assert header["common"]["repetition_penalty"] == 1.05 and header["strategies"]["reflect"]["rounds"] == 2
    report = (tmp_path / "out/report.md").read_text()
    assert "repetition_penalty 1.05" in report and "reflect: rounds 2, accept always" in report
    assert json.loads((tmp_path / "out/report.json").read_text())["options"] == header


def test_without_a_penalty_none_is_sent(data, tmp_path):
    with RuleServer(solve) as server:
        assert main(command(server, data, tmp_path)) == 0
        assert not any("repetition_penalty" in request for request in server.requests)


@pytest.mark.parametrize("fault", ["500", "hang", "torn", "400"])
def test_failures_are_counted_and_tried_again(data, tmp_path, capsys, fault):
    def rule(request):
        return Reply(fault=fault) if "3+3" in request["text"] and broken else solve(request)

    broken = [True]
    with RuleServer(rule) as server:
        assert main(command(server, data, tmp_path)) == 1
        assert "1 failed" in capsys.readouterr().err
        failed = [record for record in read_results(tmp_path / "out/results.jsonl")[1] if record["error"]]
        assert [record["id"] for record in failed] == ["sums/3"]
        broken.clear()
        before = len(server.requests)
        assert main(command(server, data, tmp_path)) == 0
        assert len(server.requests) == before + 1
    assert not any(record["error"] for record in read_results(tmp_path / "out/results.jsonl")[1])


@pytest.mark.parametrize("strategy", ["single", "majority"])
def test_a_server_that_is_gone_stops_the_run(tmp_path, capsys, strategy):
    data = write_sums(tmp_path / "sums.parquet", 60)
    with RuleServer(lambda request: Reply(fault="500")) as server:
        assert main(command(server, data, tmp_path, "--strategy", strategy, "--max_retries", "0")) == 2
        assert len(server.requests) < 200
    assert "it resumes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--benchmark", "nothing"], "neither a parquet file nor one of"),
        (["--benchmark", "missing.parquet"], "missing.parquet does not exist"),
        (["--limit", "0"], "--limit: must be at least 1, got 0"),
        (["--limit", "x"], "--limit: invalid int value: 'x'"),
        (["--samples", "0"], "--samples: must be at least 1, got 0"),
        (["--majority_samples", "0"], "--majority_samples: must be at least 1"),
        (["--judgements", "0"], "--judgements: must be at least 1"),
        (["--rounds", "0"], "--rounds: must be at least 1"),
        (["--accept", "never"], "--accept: invalid choice: 'never'"),
        (["--temperature", "9"], "--temperature: must be between 0 and 2, got 9"),
        (["--temperature", "-1"], "--temperature: must be between 0 and 2, got -1"),
        (["--temperature", "nan"], "--temperature: must be between 0 and 2, got nan"),
        (["--judge_temperature", "3"], "--judge_temperature: must be between 0 and 2"),
        (["--max_tokens", "0"], "--max_tokens: must be at least 1"),
        (["--repetition_penalty", "0"], "--repetition_penalty: must be above 0 and at most 2"),
        (["--benchmark", "x", "@nowhere.args"], "No such file or directory: 'nowhere.args'"),
        (["--top_p", "0"], "--top_p: must be above 0 and at most 1"),
        (["--concurrency", "0"], "--concurrency: must be at least 1"),
        (["--gpus", "0"], "--gpus: must be at least 1"),
        (["--server_args", "--x 'y"], "--server_args: invalid split value"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--images", "/nowhere.zip"], "images: /nowhere.zip does not exist"),
        (["--templates", "/nowhere"], "template folder '/nowhere' not found"),
        (["--served_model", "other"], "name one of them with --served_model"),
        (["some/model/folder"], "name either a model folder or --base-url"),
        (["--base-url", "http://127.0.0.1:9/v1"], "no OpenAI-compatible server answers"),
    ],
)
def test_wrong_command_lines_are_one_line_errors(data, tmp_path, capsys, arguments, message):
    with RuleServer(solve) as server:
        line = command(server, data, tmp_path)
        assert main([*line, *arguments] if arguments[0].startswith("-") else [*arguments, *line]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and error.startswith("error: ") and error.count("\n") == 0


def on_folder(model, data, tmp_path, *more: str) -> list[str]:
    return [str(model), "--benchmark", str(data), "--output", str(tmp_path / "out"), "--no_progress", *more]


@pytest.fixture
def never(monkeypatch):
    """No server may be started."""

    def start(server):
        raise AssertionError(f"a server was started: {server.command(0)}")

    monkeypatch.setattr("spark_verl.evaluation.server.Server.__enter__", start)


def answered_by_folder(model, data, tmp_path, answered: int) -> None:
    """Results of an evaluation of the model folder, with the first questions answered."""
    with RuleServer(solve) as server:
        assert main(command(server, data, tmp_path)) == 0
    path = tmp_path / "out/results.jsonl"
    header, *lines = path.read_text().splitlines()
    header = header.replace('"model": "rule"', f'"model": "{model.resolve()}"')
    path.write_text("\n".join([header, *lines[:answered], ""]))


def test_a_complete_evaluation_starts_no_server(never, model, data, tmp_path, capsys):
    answered_by_folder(model, data, tmp_path, 7)
    assert main(on_folder(model, data, tmp_path)) == 0
    captured = capsys.readouterr()
    assert "0 answers, 7 from an earlier start, 0 failed" in captured.err and "| single   | 85.7 [" in captured.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--seed", "1"], "seed was 0 and is 1"),
        (["--max_tokens", "9"], "max_tokens was 2048 and is 9"),
        (["--repetition_penalty", "1.05"], "repetition_penalty was 1.0 and is 1.05"),
        (["--benchmark", "BESIDE/other.parquet"], "other.parquet: neither|other.parquet does not exist"),
        (["--templates", "/nowhere"], "template folder '/nowhere' not found"),
        (["--tokenizer", "/nowhere"], "/nowhere has no tokenizer that can be loaded"),
    ],
)
def test_what_is_wrong_is_said_before_a_server_is_started(never, model, data, tmp_path, capsys, more, message):
    answered_by_folder(model, data, tmp_path, 3)
    assert main(on_folder(model, data, tmp_path, *more)) == 2
    error = capsys.readouterr().err
    assert re.search(message, error.splitlines()[-1]) and "Traceback" not in error


def test_changed_data_are_refused_before_a_server_is_started(never, model, data, tmp_path, capsys):
    answered_by_folder(model, data, tmp_path, 7)
    rows = pd.read_parquet(data)
    rows["reward_model"] = [{"ground_truth": "5"}, *rows["reward_model"][1:]]
    rows.to_parquet(data)
    assert main(on_folder(model, data, tmp_path)) == 2
    assert "the data has changed" in capsys.readouterr().err


def test_a_second_evaluation_leaves_the_first_one_alone(never, model, data, tmp_path, capsys):
    answered_by_folder(model, data, tmp_path, 3)
    (tmp_path / "out/server.log").write_text("of the first")
    before = (tmp_path / "out/results.jsonl").read_bytes()
    with open_results(tmp_path / "out/results.jsonl", {"common": {}, "strategies": {}}):
        assert main(on_folder(model, data, tmp_path)) == 2
    assert "is being written by another evaluation" in capsys.readouterr().err
    assert (tmp_path / "out/server.log").read_text() == "of the first"
    assert (tmp_path / "out/results.jsonl").read_bytes() == before


def test_another_model_behind_the_address_is_refused(model, data, tmp_path, capsys):
    answered_by_folder(model, data, tmp_path, 7)
    with RuleServer(solve) as server:
        assert main(command(server, data, tmp_path)) == 2
        assert server.requests == []
    assert "model was" in capsys.readouterr().err


def test_ground_truths_that_are_missing_are_counted(tmp_path, capsys, caplog):
    truths = ["2", "", None, "8"]
    rows = [{"problem": f"{i}+{i}=?", "answer": truth, "unique_id": str(i)} for i, truth in enumerate(truths, 1)]
    (tmp_path / "a.json").write_text(json.dumps([row | {"subject": "s", "level": 1} for row in rows]))
    with RuleServer(solve) as server:
        assert main(command(server, f"math500={tmp_path / 'a.json'}", tmp_path)) == 0
    assert "2 of 4 questions have no ground truth" in caplog.text
    figures = json.loads((tmp_path / "out/report.json").read_text())["benchmarks"]["math500"]["single"]
    assert (figures["accuracy"]["value"], figures["accuracy"]["count"]) == (1.0, 2)
    assert (figures["unverified"], figures["timeout"]) == (0.5, 0.0)
    assert "| unverified |" in capsys.readouterr().out


@pytest.mark.parametrize("truth", ["", None, [], [""], float("nan"), "\\boxed{}", {"value": 1}])
def test_a_benchmark_without_any_ground_truth_is_refused(tmp_path, capsys, truth):
    row = {"problem": "1+1=?", "answer": truth, "unique_id": "1", "subject": "s", "level": 1}
    (tmp_path / "a.json").write_text(json.dumps([row]))
    with RuleServer(solve) as server:
        assert main(command(server, f"math500={tmp_path / 'a.json'}", tmp_path)) == 2
        assert server.requests == []
    assert capsys.readouterr().err == "error: math500 has no questions with a ground truth\n"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder, "no model folder"),
        (lambda folder: folder / "nothing", "does not exist"),
        (lambda folder: folder / "sums.parquet", "is a file"),
    ],
)
def test_a_path_without_a_model(never, data, tmp_path, capsys, make, message):
    assert main(on_folder(make(tmp_path), data, tmp_path)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_serving_what_is_no_model_is_one_line(tmp_path):
    script = Path(__file__).resolve().parents[2] / "run_scripts/serve.sh"
    done = subprocess.run(["bash", script, tmp_path / "nothing"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "does not exist" in done.stderr
