"""The command against a real HTTP server with a rule: a whole run, a resumed one, failures, and wrong command lines."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from rule_server import Reply, RuleServer

from spark_verl.evaluation.__main__ import main
from spark_verl.evaluation.results import read_results

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
        (["--limit", "0"], "--limit must be at least 1"),
        (["--samples", "0", "--strategy", "best_of_n"], "must be at least 1"),
        (["--temperature", "9"], "--temperature must be between 0 and 2"),
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


def test_a_folder_without_a_model(data, tmp_path, capsys):
    assert main([str(tmp_path), "--benchmark", str(data), "--output", str(tmp_path / "out")]) == 2
    assert "no model folder" in capsys.readouterr().err
