"""Shared fixtures: one small model folder and one data folder for the whole session, made by the real programs."""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from omegaconf import OmegaConf

from spark_verl.compat import bootstrap

ROOT = Path(__file__).resolve().parents[1]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# As run_scripts/setup_env.sh sets it: two test processes on two cores would spin for each other.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# Nor should each of them, and each of the runs they start, have a thread on every core (xdist sets the variable).
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    beside = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", bootstrap.cpu_environment(beside)["OMP_NUM_THREADS"])

# The same examples on every machine: a change is green or red for what it changes. What is new is looked for with
# `--hypothesis-profile explore`. How long an example takes says something about the machine, not about the code.
settings.register_profile("any_machine", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", parent=settings.get_profile("any_machine"), derandomize=False)
settings.load_profile("any_machine")


TWO_RANKS = {"test_next_step", "test_preemption", "test_resume", "test_two_nodes"}
"""The first three look at the same runs; all have twice the processes of others, too many for two at a time."""
TOGETHER = "two ranks"
LONGEST = {
    **{TOGETHER: 600, "test_grpo_equivalence": 200, "test_recipe_runs": 190, "test_spark_run": 200},
    **{"test_gpu_check": 150, "test_colocate_async": 140, "test_hostile_run": 130, "test_ending": 120},
    **{"test_verl_engine": 100, "test_verl_models": 90, "test_evaluate": 80, "test_self_reward": 70, "test_audit": 50},
    **{"test_team": 50, "test_recipes": 50, "test_examples": 50, "test_hostile": 40, "test_exit": 30},
}
"""Seconds of the files that take longest, roughly."""


def pytest_configure(config):
    """Test processes beside each other share what their programs are forked from."""
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        forked.share()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Hand out the tests of a file together, and those of :data:`TWO_RANKS` as if they were one, the longest first.

    xdist's own groups (``--dist loadgroup``) are without effect under pytest 9. It begins with the files that have the
    most tests: what has one or two and takes minutes would be last, when there is nothing to do beside it.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByRun(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return TOGETHER if Path(file).stem in TWO_RANKS else file

        def _assign_work_unit(self, node) -> None:
            longest = max(self.workqueue, key=lambda scope: LONGEST.get(Path(scope).stem, 0))
            self.workqueue.move_to_end(longest, last=False)
            super()._assign_work_unit(node)

    return ByRun(config, log)


@pytest.fixture(scope="session", autouse=True)
def yaml_is_read_once():
    """Some 400 tests compose a recipe, from 30 files, most of them verl's, and parsing is half of the time it takes."""
    read = OmegaConf.load

    @functools.cache
    def parsed(text: str):
        return OmegaConf.to_container(read(io.StringIO(text)))

    def load(file):
        return OmegaConf.create(parsed(file.read())) if hasattr(file, "read") else read(file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OmegaConf, "load", staticmethod(load))
        yield


def run_program(*command: str, timeout: float = 1800) -> None:
    """Run one of the project's programs; its output is in the assertion when it fails."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> str:
    """The digits model after a short warm start: the right architecture and formats, little skill needed.

    ``SPARK_TEST_MODEL`` names a folder to use instead, which saves its making while one works on the tests;
    ``SPARK_TEST_FOLDER`` one in which several test processes share it.
    """
    if os.environ.get("SPARK_TEST_MODEL"):
        return os.environ["SPARK_TEST_MODEL"]
    shared = os.environ.get("SPARK_TEST_FOLDER")
    folder = Path(shared) if shared else tmp_path_factory.mktemp("model")
    with FileLock(folder / "model.lock"):
        if not (folder / "model.done").exists():
            run_program("-m", "spark_verl.digits.build_model", "--output_dir", f"{folder}/model", *FEW_STEPS)
            (folder / "model.done").touch()
    return f"{folder}/model"


FEW_STEPS = ("--steps", "120")


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    """A small train/test/judge_test set of the digits task."""
    folder = tmp_path_factory.mktemp("data")
    sizes = ("--train_size", "64", "--test_size", "24", "--unlabelled_size", "24")
    run_program("data_preprocess/handwritten_digits.py", "--local_save_dir", str(folder), *sizes)
    return folder


@pytest.fixture(scope="session")
def tokenizer(model_folder):
    """The digits model's tokenizer: byte-level BPE with Qwen's special tokens."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture(scope="session")
def processor(model_folder):
    """The digits model's Qwen2.5-VL processor."""
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(model_folder)


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, driven by playwright; ``SPARK_BROWSER`` names another one than that in PATH.

    Not for a whole session: while it runs, asyncio has a loop in this thread, and other tests want one of their own.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra test)")
    names = (os.environ.get("SPARK_BROWSER", ""), "chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(
            "there is no Chromium on this machine (Debian: apt-get install chromium), or name it in SPARK_BROWSER"
        )
    with playwright.sync_playwright() as started:
        with started.chromium.launch(executable_path=found) as browser:
            yield browser
