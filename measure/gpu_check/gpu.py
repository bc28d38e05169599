"""What nvidia-smi says about the GPU; without one, nothing."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Generator
from pathlib import Path

from gpu_check.stages import end


@contextlib.contextmanager
def watched_memory(file: Path) -> Generator[None]:
    """Have the MiB in use written into a file, twice a second, while the block runs."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--loop-ms=500"]
    process = None
    with file.open("w", encoding="utf-8") as out, contextlib.suppress(FileNotFoundError):
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        if process:
            end(process)


def peak_mib(file: Path) -> int | None:
    """The largest number that :func:`watched_memory` wrote; None where there is none."""
    lines = file.read_text(encoding="utf-8").split() if file.is_file() else []
    return max((int(line) for line in lines if line.isdecimal()), default=None)


def machine() -> str:
    """Name, memory and driver of the first GPU."""
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return "no GPU"
    first = done.stdout.partition("\n")[0] if done.returncode == 0 else ""
    return first or "no GPU that nvidia-smi sees"
