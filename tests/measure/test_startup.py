"""``measure/startup.py`` sees processes, their children and their imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "measure" / "startup.py"

PROGRAM = """
import subprocess, sys, time
code = "import sklearn, time; print(flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
import sympy
child.stdout.readline()
time.sleep(2.5)
print("step:1 - ready", flush=True)
time.sleep(60)
"""


def test_it_tells_who_imported_what_and_ends_the_run(tmp_path):
    out, log = tmp_path / "table.json", tmp_path / "run.log"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--json", out, "--log", log, "--interval", "0.1", "--", sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    table = json.loads(out.read_text())
    assert 2.5 <= table["startup_s"] < 190
    packages = [process["packages"] for process in table["processes"]]
    assert any("sympy" in names for names in packages) and any("sklearn" in names for names in packages)
    assert "start-up:" in done.stdout
    assert "step:1 - ready" in log.read_text()


def test_a_command_that_fails_is_said_to_have_failed():
    command = [sys.executable, SCRIPT, "--no-imports", "--", sys.executable, "-c", "raise SystemExit(3)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    assert "code 3" in done.stderr
