"""A checkpoint is whole or none: whenever writing it ends, and whatever becomes of its files."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spark_verl.trainer import checkpoint
from spark_verl.trainer.checkpoint import SEAL, STATE_FILE, TRACKER, flaw, track, tracked, writing
from spark_verl.trainer.ending import RunEnded

FILES = {"actor/model.pt": b"weights", "actor/huggingface/config.json": b"{}", "data.pt": b"data"}


def fill(folder, files=FILES) -> None:
    checkpoint.write_state(folder, {"balance": 1})
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.fixture
def folder(tmp_path):
    """A whole checkpoint of step 5."""
    with writing(tmp_path / "global_step_5"):
        fill(tmp_path / "global_step_5")
    track(tmp_path, 5)
    return tmp_path / "global_step_5"


def test_a_whole_one_has_no_flaw(folder):
    assert flaw(folder) is None
    (folder / "merged").mkdir()
    (folder / "merged" / "model.safetensors").touch()
    assert flaw(folder) is None, "what is added later is none of its files"
    checkpoint.write_state(folder, {"balance": "of the end of the step, longer than the one before"})
    assert flaw(folder) is None
    assert checkpoint.steps(folder.parent) == [5]


@pytest.mark.parametrize("name", [*FILES, STATE_FILE])
def test_every_file_counts(folder, name):
    whole = (folder / name).read_bytes()
    for size in range(len(whole)):
        (folder / name).write_bytes(whole[:size])
        assert flaw(folder), f"{size} bytes"
    (folder / name).unlink()
    assert name in flaw(folder)


@pytest.mark.parametrize("seal", [b"", b"[]", b"{}", b'{"files"', b"\x00\x00"])
def test_a_seal_that_says_nothing(folder, seal):
    (folder / SEAL).write_bytes(seal)
    assert flaw(folder) == f"has a {SEAL} that cannot be read"


def write_and_die(target: Path, moment: int) -> bool:
    """Write a checkpoint of step 5 in a process that dies at its nth look at a file; whether it lived to the end."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    looks = itertools.count(1)

    def look(event: str, arguments: tuple) -> None:
        if event in ("open", "os.mkdir", "os.rename", "os.remove") and str(target.parent) in str(arguments):
            if next(looks) == moment:
                os._exit(9)

    sys.addaudithook(look)
    with writing(target):
        checkpoint.write_state(target, {"balance": 2})
        (target / "actor").mkdir(exist_ok=True)
        (target / "actor" / "model.pt").write_bytes(b"weights of another training")
        (target / "data.pt").write_bytes(b"data")
        (target.parent / TRACKER).write_text("5")  # as verl does
    os._exit(0)


@pytest.mark.parametrize("first", ["none", "old"])
def test_a_kill_at_any_moment_leaves_a_whole_one_or_none(tmp_path, first):
    """Also where the step has a checkpoint already: never is a mixture of two trainings taken for whole."""
    ends = []
    for moment in itertools.count(1):
        target = tmp_path / str(moment) / "global_step_5"
        target.parent.mkdir()
        if first == "old":
            with writing(target):
                fill(target)
            track(target.parent, 5)
        lived = write_and_die(target, moment)
        if flaw(target):
            ends.append("none")
        else:
            remembered = json.loads((target / STATE_FILE).read_text())["balance"]
            weights = (target / "actor" / "model.pt").read_bytes()
            assert weights == (b"weights" if remembered == 1 else b"weights of another training"), moment
            ends.append("old" if remembered == 1 else "new")
        if lived:
            break
    assert ends[0] == first and ends[-1] == "new"
    assert len(ends) > 8
    assert ends == sorted(ends, key=["old", "none", "new"].index), "whole once the last file is there, and from then on"


@pytest.mark.parametrize("text", ["", "five", "\x00\x00"])
def test_a_torn_tracker_says_so(tmp_path, text):
    (tmp_path / TRACKER).write_text(text)
    with pytest.raises(ValueError, match="must hold the number of a step"):
        tracked(tmp_path)


def test_one_of_plain_verl_is_whole_if_its_tracker_says_so(folder):
    (folder / SEAL).unlink()
    assert flaw(folder) is None
    track(folder.parent, 4)
    assert flaw(folder) == "was not finished"
    assert flaw(folder, trusted=True) is None


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]).returncode:
        pytest.skip("mounting is not allowed here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint_before(small_disk):
    first, second = small_disk / "global_step_5", small_disk / "global_step_6"
    with writing(first):
        fill(first)
    track(small_disk, 5)
    with pytest.raises(RunEnded) as ended, writing(second):
        fill(second, {"actor/model.pt": b"x" * 2**20})
    said = str(ended.value)
    assert "global_step_6 could not be written: [Errno 28] No space left on device" in said
    assert "MiB are free there without it); the last whole checkpoint is global_step_5" in said
    assert len(said.splitlines()) == 1 and len(said) < 500
    assert flaw(first) is None and tracked(small_disk) == 5
    assert not second.exists(), "its space is free again"


def test_a_full_disk_costs_a_dump_not_the_run(small_disk, caplog):
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

    from spark_verl.trainer.dump import write_if_possible

    def dump(step: int, text: str) -> None:
        columns = ([text], ["out"], ["1"], [1.0], {}, str(small_disk / "rollouts"), step)
        write_if_possible(PPOTrainerSync._write_generations, *columns)

    dump(1, "in")
    dump(2, "x" * 2**20)
    dump(3, "in")
    assert sorted(path.name for path in (small_disk / "rollouts").iterdir()) == ["1.jsonl", "3.jsonl"]
    said = [record.message for record in caplog.records if record.name == "spark_verl.trainer.dump"]
    assert said == ["step 2 is not dumped: [Errno 28] No space left on device"]


def test_metrics_wait_for_space(small_disk, monkeypatch):
    """In a process of its own: verl's file logger is replaced for good."""
    code = f"""
import json, pathlib
from spark_verl.compat import prepare_metrics_file
from verl.utils import tracking
prepare_metrics_file(keep=True)
file, rest = pathlib.Path({str(small_disk / "metrics.jsonl")!r}), pathlib.Path({str(small_disk / "rest")!r})
file.write_text('{{"step":0,"data":{{}}}}\\n')
logger = tracking.FileLogger("p", "e")
for step in range(1, 9):
    if step == 3:
        with open(rest, "wb", buffering=0) as full:
            try:
                while full.write(b"x" * 4096): pass
            except OSError: pass
    if step == 7:
        rest.unlink()
    logger.log({{"x": "y" * 3000}}, step=step)
    lines = file.read_bytes()
    assert lines.endswith(b"\\n"), "whole lines at every moment"
    print(len(lines.splitlines()))
logger.finish()
assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == list(range(9))
"""
    environment = os.environ | {"VERL_FILE_LOGGER_PATH": str(small_disk / "metrics.jsonl")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "line(s) are not written yet" in done.stderr
    counts = [int(line) for line in done.stdout.splitlines() if line.isdecimal()]
    assert counts[-1] == 9 and counts[5] < 7
