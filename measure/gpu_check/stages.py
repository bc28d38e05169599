"""Runs what the check consists of: each stage a process with a log, within the time that is left."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from runs import BENCHMARKS

from gpu_check.arms import SIGMA
from gpu_check.sizes import Size
from spark_verl.compat import bootstrap

PAUSE_S = 2.0
"""Between two looks at how far a stage is."""
TAIL = 15
"""Lines of a failed stage's log that are shown."""
GRACE_S = 15.0
"""For a stage to end what it has started by itself."""


class Stages:
    """Runs one stage after the other.

    Args:
        folder: For the logs.
        size: Responses are as long as it says.
        device: ``gpu`` or ``cpu``.
        limit: Seconds for all of them; None for no limit.

    Attributes:
        failed: ``{stage: reason}`` of those that failed or were left out.
    """

    def __init__(self, folder: Path, size: Size, device: str, limit: float | None) -> None:
        self.failed: dict[str, str] = {}
        self._folder, self._limit, self._started = folder, limit, time.monotonic()
        own = {
            # Agent loops and rewards of the check are imported in Ray's processes.
            "PYTHONPATH": os.pathsep.join(filter(None, [str(BENCHMARKS), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            "HF_HUB_OFFLINE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "VLLM_NO_USAGE_STATS": "1",
            "SPARK_BENCH_MEDIAN": str(size.median),
            "SPARK_BENCH_SIGMA": str(SIGMA),
        }
        self._environment = {**os.environ, **own, **(bootstrap.cpu_environment() if device == "cpu" else {})}

    def say(self, text: str) -> None:
        """Print a line with the seconds so far."""
        print(f"[{time.monotonic() - self._started:4.0f}s] {text}", flush=True)

    def fail(self, name: str, reason: str) -> None:
        """Note why a stage failed or was left out."""
        self.failed[name] = reason
        self.say(f"{name}: {reason}")

    def run(
        self,
        name: str,
        command: list[str],
        expected_s: float = 0,
        progress: Callable[[], str] = str,
        **variables: str,
    ) -> bool:
        """Run a stage; whether it ended well.

        Args:
            name: Of the stage and its log.
            command: What to run.
            expected_s: With less time left it is not started.
            progress: How far it is, in words; said when they have changed.
            variables: Of its environment.
        """
        began, log = time.monotonic(), self.log(name)
        left = None if self._limit is None else self._limit - (began - self._started)
        if left is not None and left < expected_s:
            self.fail(name, f"left out: it takes about {expected_s:.0f} s, and {max(0.0, left):.0f} s are left")
            return False
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command, env={**self._environment, **variables}, stdout=file, stderr=subprocess.STDOUT
            )
            try:
                self._wait(process, math.inf if left is None else left, progress)
                reason = f"exit code {process.returncode}" if process.returncode else ""
            except subprocess.TimeoutExpired:
                reason = "did not end in time"
            finally:
                end(process)
        if reason:
            self.fail(name, f"{reason}, see {log}")
            print("\n".join(self.output(name).splitlines()[-TAIL:]), flush=True)
        else:
            self.say(f"{name}: done in {time.monotonic() - began:.0f} s")
        return not reason

    def _wait(self, process: subprocess.Popen, left: float, progress: Callable[[], str]) -> None:
        end, said = time.monotonic() + left, progress()
        while (now := time.monotonic()) < end:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=min(PAUSE_S, end - now))
                return
            if (text := progress()) != said:
                said = text
                self.say(text)
        raise subprocess.TimeoutExpired(process.args, left)

    def log(self, name: str) -> Path:
        """Where a stage's output goes."""
        return self._folder / f"{name}.log"

    def output(self, name: str) -> str:
        """What a stage has printed."""
        return self.log(name).read_text(encoding="utf-8", errors="replace")


def end(process: subprocess.Popen) -> None:
    """End a process and all that it has started; nothing happens where it has ended by itself."""
    if process.poll() is not None:
        return
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=GRACE_S)
    for member in alive:
        member.kill()
    process.wait()
