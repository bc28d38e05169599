"""What the docs show runs: shell, Python and YAML blocks, options, and paths."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import forked
import pyarrow.parquet as pq
import pytest
from doc_blocks import PAGES, ROOT, blocks, every, write_files
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from spark_verl.config.describe import options
from spark_verl.config.schema import SparkConfig
from spark_verl.data.check import check_file
from spark_verl.judge.templates import TemplateSet

TASK = ROOT / "docs" / "your_task.md"
SHELL = every("bash", "sh")
PYTHON = every("python")
YAML = every("yaml")

# ---------------------------------------------------------------------- shell


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_blocks_are_shell(block):
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def commands(text: str) -> list[str]:
    """The commands of a block, continued lines joined, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line]


PROGRAMS = {
    **{
        f"run_scripts/{name}.sh": f"spark_verl/{room}"
        for name, room in (("evaluate", "evaluation"), ("audit", "audit"))
    },
    "run_scripts/ask.sh": "spark_verl/evaluation",
    "run_scripts/gpu_check.sh": "measure/gpu_check",
    "run_scripts/ablate.sh": "measure/ablation",
    "run_scripts/run_tests.sh": "",
}
"""Scripts that hand their options on, and where these are parsed ("": pytest's)."""


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_programs_and_their_options_exist(block):
    for command in commands(block.text):
        for name in re.findall(r"\b(?:run_scripts|data_preprocess|measure|reward_fns)/[\w/]+\.(?:sh|py)\b", command):
            assert (ROOT / name).is_file(), f"{block}: {name}"
        for name in re.findall(r"python -m (spark_verl[\w.]*)", command):
            assert importlib.util.find_spec(name), f"{block}: {name}"
        known = options_of(command)
        if known is not None:
            given = set(re.findall(r"(?<=\s)(--[a-z][\w-]*)", command))
            assert given <= known | {"--help"}, f"{block}: {sorted(given - known)}"


def options_of(command: str) -> set[str] | None:
    """The options in the source of the program that a command calls; None for programs that are not ours."""
    script = re.search(r"(?:run_scripts|data_preprocess|measure)/[\w/]+\.(?:sh|py)", command)
    module = re.search(r"python -m (spark_verl[\w.]*)", command)
    if module:
        place = ROOT / module[1].replace(".", "/")
        files = [*place.glob("*.py")] if place.is_dir() else [place.with_suffix(".py")]
    elif script and script[0] in PROGRAMS and PROGRAMS[script[0]]:
        files = [ROOT / script[0], *(ROOT / PROGRAMS[script[0]]).glob("*.py")]
    elif script and script[0].endswith(".py"):
        files = [ROOT / script[0], ROOT / "spark_verl/data/convert.py"]
    else:
        return None
    if any("audit" in str(file) for file in files):
        files += (ROOT / "spark_verl/evaluation").glob("*.py")  # how to ask a model is the same
    return {name for file in files for name in re.findall(r"[\"'](--[a-z][\w-]*)", file.read_text(encoding="utf-8"))}


def test_overrides_in_shell_blocks_are_options():
    known = spark_options()
    for block in SHELL:
        for key in re.findall(r"\bspark\.([a-z_.]+)=", block.text):
            assert key in known, f"{block}: spark.{key}"


# ---------------------------------------------------------------------- text


