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

import psutil

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
TIMELINE_COLUMNS = 60
# Processes below this many CPU seconds are counted, not listed.
SMALLEST_LISTED = 0.5


@dataclass
class Observed:
    """One process of the run."""

    pid: int
    name: str
    created: float
    samples: list[tuple[float, float]] = field(default_factory=list)  # (time, CPU seconds so far)
    peak_rss: int = 0

    @property
    def cpu_seconds(self) -> float:
        return self.samples[-1][1] if self.samples else 0.0


def process_name(process: psutil.Process) -> str:
    """Return what a person calls the process: Ray and vLLM rename theirs, the others go by script or module."""
    cmdline = process.cmdline()
    if not cmdline:
        return process.name()
    title = cmdline[0]
    if "::" in title:
        return title.split()[0]
    if Path(title).name.startswith("python"):
        for index, argument in enumerate(cmdline[1:], start=1):
            if argument == "-m" and index + 1 < len(cmdline):
                return cmdline[index + 1]
            if argument == "-c":
                return "python -c " + " ".join(cmdline[index + 1].split())[:20]
            if not argument.startswith("-"):
                return Path(argument).name
    return Path(title).name


class Sampler(threading.Thread):
    """Follows a process tree until stopped."""

    def __init__(self, root: int, interval: float) -> None:
        super().__init__(daemon=True)
        self.root, self.interval = psutil.Process(root), interval
        self.processes: dict[int, Observed] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(self.interval):
            try:
                tree = [self.root, *self.root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in tree:
                self._sample(process)

    def _sample(self, process: psutil.Process) -> None:
        try:
            with process.oneshot():
                times, rss, name = process.cpu_times(), process.memory_info().rss, process_name(process)
                seen = self.processes.setdefault(process.pid, Observed(process.pid, name, process.create_time()))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            return
        # Ray starts workers before it knows what they will be, and idles them afterwards.
        if not (name.startswith("ray::IDLE") or name == "default_worker.py"):
            name = name.partition(".")[0] if name.startswith("ray::") else name
            # A title read while the process is writing it is cut short.
            seen.name = seen.name if seen.name.startswith(name) else name
        seen.samples.append((time.time(), times.user + times.system))
        seen.peak_rss = max(seen.peak_rss, rss)


def read_imports(directory: Path, pid: int, until: float) -> tuple[list[dict], Counter]:
    """Return (outermost imports, CPU seconds by top-level package) of one process, up to a time."""
    path = directory / f"{pid}.jsonl"
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    lines = [line for line in lines if line["start"] <= until]
    packages = Counter()
    for line in lines:
        packages.update(line["self"])
    return lines, packages


def timeline(observed: Observed, start: float, end: float) -> str:
    """Draw one process's CPU use between two times."""
    width = (end - start) / TIMELINE_COLUMNS
    cells = []
    for column in range(TIMELINE_COLUMNS):
        left, right = start + column * width, start + (column + 1) * width
        inside = [(t, cpu) for t, cpu in observed.samples if left <= t < right]
        if not inside:
            cells.append(" ")
            continue
        before = [cpu for t, cpu in observed.samples if t < left]
        share = (inside[-1][1] - (before[-1] if before else 0.0)) / width
        cells.append("#" if share >= 0.5 else "+" if share >= 0.05 else ".")
    return "".join(cells)


def report(processes: list[Observed], traces: Path, start: float, end: float) -> dict:
    """Print the table and the timeline; return the same as plain data."""
    rows = []
    for observed in sorted(processes, key=lambda p: p.created):
        observed.samples = [(t, cpu) for t, cpu in observed.samples if t <= end]
        if not observed.samples:
            continue
        imports, packages = read_imports(traces, observed.pid, end)
        rows.append(
            {
                "name": observed.name,
                "pid": observed.pid,
                "start_s": max(0.0, observed.created - start),
                "imported_s": max(line["end"] for line in imports) - start if imports else None,
                "cpu_s": observed.cpu_seconds,
                "import_cpu_s": sum(packages.values()),
                "peak_rss_mb": observed.peak_rss / 2**20,
                "packages": dict(packages.most_common(6)),
                "outermost_imports": [
                    {"name": line["name"], "start_s": line["start"] - start, "wall_s": line["end"] - line["start"]}
                    for line in imports
                ],
                "timeline": timeline(observed, start, end),
            }
        )
    listed = [row for row in rows if row["cpu_s"] >= SMALLEST_LISTED]
    print(f"\n{'process':30} {'start':>6} {'imported':>8} {'cpu s':>6} {'imports':>7} {'MiB':>6}  own code of")
    for row in listed:
        imported = f"{row['imported_s']:8.1f}" if row["imported_s"] else " " * 8
        packages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["packages"].items() if seconds >= 0.1)
        print(
            f"{row['name'][:30]:30} {row['start_s']:6.1f} {imported} {row['cpu_s']:6.1f} {row['import_cpu_s']:7.1f} "
            f"{row['peak_rss_mb']:6.0f}  {packages}"
        )
    cpu, imports = sum(row["cpu_s"] for row in rows), sum(row["import_cpu_s"] for row in rows)
    cores = len(os.sched_getaffinity(0))
    print(f"{len(rows) - len(listed)} processes below {SMALLEST_LISTED} CPU s are not listed.\n")
    for row in listed:
        print(f"{row['name'][:30]:30} |{row['timeline']}|")
    wall = end - start
    print(
        f"\nstart-up: {wall:.1f} s on {cores} cores; {cpu:.1f} CPU s in {len(rows)} processes "
        f"({cpu / wall / cores:.0%} of the cores), {imports:.1f} of them imports"
    )
    return {"startup_s": wall, "cores": cores, "cpu_s": cpu, "import_cpu_s": imports, "processes": rows}


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-name", default="quickstart", help="Hydra primary config of spark_verl.main")
    parser.add_argument("--config-path", default=str(RECIPES), help="folder of the primary config")
    parser.add_argument("--until", default=r"step:1 - ", help="regular expression that ends start-up")
    parser.add_argument("--interval", type=float, default=0.25, help="seconds between samples")
    parser.add_argument("--json", type=Path, default=None, help="also write the table to this file")
    parser.add_argument("--log", type=Path, default=None, help="keep the command's output here")
    parser.add_argument("--no-imports", action="store_true", help="do not trace imports (no overhead at all)")
    parser.add_argument("--keep-running", action="store_true", help="let the command finish instead of ending it")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="Hydra overrides, or -- and a whole command")
    return parser.parse_args(argv)


