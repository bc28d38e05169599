"""verl's file logger on top of what an earlier start of the run has written."""

from __future__ import annotations

import json

import pytest

CODE = """
from spark_verl.compat import prepare_metrics_file
from verl.utils import tracking
prepare_metrics_file(keep={keep})
prepare_metrics_file(keep={keep})
logger = tracking.FileLogger("project", "experiment")
logger.log({{"x": 2.0}}, step=2)
logger.finish()
result = True
"""


@pytest.mark.parametrize(
    ("before", "keep", "expected", "reason"),
    [
        (None, True, [2], "a first start"),
        ('{"step":1,"data":{}}\n', True, [1, 2], "a resume"),
        ('{"step":1,"data":{}}\n{"step":2,"da', True, [1, 2], "half a line, left by a kill"),
        ('{"step":1,"da', True, [2], "nothing but half a line"),
        ('{"step":1,"data":{}}\n', False, [2], "a run that is not to be resumed"),
    ],
)
def test_lines_are_kept(run_python, tmp_path, before, keep, expected, reason):
    file = tmp_path / "run" / "metrics.jsonl"
    if before is not None:
        file.parent.mkdir()
        file.write_text(before, encoding="utf-8")
    run_python(CODE.format(keep=keep), VERL_FILE_LOGGER_PATH=str(file))
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == expected, reason


def test_lines_are_kept_where_the_root_is_named(run_python, tmp_path):
    """``spark_verl.main`` leaves the file's name to verl then."""
    file = tmp_path / "project" / "experiment.jsonl"
    file.parent.mkdir()
    file.write_text('{"step":1,"data":{}}\n', encoding="utf-8")
    run_python(CODE.format(keep=True), VERL_FILE_LOGGER_ROOT=str(tmp_path))
    assert [json.loads(line)["step"] for line in file.read_text(encoding="utf-8").splitlines()] == [1, 2]
