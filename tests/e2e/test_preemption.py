"""One run that is taken away twice: SIGTERM in mid-step, then, after a resume, the death of its agent-loop worker.

What it leaves serves the tests of torn checkpoints, too.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace

import psutil
import pytest
from omegaconf import OmegaConf

from spark_verl.checks.resume import check_resume
from spark_verl.runs.metrics import read_metrics
from spark_verl.trainer import checkpoint
from spark_verl.trainer.checkpoint import SEAL
from spark_verl.trainer.ending import PREEMPTED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


@pytest.fixture(scope="module")
def taken_away(tmp_path_factory, small, runner):
    folder = tmp_path_factory.mktemp("preempted")
    overrides = [
        *small,
        # A step is an epoch: every checkpoint lies exactly at an epoch's end.
        "data.train_max_samples=4",
        "trainer.total_training_steps=1000",
        "trainer.total_epochs=1000",
        "trainer.resume_mode=auto",
        "spark.judge_prompts_per_group=1.0",
        "spark.reflection_prompts_per_group=1.0",
    ]
    metrics = folder / "metrics.jsonl"

    def lines() -> int:
        return len(metrics.read_text(encoding="utf-8").splitlines()) if metrics.is_file() else 0

    def end(process: subprocess.Popen, by: Callable[[], object]) -> SimpleNamespace:
        """End a run, and say how it ended."""
        log, began = folder / "train.log", time.monotonic()
        start = log.stat().st_size
        by()
        runner.wait_for(lambda: process.poll() is not None, process, folder, may_end=True)
        said = log.read_bytes()[start:].decode(errors="replace")
        return SimpleNamespace(log=said, code=process.returncode, seconds=time.monotonic() - began)

    # No checkpoint is due: the one that is there afterwards was written because of the signal.
    first = runner.start(folder, "spark_verl.main", [*overrides, "trainer.save_freq=-1"])
    runner.wait_for(lambda: lines() >= 1, first, folder)
    preempted = end(first, lambda: first.send_signal(signal.SIGTERM))
    kept, done = [path.name for path in (folder / "checkpoints").glob("global_step_*")], lines()

    second = runner.start(folder, "spark_verl.main", [*overrides, "trainer.save_freq=1"])
    runner.wait_for(lambda: lines() >= done + 2, second, folder)

    workers: list[psutil.Process] = []

    def seen() -> bool:
        # Ray writes an actor's title anew for every call: a look in that very moment finds none.
        family = psutil.Process(second.pid).children(recursive=True)
        workers[:] = [process for process in family if "SparkWorker" in " ".join(process.cmdline())]
        return bool(workers)

    runner.wait_for(seen, second, folder)
    (worker,) = workers
    lost = end(second, worker.kill)
    return SimpleNamespace(folder=folder, preempted=preempted, kept=kept, lost=lost, worker=worker.pid)


def test_a_signal_ends_the_run_between_two_steps_with_a_checkpoint(taken_away):
    log = taken_away.preempted.log
    assert taken_away.preempted.code == PREEMPTED, log
    (name,) = taken_away.kept
    step = name.removeprefix("global_step_")
    assert int(step) >= 2, "the step that was running when the signal came"
    assert "SIGTERM: the run stops after this step, with a checkpoint" in log
    last = log.strip().splitlines()[-12:]
    assert any(f"stopped by SIGTERM after step {step}: trainer.resume_mode=auto goes on from" in line for line in last)
    assert (taken_away.folder / "checkpoints" / name / SEAL).is_file()


def test_every_step_is_trained_once(taken_away):
    records = (taken_away.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = Counter(json.loads(line)["step"] for line in records)
    assert list(steps) == list(range(1, len(steps) + 1)), "no hole between the two starts"
    assert set(steps.values()) == {1}
    epochs = read_metrics(taken_away.folder / "metrics.jsonl")
    assert all(values["training/epoch"] == step - 1 for step, values in epochs.items())


def test_a_dead_worker_ends_the_run_and_is_named_last(taken_away):
    log = taken_away.lost.log
    assert taken_away.lost.code == 1, log
    # A hang, not a slow machine: less than a minute on two idle cores.
    assert taken_away.lost.seconds < 600
    # Among them may be what Ray still had to hand on of its processes' output.
    last = "\n".join(log.strip().splitlines()[-12:])
    assert re.search(rf"agent_loop_worker_0_\w+ \(pid {taken_away.worker} on \S+\) has died: ", last), last
    assert "start the same command again to go on from the last checkpoint" in last


CUTS = {
    "a shard is half there": ("actor/model_world_size_1_rank_0.pt", b"PK", "has 2 of .* bytes of actor/model"),
    "a shard is not there": ("actor/optim_world_size_1_rank_0.pt", None, "lacks actor/optim"),
    "the data loader's state is empty": ("data.pt", b"", "has 0 of .* bytes of data.pt"),
    "what SPARK remembers is half there": ("spark.json", b'{"balance": {', "has a spark.json that is no JSON"),
    "killed before the seal": (SEAL, None, "was not finished"),
}


@pytest.fixture
def resume(taken_away, tmp_path):
    """A copy of the run's last two checkpoints, and the check that chooses between them."""
    root = taken_away.folder / "checkpoints"
    # The death may have come while a later one was written.
    *_, older, latest = [s for s in checkpoint.steps(root) if checkpoint.flaw(root / f"global_step_{s}") is None]
    for step in (older, latest):
        shutil.copytree(root / f"global_step_{step}", tmp_path / f"global_step_{step}")
    checkpoint.track(tmp_path, latest)
    config = OmegaConf.load(root / "config.yaml")
    config.trainer.default_local_dir = str(tmp_path)
    return SimpleNamespace(check=lambda: check_resume(config), root=tmp_path, older=older, latest=latest)


def cut(resume: SimpleNamespace, step: int, name: str, content: bytes | None) -> None:
    file = resume.root / f"global_step_{step}" / name
    file.unlink() if content is None else file.write_bytes(content)


def test_a_whole_checkpoint_is_gone_on_from(resume, capfd):
    resume.check()
    assert checkpoint.tracked(resume.root) == resume.latest
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("case", CUTS)
def test_a_torn_checkpoint_is_passed_over_for_an_older_one(resume, capfd, case):
    name, content, flaw = CUTS[case]
    cut(resume, resume.latest, name, content)
    if name == SEAL:  # verl notes the step when all of its files are there
        checkpoint.track(resume.root, resume.older)
    resume.check()
    assert checkpoint.tracked(resume.root) == resume.older
    said = rf"global_step_{resume.latest} {flaw}.*: going on from .*global_step_{resume.older}\n"
    assert re.search(said, capfd.readouterr().err)


def test_where_none_is_whole_the_run_does_not_start_afresh_by_itself(resume):
    for step in (resume.older, resume.latest):
        cut(resume, step, "data.pt", b"")
    with pytest.raises(ValueError, match="no checkpoint of .* is whole: global_step_.*resume_mode=disable"):
        resume.check()