def build_command(arguments: argparse.Namespace) -> list[str]:
    """Return the command to observe."""
    rest = arguments.rest
    if rest[:1] == ["--"]:
        return rest[1:]
    command = [sys.executable, "-m", "spark_verl.main"]
    if arguments.config_path:
        command += ["--config-path", str(Path(arguments.config_path).resolve())]
    if arguments.config_name:
        command += ["--config-name", arguments.config_name]
    return command + rest


def end_tree(pid: int, processes: list[Observed]) -> None:
    """End the command and whatever it has left behind (Ray's daemons outlive a killed driver for a while)."""
    remaining = []
    for observed in [Observed(pid, "", 0.0), *processes]:
        try:
            process = psutil.Process(observed.pid)
            if observed.created and abs(process.create_time() - observed.created) > 1:
                continue  # the number has been given to another process since
            process.terminate()
            remaining.append(process)
        except psutil.NoSuchProcess:
            continue
    for process in psutil.wait_procs(remaining, timeout=10)[1]:
        process.kill()


def main(argv: list[str] | None = None) -> int:
    arguments = parse_arguments(sys.argv[1:] if argv is None else argv)
    until = re.compile(arguments.until)
    with tempfile.TemporaryDirectory(prefix="import-trace-") as traces:
        environment = dict(os.environ)
        if not arguments.no_imports:
            tracer = str(Path(__file__).resolve().parent / "import_trace")
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, [tracer, os.environ.get("PYTHONPATH")]))
            environment["IMPORT_TRACE_DIR"] = traces
        command = build_command(arguments)
        print("observing:", " ".join(command), flush=True)
        start = time.time()
        child = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        sampler = Sampler(child.pid, arguments.interval)
        sampler.start()
        log = open(arguments.log, "w", encoding="utf-8") if arguments.log else None
        end = None
        for line in child.stdout:
            if log:
                log.write(f"{time.time() - start:8.2f} {line}")
                log.flush()
            if end is None and until.search(line):
                end = time.time()
                if not arguments.keep_running:
                    break
        sampler.stopping.set()
        sampler.join()
        observed = list(sampler.processes.values())
        if arguments.keep_running or end is None:
            child.wait()
        else:
            end_tree(child.pid, observed)
        if log:
            log.close()
        if end is None:
            print(f"the command ended (code {child.returncode}) before {arguments.until!r} appeared", file=sys.stderr)
            return 1
        result = report(observed, Path(traces), start, end)
        if arguments.json:
            arguments.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
