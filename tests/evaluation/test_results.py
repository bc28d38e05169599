"""The results file survives kills and refuses what would mix two measurements."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spark_verl.evaluation.results import ResultsError, open_results, read_results

OPTIONS = {"common": {"model": "m", "seed": 0}, "strategies": {"single": {}}}


def line(number: int, error: str | None = None, strategy: str = "single") -> dict:
    return {"benchmark": "b", "id": f"ü{number}", "strategy": strategy, "digest": "d", "error": error}


def write(path, count: int) -> None:
    with open_results(path, OPTIONS) as results:
        for number in range(count):
            results.write(line(number))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 10_000))
def test_a_file_cut_anywhere_is_continued(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    path.unlink(missing_ok=True)
    write(path, 5)
    whole = path.read_bytes()
    path.write_bytes(whole[: cut % (len(whole) + 1)])
    with open_results(path, OPTIONS) as results:
        for number in range(5):
            if not results.done(("b", f"ü{number}", "single"), "d"):
                results.write(line(number))
    assert path.read_bytes() == whole
    assert len(read_results(path)[1]) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"common": {"model": "n", "seed": 0}, "strategies": {"single": {}}}, "model was 'm' and is 'n'"),
        ({"common": {"model": "m", "seed": 0, "top_p": 1}, "strategies": {"single": {}}}, "top_p was None and is 1"),
        ({"common": OPTIONS["common"], "strategies": {"single": {"x": 1}}}, "x of single was None and is 1"),
    ],
)
def test_changed_options_are_refused(tmp_path, options, message):
    path = tmp_path / "results.jsonl"
    write(path, 1)
    before = path.read_bytes()
    with pytest.raises(ResultsError, match=message), open_results(path, options):
        pass
    assert path.read_bytes() == before


def test_strategies_may_be_added_and_then_stay_as_they_are(tmp_path):
    path = tmp_path / "results.jsonl"
    write(path, 1)
    with open_results(path, {**OPTIONS, "strategies": {"majority": {"samples": 4}}}) as results:
        results.write(line(0, strategy="majority"))
    changed = {**OPTIONS, "strategies": {"majority": {"samples": 8}}}
    with pytest.raises(ResultsError, match="samples of majority was 4 and is 8"), open_results(path, changed):
        pass
    options, records = read_results(path)
    assert options["strategies"] == {"single": {}, "majority": {"samples": 4}}
    assert len(records) == 2


def test_failures_are_not_done_and_the_last_line_counts(tmp_path):
    path = tmp_path / "results.jsonl"
    with open_results(path, OPTIONS) as results:
        results.write(line(0, "timeout"))
        assert not results.done(("b", "ü0", "single"), "d")
        results.write(line(0))
        assert results.done(("b", "ü0", "single"), "d")
    assert [record["error"] for record in read_results(path)[1]] == [None]


def test_a_changed_question_is_refused(tmp_path):
    path = tmp_path / "results.jsonl"
    write(path, 1)
    with open_results(path, OPTIONS) as results, pytest.raises(ResultsError, match="the data has changed"):
        results.done(("b", "ü0", "single"), "other")


def test_one_writer_at_a_time(tmp_path):
    path = tmp_path / "results.jsonl"
    with open_results(path, OPTIONS), pytest.raises(ResultsError, match="another evaluation"):
        with open_results(path, OPTIONS):
            pass
    with open_results(path, OPTIONS):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(line(0)) + "\n", "no options"),
        ('{"format": 99, "options": {}}\n', "format 99"),
        ('{"format": 1, "options": {}}\nnonsense\n{}\n', "line 2 is damaged"),
        ('{"format": 1, "options": {}}\n[]\n', "line 2 is damaged"),
        ("", "no options"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "results.jsonl"
    path.write_text(content)
    with pytest.raises(ResultsError, match=message):
        read_results(path)
