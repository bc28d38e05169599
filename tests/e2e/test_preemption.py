"""A run that is taken away twice: SIGTERM in mid-step, then, after a resume, the death of its agent-loop worker.

What it leaves serves the tests of torn checkpoints, too.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from spark_verl.checks.resume import check_resume
from spark_verl.trainer import checkpoint
from spark_verl.trainer.checkpoint import SEAL
from spark_verl.trainer.ending import PREEMPTED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def test_a_signal_ends_the_run_between_two_steps_with_a_checkpoint(resumed):
    log, step = resumed.preempted.log, resumed.kept
    assert resumed.preempted.code == PREEMPTED, log
    assert step >= 2, "the step that was running when the signal came"
    assert "SIGTERM: the run stops after this step, with a checkpoint" in log
    last = log.strip().splitlines()[-12:]
    assert any(f"stopped by SIGTERM after step {step}: trainer.resume_mode=auto goes on from" in line for line in last)
    assert (resumed.folder / "checkpoints" / f"global_step_{step}" / SEAL).is_file()


def test_every_step_is_trained_once(resumed):
    lines = (resumed.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    steps = Counter(json.loads(line)["step"] for line in lines)
    assert list(steps) == list(range(1, len(steps) + 1)), "no hole between the two starts"
    assert set(steps.values()) == {1}
    assert all(values["training/epoch"] == (step - 1) // 3 for step, values in resumed.metrics.items())


def test_a_dead_worker_ends_the_run_and_is_named_last(resumed):
    resumed.lost.check(rf"agent_loop_worker_0_\w+ \(pid {resumed.worker} on \S+\) has died: ")


CUTS = {
    "a shard is half there": ("actor/model_world_size_2_rank_1.pt", b"PK", "has 2 of .* bytes of actor/model"),
    "a shard is not there": ("actor/optim_world_size_2_rank_1.pt", None, "lacks actor/optim"),
    "the data loader's state is empty": ("data.pt", b"", "has 0 of .* bytes of data.pt"),
    "what SPARK remembers is half there": ("spark.json", b'{"balance": {', "has a spark.json that is no JSON"),
    "killed before the seal": (SEAL, None, "was not finished"),
}


@pytest.fixture
def resume(resumed, tmp_path):
    """A copy of the run's last two checkpoints, and the check that chooses between them."""
    root = resumed.folder / "checkpoints"
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
