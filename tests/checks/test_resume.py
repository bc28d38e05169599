"""Which of the checkpoints that a run left is gone on from, and what is said about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from spark_verl.checks.resume import check_resume
from spark_verl.trainer import checkpoint

CASES = {
    "all whole": ("2 4", 4, 4, ""),
    "the last one is cut": ("2 4cut", 4, 2, "global_step_4 lacks data.pt: going on from "),
    "the last two are": (
        "2 4cut 6cut",
        6,
        2,
        "global_step_6 lacks data.pt, global_step_4 lacks data.pt: going",
    ),
    "killed while a later one was written": ("2 4open", 2, 2, "global_step_4 was not finished: going on from "),
    "killed between verl's tracker and the seal": ("2 4open", 4, 4, ""),
    "gone back on purpose": ("2 4 6", 4, 4, ""),
    "the tracker is half written": ("2 4", "", 4, "must hold the number of a step, got : going on from "),
    "the tracker is gone": ("2 4", None, 4, "no checkpoint was noted: going on from "),
    "the folder of the last one is gone": ("2", 4, 2, "global_step_4 is not there: going on from "),
    "killed while the first one was written": (
        "2open",
        None,
        None,
        "there is no earlier checkpoint: starting afresh",
    ),
    "nothing there": ("", None, None, ""),
}
REFUSED = {
    "all cut": (
        "2cut 4cut",
        4,
        "no checkpoint of .* is whole: global_step_4 lacks data.pt, global_step_2 lacks data.pt",
    ),
    "nothing to go by": ("4open", "", "must hold the number of a step, got , and no checkpoint beside it is whole"),
}


def make(root: Path, folders: str, tracker: int | str | None) -> OmegaConf:
    """A run's folder; "cut": a file is gone, "open": it was never sealed."""
    for word in folders.split():
        folder = root / f"global_step_{word.rstrip('cutopen')}"
        with checkpoint.writing(folder):
            (folder / "actor").mkdir()
            (folder / "data.pt").touch()
        if word.endswith("cut"):
            (folder / "data.pt").unlink()
        if word.endswith("open"):
            (folder / checkpoint.SEAL).unlink()
    if tracker is not None:
        (root / checkpoint.TRACKER).write_text(str(tracker))
    model = {"path": str(root / "nowhere")}
    trainer = {"resume_mode": "auto", "default_local_dir": str(root), "nnodes": 1, "n_gpus_per_node": 1}
    return OmegaConf.create({"trainer": trainer, "actor_rollout_ref": {"model": model}})


@pytest.mark.parametrize("mend", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_the_latest_whole_one_is_taken(tmp_path, capfd, case, mend):
    folders, tracker, expected, said = CASES[case]
    config = make(tmp_path, folders, tracker)
    check_resume(config, mend)
    error = capfd.readouterr().err
    assert said in error and len(error.splitlines()) == bool(said)
    if mend:
        assert checkpoint.tracked(tmp_path) == expected, "verl goes on from there"
    elif tracker is not None:
        assert (tmp_path / checkpoint.TRACKER).read_text() == str(tracker), "a dry run changes nothing"


@pytest.mark.parametrize("case", REFUSED)
def test_a_run_with_work_to_lose_is_not_started_afresh(tmp_path, case):
    folders, tracker, message = REFUSED[case]
    config = make(tmp_path, folders, tracker)
    with pytest.raises(ValueError, match=message) as caught:
        check_resume(config)
    assert len(str(caught.value).splitlines()) == 1
