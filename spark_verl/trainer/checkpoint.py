"""A checkpoint is whole, or it is none: sealed last, and looked at before a run goes on from it.

    begin ──► spark.json, every rank's shards, data.pt, verl's tracker ──► seal

verl notes the last checkpoint in a tracker file, once all others are written. The seal, inside the checkpoint, lists
every file with its size, so that one which is cut off or lost later is noticed, too. Light: imports no verl.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spark_verl.options import brief
from spark_verl.trainer.ending import RunEnded

SEAL = "complete.json"
"""``{"files": {path in the checkpoint: size in bytes}}``, written when everything else is on the disk."""
STATE_FILE = "spark.json"
"""What SPARK itself has to remember."""
TRACKER = "latest_checkpointed_iteration.txt"
"""Beside the checkpoints: the step that verl goes on from."""

_NAME = re.compile(r"global_step_(\d+)")


def steps(root: Path) -> list[int]:
    """The steps that have a folder, whole or not, ascending."""
    return sorted(int(match[1]) for path in root.glob("global_step_*") if (match := _NAME.fullmatch(path.name)))


def tracked(root: Path) -> int | None:
    """The step in verl's tracker; None where there is none.

    Raises:
        ValueError: The tracker holds no number: a kill came while verl wrote it.
    """
    tracker = root / TRACKER
    if not tracker.is_file():
        return None
    text = tracker.read_text(encoding="utf-8", errors="replace").strip()
    if not text.isdecimal():
        raise ValueError(f"{brief(tracker)} must hold the number of a step, got {brief(text)}")
    return int(text)


def track(root: Path, step: int) -> None:
    """Have verl go on from this step."""
    write_at_once(root / TRACKER, str(step))


def flaw(checkpoint: Path, trusted: bool = False) -> str | None:
    """What keeps a run from going on from a checkpoint; None where it is whole.

    One without a seal, of plain verl, say, is whole if verl's tracker names it: that is written when all is there.

    Args:
        checkpoint: Its folder.
        trusted: Take one without a seal for whole: its user says so.
    """
    if not (checkpoint / "actor").is_dir():
        return "has no folder actor"
    if (checkpoint / STATE_FILE).is_file() and _read(checkpoint / STATE_FILE) is None:
        return f"has a {STATE_FILE} that is no JSON"
    if not (checkpoint / SEAL).is_file():
        return None if trusted or _is_tracked(checkpoint) else "was not finished"
    sealed = _read(checkpoint / SEAL)
    if sealed is None or "files" not in sealed:
        return f"has a {SEAL} that cannot be read"
    for name, size in sealed["files"].items():
        file = checkpoint / name
        if not file.is_file():
            return f"lacks {brief(name)}"
        # What SPARK remembers is written anew when the step has ended.
        if name != STATE_FILE and file.stat().st_size != size:
            return f"has {file.stat().st_size:,} of {size:,} bytes of {brief(name)}"
    return None


@contextmanager
def writing(checkpoint: Path) -> Generator[None]:
    """Around everything that writes into a checkpoint: it is sealed at the end, and gone if something fails.

    Raises:
        RunEnded: It could not be written, for want of space, say.
    """
    try:
        _begin(checkpoint)
        yield
        _seal(checkpoint)
    except Exception as error:  # the ranks raise whatever torch, a file system and Ray have to say
        # Half a checkpoint is of no use, and its space may be what is missing.
        shutil.rmtree(checkpoint, ignore_errors=True)
        raise RunEnded(_failure(checkpoint, error)) from error


def write_state(checkpoint: Path, state: dict[str, Any]) -> None:
    """Write what SPARK itself has to remember."""
    write_at_once(checkpoint / STATE_FILE, json.dumps(state, indent=1))


def write_at_once(path: Path, text: str) -> None:
    """Write a file that is there with all of its text, or as it was before, whenever the power fails."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _begin(checkpoint: Path) -> None:
    checkpoint.mkdir(parents=True, exist_ok=True)
    # A step that is trained again after a resume has a checkpoint already, which stops being one here.
    if _is_tracked(checkpoint):
        (checkpoint.parent / TRACKER).unlink()
    (checkpoint / SEAL).unlink(missing_ok=True)


def _seal(checkpoint: Path) -> None:
    files = {}
    for path in sorted(path for path in checkpoint.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[path.relative_to(checkpoint).as_posix()] = path.stat().st_size
    write_at_once(checkpoint / SEAL, json.dumps({"files": files}, indent=1))


def _is_tracked(checkpoint: Path) -> bool:
    match = _NAME.fullmatch(checkpoint.name)
    try:
        return match is not None and tracked(checkpoint.parent) == int(match[1])
    except ValueError:
        return False


def _failure(checkpoint: Path, error: Exception) -> str:
    root = checkpoint.parent
    whole = [step for step in steps(root) if flaw(root / f"global_step_{step}") is None]
    left = f"the last whole checkpoint is global_step_{whole[-1]}" if whole else "there is no earlier checkpoint"
    try:
        free = f"{shutil.disk_usage(root).free / 2**20:,.0f} MiB are free there without it"
    except OSError as failed:
        free = str(failed)
    return f"{brief(checkpoint)} could not be written: {brief(_reason(error), limit=240)} ({free}); {left}"


def _reason(error: Exception) -> str:
    """The last line of what a rank's traceback ends with."""
    lines = str(getattr(error, "cause", None) or error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _read(path: Path) -> dict | None:
    """The object of a JSON file; None where it holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
