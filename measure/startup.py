"""Where the seconds between a training command and its first step go, process by process.

    python measure/startup.py trainer.val_before_train=false      # the quickstart's run, on its data and model
    python measure/startup.py -- python -m verl.trainer.main_ppo ...      # any command

The command runs as usual, with two observers: a sampler reads the CPU time of every process of its tree, and a tracer
(``import_trace/sitecustomize.py``) makes each Python process note what it imports. When ``--until`` matches a line of
the output, start-up is over, and the command is ended. The default is verl's report of the first step: earlier signs,
such as its progress bar, appear while the agent-loop workers still import. Printed then:

- one row per process: when it started, when its last long import ended, CPU seconds, CPU seconds spent on imports,
  peak resident memory, and the packages whose own code took most of them;
- a timeline: ``#`` busy (at least half a core), ``+`` some CPU, ``.`` alive.

CPU seconds are the honest unit on a small machine: when ten processes share two cores, each one's wall time mostly
measures the other nine.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
TRACER = Path(__file__).resolve().parent / "import_trace"
TIMELINE_COLUMNS = 60
# Processes below this many CPU seconds are counted, not listed.
SMALLEST_LISTED = 0.5


@dataclass
class Observed:
    """What was seen of one process."""

    name: str
    samples: list[tuple[float, float]] = field(default_factory=list)
    """(time, CPU seconds so far)."""
    peak_rss: int = 0
    """Bytes."""


def process_name(process: psutil.Process) -> str:
    """What a person calls the process: Ray and vLLM rename theirs, the others go by script or module."""
    title, *arguments = process.cmdline() or [process.name()]
    if "::" in title:
        return title.split()[0]
    program = Path(title).name
    if program.startswith("python"):
        for argument, value in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
            if argument == "-m":
                return value
            if argument == "-c":
                return "python -c " + " ".join(value.split())[:20]
            if not argument.startswith("-"):
                return Path(argument).name
    return program


class Sampler(threading.Thread):
    """Follows a process tree until stopped."""

    def __init__(self, root: int, interval: float) -> None:
        super().__init__(daemon=True)
        self.root, self.interval = psutil.Process(root), interval
        self.processes: dict[psutil.Process, Observed] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        """Look at every process of the tree, again and again."""
        while not self.stopping.wait(self.interval):
            with contextlib.suppress(psutil.NoSuchProcess):
                for process in (self.root, *self.root.children(recursive=True)):
                    self._sample(process)

    def _sample(self, process: psutil.Process) -> None:
        with contextlib.suppress(psutil.NoSuchProcess), process.oneshot():
            times, rss, name = process.cpu_times(), process.memory_info().rss, process_name(process)
            seen = self.processes.setdefault(process, Observed(name))
            # Ray starts workers before it knows what they will be, and idles them afterwards.
            if not (name.startswith("ray::IDLE") or name == "default_worker.py"):
                name = name.partition(".")[0] if name.startswith("ray::") else name
                # A title read while the process is writing it is cut short.
                seen.name = seen.name if seen.name.startswith(name) else name
            seen.samples.append((time.time(), times.user + times.system))
            seen.peak_rss = max(seen.peak_rss, rss)


def timeline(samples: list[tuple[float, float]], start: float, end: float) -> str:
    """Draw one process's CPU use between two times."""
    times, seconds = np.array(samples).T
    edges = np.linspace(start, end, TIMELINE_COLUMNS + 1)
    shares = np.diff(np.interp(edges, times, seconds, left=0.0)) / (edges[1] - edges[0])
    alive = (edges[1:] > times[0]) & (edges[:-1] <= times[-1])
    return "".join(np.select([~alive, shares >= 0.5, shares >= 0.05], [" ", "#", "+"], "."))


def describe(process: psutil.Process, seen: Observed, traces: Path, start: float, end: float) -> dict[str, Any]:
    """One row of the table: what a process did between two times."""
    trace = traces / f"{process.pid}.jsonl"
    lines = [json.loads(text) for text in trace.read_text(encoding="utf-8").splitlines()] if trace.is_file() else []
    imports = [line for line in lines if line["start"] <= end]
    packages: Counter[str] = Counter()
    for line in imports:
        packages.update(line["self"])
    samples = [(at, cpu) for at, cpu in seen.samples if at <= end]
    return {
        "name": seen.name,
        "pid": process.pid,
        "start_s": max(0.0, process.create_time() - start),
        "imported_s": max(line["end"] for line in imports) - start if imports else None,
        "cpu_s": samples[-1][1],
        "import_cpu_s": sum(packages.values()),
        "peak_rss_mb": seen.peak_rss / 2**20,
        "packages": dict(packages.most_common(6)),
        "outermost_imports": [
            {"name": line["name"], "start_s": line["start"] - start, "wall_s": line["end"] - line["start"]}
            for line in imports
        ],
        "timeline": timeline(samples, start, end),
    }


