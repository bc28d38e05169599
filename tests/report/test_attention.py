"""The section with advice: what a run's metrics call for, beside that of another run, and as text."""

from __future__ import annotations

from spark_verl.report.attention import attention
from spark_verl.report.frame import Run
from spark_verl.runs.advice import advise

WORD = "</td><script>alert(1)</script>"


def test_advice_of_the_metrics_is_in_the_section(make_run, logs):
    folder = make_run(steps=15, word=WORD)
    records = [(step, logs.step_metrics(step) | {"spark/policy/cut_rate": 0.4}) for step in range(1, 16)]
    logs.write_records(folder / "metrics.jsonl", records)
    run, other = Run(folder), Run(make_run("other", steps=15))
    advice = [one for one in advise(run.log) if one.topic == "responses"]
    assert [one.text for one in advice] == ["40% of the responses were cut off at the token limit."]
    section = attention([run, other])
    assert section and section.id == "attention"
    ((_, table),) = section.tables
    assert (run.name, advice[0].text, advice[0].remedy, advice[0].because) in table.rows
    assert not any(row[0] == other.name for row in table.rows)
    assert [name for name, text in section.findings if "calls for anything" in text] == [other.name]


def test_a_run_that_trained_nothing_has_no_such_section(make_run, logs):
    folder = make_run()
    logs.write_records(folder / "metrics.jsonl", [(0, logs.validation(0.5))])
    assert attention([Run(folder)]) is None
