"""``shared_pictures.py`` compares two ways to compute the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

MEASURE = Path(__file__).resolve().parents[2] / "measure"


def test_both_ways_give_the_same_and_one_sees_fewer_pictures() -> None:
    command = [sys.executable, str(MEASURE / "shared_pictures.py"), "--size", "tiny", "--device", "cpu"]
    # One micro-batch has all rows of at least one picture.
    limits = ["--questions", "3", "--samples", "4", "--tokens", "600", "--pairs", "1"]
    found = subprocess.run([*command, *limits], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    lines = re.findall(r"^\| ([\w-]+) \|.* (\S+) \| (\S+) \|$", found.stdout, re.MULTILINE)
    assert [name for name, *_ in lines] == ["log-probabilities", "gradients"], found.stdout
    for _, patches, apart in lines:
        assert 0.25 <= float(patches) <= 0.6 and float(apart) < 1e-6
