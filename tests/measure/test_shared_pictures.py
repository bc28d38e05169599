"""``shared_pictures.py`` compares two ways to compute the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import shared_pictures
from gpu_check.sizes import TINY

from spark_verl.compat import bootstrap

MEASURE = Path(__file__).resolve().parents[2] / "measure"


def test_both_ways_give_the_same_and_one_sees_fewer_pictures() -> None:
    command = [sys.executable, str(MEASURE / "shared_pictures.py"), "--size", "tiny", "--device", "cpu"]
    # One micro-batch has all rows of at least one picture.
    limits = ["--questions", "3", "--samples", "4", "--tokens", "600", "--pairs", "1"]
    # With these it does not have to start itself anew.
    environment = {**os.environ, **bootstrap.cpu_environment()}
    found = subprocess.run([*command, *limits], env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    lines = re.findall(r"^\| ([\w-]+) \|.* (\S+) \| (\S+) \|$", found.stdout, re.MULTILINE)
    assert [name for name, *_ in lines] == ["log-probabilities", "gradients"], found.stdout
    for _, patches, apart in lines:
        assert 0.25 <= float(patches) <= 0.6 and float(apart) < 1e-6


def test_more_gpus_have_more_pictures_by_rows() -> None:
    alone, of_four = (shared_pictures.divided(TINY, gpus, 8, 4, 2) for gpus in (1, 4))
    assert alone[0] == 1 / 4 and alone[1] <= 5 / 16, "the rows of a picture stand together"
    assert 1 / 4 < of_four[0] <= of_four[1] <= 1
