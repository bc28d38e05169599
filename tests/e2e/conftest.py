"""Real runs of ``python -m spark_verl.main`` (verl, Ray, vLLM, FSDP2 on CPU), shared by the tests that look at them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import forked
import psutil
import pytest
from kill_drill import kill_all

from spark_verl.runs.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[2]
STALL_S = 900
"""A run of which nothing was heard for so long hangs. How long it takes in all says something about the machine."""
STARTED: list[subprocess.Popen] = []
"""Every run that was started since the last look."""


@dataclass
class Run:
    """A finished run's folder and what it wrote there."""

    folder: Path

    @property
    def metrics(self) -> dict[int, dict]:
        return read_metrics(self.folder / "metrics.jsonl")

    @property
    def log(self) -> str:
        return (self.folder / "train.log").read_text(encoding="utf-8", errors="replace")

    def rollouts(self, step: int) -> list[dict]:
        """The dumped rows of a step."""
        lines = (self.folder / "rollouts" / f"{step}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def start(folder: Path, module: str, overrides: list[str], *, alone: bool = False) -> subprocess.Popen:
    """Start a training command with the quickstart's recipe in a session of its own.

    ``alone``: with nothing imported, as users do. All of its processes are then its children's children.
    """
    python, variables = (sys.executable, {}) if alone else (forked.python(), forked.environment())
    command = [python, "-m", module, "--config-path", str(ROOT / "recipes"), "--config-name", "quickstart"]
    return _launch(folder, [*command, f"trainer.default_local_dir={folder}/checkpoints"], overrides, variables)


def start_script(folder: Path, script: str, overrides: list[str], variables: dict[str, str]) -> subprocess.Popen:
    """Start one of run_scripts/ in a session of its own."""
    command = ["bash", str(ROOT / "run_scripts" / script)]
    return _launch(folder, command, overrides, forked.environment() | variables)


def _launch(folder: Path, command: list[str], overrides: list[str], variables: dict[str, str]) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    own = {"HF_HUB_OFFLINE": "1", "VERL_FILE_LOGGER_PATH": str(folder / "metrics.jsonl")}
    dumps = [f"trainer.rollout_data_dir={folder}/rollouts", f"trainer.validation_data_dir={folder}/validation"]
    with (folder / "train.log").open("a") as log:
        process = subprocess.Popen(
            [*command, *dumps, *overrides],
            cwd=folder,
            env={**os.environ, **own, **variables},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    STARTED.append(process)
    return process


@pytest.fixture(scope="module", autouse=True)
def nothing_runs_on() -> Iterator[None]:
    """A run that a failed test left behind would take the machine from every test after it."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            kill_all(process)


def finish(process: subprocess.Popen, folder: Path) -> Run:
    """Wait for a run to end well."""
    wait_for(lambda: process.poll() is not None, process, folder, may_end=True)
    run = Run(folder)
    assert process.returncode == 0, f"exit code {process.returncode}; end of the log:\n{run.log[-6000:]}"
    return run


def heard(folder: Path) -> list[tuple[str, int]]:
    """What a run has written so far: every file's size."""
    return sorted((str(path), path.stat().st_size) for path in folder.rglob("*") if path.is_file())


def wait_for(condition: Callable[[], bool], process: subprocess.Popen, folder: Path, *, may_end: bool = False) -> None:
    """Wait until ``condition`` holds while the run goes on; one that has fallen silent is killed."""
    last, since = heard(folder), time.monotonic()
    while not condition():
        assert may_end or process.poll() is None, f"the run ended too early:\n{Run(folder).log[-6000:]}"
        if (now := heard(folder)) != last:
            last, since = now, time.monotonic()
        if time.monotonic() - since > STALL_S:
            kill_all(process)
            raise AssertionError(f"nothing was heard of the run for {STALL_S} s:\n{Run(folder).log[-6000:]}")
        time.sleep(0.5)


def merge(run: Run, target: Path) -> None:
    """Make a Hugging Face folder of a run's last checkpoint, as its owner would."""
    done = subprocess.run(
        ["bash", str(ROOT / "run_scripts" / "merge_checkpoint.sh"), str(run.folder / "checkpoints"), str(target)],
        env={**os.environ, **forked.environment(), "DEVICE": "cpu"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def monkeypatch_module():
    """pytest's monkeypatch for a whole module."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="session")
def runner() -> SimpleNamespace:
    """The functions above, for tests that make runs of their own."""
    functions = (start, start_script, finish, kill_all, wait_for, wait_for_steps, member, lose, merge)
    return SimpleNamespace(**{each.__name__: each for each in functions})


@pytest.fixture(scope="session")
def small(model_folder, data_folder) -> list[str]:
    """Overrides that make the quickstart's recipe a matter of seconds per step."""
    return [
        f"actor_rollout_ref.model.path={model_folder}",
        f"data.train_files={data_folder}/train.parquet",
        f"data.val_files=[{data_folder}/test.parquet]",
        "data.train_batch_size=4",
        "actor_rollout_ref.actor.ppo_mini_batch_size=4",
        "actor_rollout_ref.rollout.n=4",
        "actor_rollout_ref.rollout.max_num_seqs=32",
        "trainer.val_before_train=false",
        "trainer.test_freq=-1",
        "trainer.save_freq=-1",
    ]


@pytest.fixture(scope="session")
def data_with_a_bad_row(tmp_path_factory, data_folder) -> Path:
    """12 training rows, three steps of 4; the last one's prompt is longer than the engine allows, so sampling fails."""
    import datasets

    rows = datasets.load_dataset("parquet", data_files=str(data_folder / "train.parquet"))["train"].select(range(12))

    def spoil(row, index):
        if index == 11:
            row["prompt"][-1]["content"] += " Please." * 400
        return row

    file = tmp_path_factory.mktemp("bad_row") / "train.parquet"
    rows.map(spoil, with_indices=True).to_parquet(file)
    return file


@pytest.fixture(scope="session")
def spark_run(tmp_path_factory, small, data_with_a_bad_row) -> Run:
    """Three SPARK steps with every group giving judge and reflection prompts; validation and checkpoint at the end."""
    folder = tmp_path_factory.mktemp("spark")
    overrides = [
        f"data.train_files={data_with_a_bad_row}",
        # The check before the run would refuse the bad row: what is looked at is what happens to it in a run.
        "spark.check_rows=0",
        "data.shuffle=false",
        f"reward.custom_reward_function.path={Path(__file__).with_name('raising_reward.py')}",
        "trainer.total_training_steps=3",
        "trainer.test_freq=3",
        "trainer.save_freq=3",
        "spark.judge_prompts_per_group=1.0",
        "spark.reflection_prompts_per_group=1.0",
        "spark.pointwise.share_in_unanimous=1.0",
        "spark.pointwise.cot_share=1.0",
        "spark.pairwise.cot_share=1.0",
        "spark.reflection.cot_share=1.0",
        "spark.pointwise.weight=0.5",
    ]
    return finish(start(folder, "spark_verl.main", [*small, *overrides]), folder)


@pytest.fixture(scope="session")
def scripted(tmp_path_factory, small) -> list[str]:
    """Overrides: two ranks, judge prompts sampled a step late, and responses that follow from the prompt alone."""
    loops = tmp_path_factory.mktemp("loops") / "agent_loops.yaml"
    loops.write_text("- name: scripted\n  _target_: scripted_agent.ScriptedAgentLoop\n", encoding="utf-8")
    return [
        *small,
        "trainer.n_gpus_per_node=2",
        "data.train_max_samples=12",
        "trainer.total_epochs=1000",
        "trainer.total_training_steps=1000",
        "trainer.save_freq=1",
        # A validation between a step and the next one.
        "trainer.test_freq=3",
        "trainer.resume_mode=auto",
        f"actor_rollout_ref.rollout.agent.agent_loop_config_path={loops}",
        "actor_rollout_ref.rollout.agent.default_agent_loop=scripted",
        # The old log-probabilities are the actor's: nobody sampled these responses.
        "algorithm.rollout_correction.bypass_mode=false",
        "spark.judge_step=next",
        "spark.judge_prompts_per_group=1.0",
        "spark.reflection_prompts_per_group=1.0",
        # A judge prompt with a number of samples of its own.
        "spark.reflection.n=3",
    ]


@pytest.fixture(scope="session")
def with_scripts() -> Iterator[None]:
    """The scripted agent loop can be imported by the runs' processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "measure"), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory, scripted, with_scripts) -> Run:
    """Four steps without a pause; three are an epoch."""
    folder = tmp_path_factory.mktemp("unbroken")
    overrides = [*scripted, "trainer.total_training_steps=4", "trainer.save_freq=4"]
    return finish(start(folder, "spark_verl.main", overrides), folder)


@dataclass
class Ended:
    """How a run ended that was not left to end by itself."""

    log: str
    code: int
    seconds: float

    @property
    def last(self) -> str:
        """The last lines."""
        return "\n".join(self.log.strip().splitlines()[-3:])

    def check(self, cause: str) -> None:
        """The run ended soon, and its last lines name the cause (a regular expression) and say what to do."""
        assert self.code == 1, self.log
        # A hang, not a slow machine: less than a minute on two idle cores.
        assert self.seconds < 600
        assert re.search(rf"^spark_verl: {cause}.*; start the same command again to go on from", self.last, re.M), (
            self.last
        )


@dataclass
class Lost(Run):
    """A run that lost a part of itself.

    Attributes:
        lost: How it ended.
    """

    lost: Ended


def lose(process: subprocess.Popen, folder: Path, by: Callable[[], object]) -> Lost:
    """Take a part of a run away from it, and wait for its end."""
    return Lost(folder, end(process, folder, by))


def end(process: subprocess.Popen, folder: Path, by: Callable[[], object]) -> Ended:
    """Do something to a run that ends it, and wait for that."""
    log, began = folder / "train.log", time.monotonic()
    before = log.stat().st_size
    by()
    wait_for(lambda: process.poll() is not None, process, folder, may_end=True)
    said = log.read_bytes()[before:].decode(errors="replace")
    return Ended(said, process.returncode, time.monotonic() - began)


def wait_for_steps(number: int, process: subprocess.Popen, folder: Path) -> None:
    """Wait until so many steps have been told of."""
    metrics = folder / "metrics.jsonl"
    wait_for(
        lambda: metrics.is_file() and len(metrics.read_text(encoding="utf-8").splitlines()) >= number, process, folder
    )


def member(name: str, process: subprocess.Popen, folder: Path) -> psutil.Process:
    """The run's process whose title has this name, or the first of them."""
    found: list[psutil.Process] = []

    def seen() -> bool:
        # Ray writes an actor's title anew for every call (a look in that moment finds none); others end meanwhile.
        family = set(psutil.Process(process.pid).children(recursive=True))
        every = psutil.process_iter(["cmdline"])
        found[:] = [each for each in every if each in family and name in " ".join(each.info["cmdline"] or ())]
        return bool(found)

    wait_for(seen, process, folder)
    return found[0]


@dataclass
class TakenAway(Lost):
    """One that was preempted in its second step, went on, and lost a worker after its fourth.

    Attributes:
        preempted: How its first part ended.
        kept: Step of the checkpoint that the first part left.
        worker: The process id of the worker.
    """

    preempted: Ended
    kept: int
    worker: int


@pytest.fixture(scope="session")
def resumed(tmp_path_factory, scripted, with_scripts) -> TakenAway:
    """The same taken away twice: SIGTERM in mid-step, then, after a resume, the death of its agent-loop worker."""
    folder = tmp_path_factory.mktemp("resumed")
    # No checkpoint is due: the one that is there afterwards was written because of the signal.
    first = start(folder, "spark_verl.main", [*scripted, "trainer.save_freq=-1"])
    wait_for_steps(1, first, folder)
    preempted = end(first, folder, lambda: first.send_signal(signal.SIGTERM))
    (kept,) = [int(path.name.removeprefix("global_step_")) for path in (folder / "checkpoints").glob("global_step_*")]

    second = start(folder, "spark_verl.main", scripted, alone=True)
    # Step 4's checkpoint is there when step 5 is told of.
    wait_for_steps(5, second, folder)
    worker = member("SparkWorker", second, folder)
    lost = end(second, folder, worker.kill)
    return TakenAway(folder, lost, preempted, kept, worker.pid)