def report(sampler: Sampler, traces: Path, start: float, end: float) -> dict[str, Any]:
    """Print the table and the timeline; return the same as plain data."""
    seen = sorted(sampler.processes.items(), key=lambda item: item[0].create_time())
    rows = [describe(process, each, traces, start, end) for process, each in seen if each.samples[0][0] <= end]
    listed = [row for row in rows if row["cpu_s"] >= SMALLEST_LISTED]
    print(f"\n{'process':30} {'start':>6} {'imported':>8} {'cpu s':>6} {'imports':>7} {'MiB':>6}  own code of")
    for row in listed:
        imported = f"{row['imported_s']:8.1f}" if row["imported_s"] else " " * 8
        packages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["packages"].items() if seconds >= 0.1)
        print(
            f"{row['name'][:30]:30} {row['start_s']:6.1f} {imported} {row['cpu_s']:6.1f} {row['import_cpu_s']:7.1f} "
            f"{row['peak_rss_mb']:6.0f}  {packages}"
        )
    print(f"{len(rows) - len(listed)} processes below {SMALLEST_LISTED} CPU s are not listed.\n")
    for row in listed:
        print(f"{row['name'][:30]:30} |{row['timeline']}|")
    wall, cores = end - start, len(os.sched_getaffinity(0))
    cpu, imports = sum(row["cpu_s"] for row in rows), sum(row["import_cpu_s"] for row in rows)
    print(
        f"\nstart-up: {wall:.1f} s on {cores} cores; {cpu:.1f} CPU s in {len(rows)} processes "
        f"({cpu / wall / cores:.0%} of the cores), {imports:.1f} of them imports"
    )
    return {"startup_s": wall, "cores": cores, "cpu_s": cpu, "import_cpu_s": imports, "processes": rows}


def end_all(processes: list[psutil.Process]) -> None:
    """End the command and whatever it has left behind (Ray's daemons outlive a killed driver for a while)."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # also where the number is another process's by now
            process.terminate()
    for process in psutil.wait_procs(processes, timeout=10)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def observe(arguments: argparse.Namespace, traces: Path) -> dict[str, Any]:
    """Run the command until its start-up is over.

    Raises:
        SystemExit: It ended before that.
    """
    environment = dict(os.environ)
    if not arguments.no_imports:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TRACER), os.environ.get("PYTHONPATH")]))
        environment["IMPORT_TRACE_DIR"] = str(traces)
    options = ["--config-path", str(Path(arguments.config_path).resolve()), "--config-name", arguments.config_name]
    command = [sys.executable, "-m", "spark_verl.main", *options, *arguments.rest]
    if arguments.rest[:1] == ["--"]:
        command = arguments.rest[1:]
    print("observing:", " ".join(command), flush=True)
    start, end = time.time(), None
    child = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    sampler = Sampler(child.pid, arguments.interval)
    sampler.start()
    with open(arguments.log or os.devnull, "w", encoding="utf-8") as log:
        for line in child.stdout:
            log.write(f"{time.time() - start:8.2f} {line}")
            log.flush()
            if end is None and re.search(arguments.until, line):
                end = time.time()
                if not arguments.keep_running:
                    break
    sampler.stopping.set()
    sampler.join()
    if end is not None and not arguments.keep_running:
        end_all([sampler.root, *sampler.processes])
    child.wait()
    if end is None:
        sys.exit(f"the command ended (code {child.returncode}) before {arguments.until!r} appeared")
    return report(sampler, traces, start, end)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-name", default="quickstart", help="Hydra primary config of spark_verl.main")
    parser.add_argument("--config-path", default=str(RECIPES), help="folder of the primary config")
    parser.add_argument("--until", default=r"step:1 - ", help="regular expression that ends start-up")
    parser.add_argument("--interval", type=float, default=0.25, help="seconds between samples")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    parser.add_argument("--log", type=Path, help="keep the command's output here")
    parser.add_argument("--no-imports", action="store_true", help="do not trace imports (no overhead at all)")
    parser.add_argument("--keep-running", action="store_true", help="let the command finish instead of ending it")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="Hydra overrides, or -- and a whole command")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="import-trace-") as traces:
        result = observe(arguments, Path(traces))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