def spark_options() -> set[str]:
    found = {".".join(one.path) for one in options(SparkConfig())}
    return found | {name.rpartition(".")[0] for name in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_that_are_named_exist(page):
    known = spark_options()
    for key in re.findall(r"`spark\.([a-z_][\w.]*)(?:=[^`]*)?`", page.read_text(encoding="utf-8")):
        assert key in known or key == "json", f"{page.name}: spark.{key}"


PLACES = "spark_verl|recipes|run_scripts|data_preprocess|reward_fns|measure|tests|requirements|docs"


# CHANGELOG.md is no page of these: it names what was.
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page):
    for name in re.findall(rf"`((?:{PLACES})/[\w./-]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


# ---------------------------------------------------------------------- Python and YAML


def test_python_blocks_are_known():
    """Each is run by a test below or by tests/demo, or is a file of the worked example or of inspect-ai's."""
    pages = [block.page.name for block in PYTHON if not block.file]
    assert sorted(pages) == ["clients.md", "clients.md", "data.md", "judge_data.md"]


def test_judge_data_example(tokenizer, capsys, monkeypatch):
    from transformers import AutoTokenizer

    [block] = [block for block in blocks(ROOT / "docs" / "judge_data.md") if block.language == "python"]
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda name: tokenizer)
    exec(compile(block.text, str(block), "exec"), {"__name__": "example"})
    shown = capsys.readouterr().out
    assert shown.startswith(("pairwise ", "pointwise ")) and "\nreflection 4 2 + 2?" in shown


def test_data_example(data_folder, tmp_path, monkeypatch):
    [block] = [block for block in blocks(ROOT / "docs" / "data.md") if block.language == "python"]
    rows = pq.read_table(data_folder / "test.parquet").slice(0, 4)
    pq.write_table(rows, tmp_path / "my.parquet")
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text, str(block), "exec"), {"__name__": "example"})
    assert check_file("plain.parquet").rows == 4


def test_yaml_blocks_compose(tmp_path, monkeypatch):
    assert YAML
    monkeypatch.chdir(ROOT)  # for file://recipes
    for number, block in enumerate(YAML):
        (tmp_path / f"recipe_{number}.yaml").write_text(block.text, encoding="utf-8")
    for number, block in enumerate(YAML):
        with initialize_config_dir(str(tmp_path), version_base=None):
            config = compose(f"recipe_{number}")
        assert config.spark.enable and config.trainer.v1.trainer_mode == "spark", str(block)
        assert OmegaConf.to_container(config.actor_rollout_ref.rollout, resolve=True)["n"] == 8


# ---------------------------------------------------------------------- the worked example


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Path:
    """The files of docs/your_task.md beside the checkout's recipes and scripts, with its data."""
    folder = tmp_path_factory.mktemp("task")
    for name in ("recipes", "run_scripts"):
        (folder / name).symlink_to(ROOT / name)
    assert len(write_files(TASK, folder)) == 6
    subprocess.run([sys.executable, "my_task/prepare.py", "my_task/data", "24"], cwd=folder, check=True)
    return folder


def test_its_data_can_be_used(task):
    found = check_file(f"{task}/my_task/data/train.parquet")
    assert (found.rows, found.total, found.unlabelled) == (24, 24, 0)


@pytest.mark.parametrize(
    ("response", "score", "acc", "answer", "status"),
    [
        (r"2-5=-3 \boxed{-3}", 1.0, 1.0, "-3", "ok"),
        (r"\boxed{-2}", 0.5, 0.0, "-2", "ok"),
        (r"\boxed{3}", 0.0, 0.0, "3", "ok"),
        (r"\boxed{many}", 0.0, 0.0, "many", "ok"),
        ("I do not know", 0.0, 0.0, None, "unparsable"),
    ],
)
def test_its_reward_function(task, response, score, acc, answer, status):
    space: dict = {}
    exec((task / "my_task" / "reward.py").read_text(encoding="utf-8"), space)
    found = space["compute_score"]("my_task", response, "-3", extra_info={})
    assert found == {"score": score, "acc": acc, "answer": answer, "status": status}


def test_its_words_are_complete(task):
    templates = TemplateSet.load(str(task / "my_task" / "words"))
    for objective, form in SparkConfig().used_label_forms():
        assert templates.count(objective, form) == 1


def test_its_run_can_be_started(task, model_folder):
    variables = {"DRY_RUN": "1", "DEVICE": "cpu", "MODEL_PATH": model_folder}
    done = subprocess.run(
        ["bash", "run_scripts/train.sh", "my_task/recipe.yaml"],
        cwd=task,
        env={**os.environ, **forked.environment(), **variables},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "policy sequences" in done.stdout and "has no effect" not in done.stderr
