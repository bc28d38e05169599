"""Runs the check, prints a table, and says pass or fail with reasons: exit code 0 or 1.

    bash run_scripts/gpu_check.sh                     # one GPU with 70 GB: the arms spark and verl
    bash run_scripts/gpu_check.sh --quickstart        # and the digits task, before and after
    bash run_scripts/gpu_check.sh --size tiny         # any GPU: does it work? says nothing about speed
    bash run_scripts/gpu_check.sh --only spark verl barrier policy   # other arms than spark and verl
    bash run_scripts/gpu_check.sh --set actor_rollout_ref.rollout.gpu_memory_utilization=0.3   # any Hydra override
    DRY_RUN=1 bash run_scripts/gpu_check.sh           # no GPU: composes every arm, prints its memory budget

Stages: versions and attention kernels; model and data; the arms (arms.py says what each is); the quickstart; the table.
The output folder gets report.md, results.json, and a log and the metrics of each arm.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from runs import ROOT

from gpu_check import data
from gpu_check.arms import LOOPS, NAMES, START_UP_S, USUAL, VERL, Arm, arms
from gpu_check.gpu import machine, peak_mib, watched_memory
from gpu_check.results import Findings, goals, passed, report
from gpu_check.sizes import SIZES
from gpu_check.stages import Stages
from spark_verl.compat import forking
from spark_verl.runs.metrics import Steps, read_metrics

ON_CPU_SEED = 1
"""One of the seeds whose accuracies on a CPU are known (``results.ON_CPU``)."""
PYTHON = forking.python()
"""An interpreter, unless the environment names a server to fork from, as the tests on a CPU do."""


def prepare(stages: Stages, folder: Path, size: str, steps: int, weights: bool) -> bool:
    """Make data, agent loops and model; whether all went well."""
    data.write(folder / "data", SIZES[size], steps)
    (folder / "loops.yaml").write_text(LOOPS, encoding="utf-8")
    command = [PYTHON, "-m", "gpu_check.model", str(folder / "model"), "--size", size]
    return stages.run("model", command if weights else [*command, "--no-weights"])


def train(stages: Stages, folder: Path, name: str, arm: Arm, found: Findings) -> None:
    """Run an arm and read its metrics; not after ``spark``, with which it is compared, has failed."""
    if "spark" in stages.failed:
        stages.fail(name, "left out: spark failed")
        return
    metrics = folder / f"{name}.jsonl"
    metrics.unlink(missing_ok=True)
    command = [PYTHON, *arm.command, f"trainer.default_local_dir={folder}/runs/{name}"]

    def trained() -> Steps:
        steps = read_metrics(metrics) if metrics.is_file() else {}
        return {step: values for step, values in steps.items() if "timing_s/step" in values}

    def progress() -> str:
        return f"{name}: {len(trained())} of {arm.steps} steps"

    least = START_UP_S if found.size.timed else 0
    ended_well = stages.run(name, command, least, progress, VERL_FILE_LOGGER_PATH=str(metrics))
    if steps := trained():
        # Of an arm that has failed, too: what it has measured is true.
        found.steps[name] = steps
    if ended_well and len(steps) < arm.steps:
        stages.fail(name, f"{len(steps)} of {arm.steps} steps are in {metrics}")


def compose(stages: Stages, folder: Path, name: str, arm: Arm) -> None:
    """Compose an arm's config, check it, and print its memory budget (verl's own program has none)."""
    command = [PYTHON, *arm.command, f"trainer.default_local_dir={folder}/runs/{name}"]
    if stages.run(name, [*command, *["--cfg", "job"] * (arm.module == VERL)], DRY_RUN="1"):
        _, title, budget = stages.output(name).partition("memory per GPU")
        print(title + budget.partition("\n  per step")[0], flush=True)


def check(arguments: argparse.Namespace) -> bool:
    """Every stage; whether all that was asked for is as it has to be."""
    folder, size = arguments.output.resolve(), SIZES[arguments.size]
    folder.mkdir(parents=True, exist_ok=True)
    stages = Stages(folder, size, arguments.device, arguments.seconds)
    every = arms(size, folder, arguments.device, arguments.steps, arguments.set)
    dry = os.environ.get("DRY_RUN") == "1"
    asked = (NAMES if dry else USUAL) if arguments.only is None else arguments.only
    chosen = {name: every[name] for name in NAMES if name in asked}
    if dry:
        if prepare(stages, folder, arguments.size, arguments.steps, weights=False):
            for name, arm in chosen.items():
                compose(stages, folder, name, arm)
        return not stages.failed
    found = Findings(size, stages.failed)
    memory, installation = folder / "memory.csv", folder / "installation.json"
    with watched_memory(memory):
        with ThreadPoolExecutor(max_workers=1) as beside:
            command = [PYTHON, "-m", "gpu_check.installation", str(installation)]
            looked = beside.submit(stages.run, "installation", command)
            prepared = bool(chosen) and prepare(stages, folder, arguments.size, arguments.steps, weights=True)
        if looked.result():
            found.installation = json.loads(installation.read_text(encoding="utf-8"))
            for name, arm in chosen.items() if prepared else ():
                train(stages, folder, name, arm, found)
        if arguments.quickstart:
            script = ["bash", str(ROOT / "run_scripts" / "quickstart.sh")]
            where = {"DEVICE": arguments.device, "OUTPUT_DIR": f"{folder}/quickstart", "SPARK_PYTHON": PYTHON}
            if stages.run("quickstart", script, START_UP_S, SEED=str(ON_CPU_SEED), **where):
                summary = (folder / "quickstart" / "summary.json").read_text(encoding="utf-8")
                found.quickstart = json.loads(summary)
    found.peak_mib = peak_mib(memory)
    text = report(found, machine())
    (folder / "report.md").write_text(text, encoding="utf-8")
    results = {**asdict(found), "figures": found.figures(), "goals": [goal._asdict() for goal in goals(found)]}
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(f"\n{text}\n{folder}/report.md")
    return passed(found)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="gpu_check.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = Path(os.environ.get("OUTPUT_DIR") or ROOT / "outputs" / "gpu_check")
    parser.add_argument("--output", type=Path, default=default, help="folder for everything (or OUTPUT_DIR)")
    parser.add_argument("--size", choices=tuple(SIZES), default="full", help="of model and batches")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="cpu: with --size tiny, without a GPU")
    parser.add_argument("--only", nargs="*", choices=NAMES, help="arms to run; nothing behind it: none")
    parser.add_argument("--steps", type=int, default=4, help="per arm; the first is not counted where there are others")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="Hydra overrides of every arm")
    parser.add_argument("--quickstart", action="store_true", help="the digits task as well, before and after")
    parser.add_argument("--seconds", type=float, help="what does not fit into this time is left out, and fails")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        parser.error("--steps must be at least 1")
    sys.exit(0 if check(arguments) else 1)


if __name__ == "__main__":
    main()
