"""Nothing that data, a model folder or a rollout says runs as code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from spark_verl.checks.architecture import model_config

TOUCH = "__import__('pathlib').Path({file!r}).touch()"
SAYING = ["{code}", "\\text{{{code}}}", "1+1 if {code} else 2", "(1).__class__.__base__.__subclasses__() or {code}"]
CODE = """
import sys
from spark_verl.reward import algebra
for text in sys.argv[1:]:
    print(algebra.equal(text, "3"), algebra.equal("3", text))
"""


def test_an_answer_is_read_and_never_run(tmp_path):
    ran = tmp_path / "ran"
    code = TOUCH.format(file=str(ran))
    texts = [form.format(code=code) for form in SAYING]
    done = subprocess.run([sys.executable, "-c", CODE, *texts], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(texts)
    assert not ran.exists()


def test_a_model_folders_code_is_not_imported(tmp_path, model_folder):
    ran, folder = tmp_path / "ran", tmp_path / "model"
    folder.mkdir()
    config = json.loads(Path(model_folder, "config.json").read_text())
    config |= {"model_type": "of_its_own", "auto_map": {"AutoConfig": "its_code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "its_code.py").write_text(f"{TOUCH.format(file=str(ran))}\nclass Config: pass\n")
    with pytest.raises(ValueError):
        model_config(str(folder))
    assert not ran.exists()
