"""Kill a run again and again, have it go on each time, and compare it with one that was never killed.

    python measure/kill_drill.py 20 --output drill --model MODEL --data DATA

``MODEL`` and ``DATA`` are those of the quickstart (``spark_verl.digits.build_model``,
``data_preprocess/handwritten_digits.py``). Each kill is a SIGKILL to every process of the run at a random moment of
start-up, sampling, update, checkpoint writing or validation, in turn. Responses follow from the prompts
(``scripted_agent.py``), so that everything that both runs do can be compared.

The drill itself can be killed and started again with the same folder: it goes on. In the folder are the two runs,
``kills.jsonl`` (one line a kill) and, at the end, ``drill.json`` with what was compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from spark_verl.runs import dumps
from spark_verl.runs.metrics import read_metrics
from spark_verl.trainer import checkpoint

ROOT = Path(__file__).resolve().parents[1]
PHASES = ("start-up", "sampling", "update", "checkpoint", "validation")
STALL_S = 1800
"""A run of which nothing was heard for so long hangs."""
SAVE_EVERY = 2
TOLERANCE = 1e-3
"""Relative: order within a batch is by random ids, so sums differ in their last digits, and training magnifies that."""
COMPARED = ("actor/pg_loss", "actor/kl_loss", "actor/grad_norm", "critic/advantages/mean", "critic/score/mean")


class Drill:
    """The two runs and what is known of them.

    Args:
        folder: Where everything is kept.
        model, data: Of both runs.
        steps: Training steps of both.
    """

    def __init__(self, folder: Path, model: Path, data: Path, steps: int) -> None:
        self.folder, self.steps = folder.absolute(), steps
        self.folder.mkdir(parents=True, exist_ok=True)
        loops = self.folder / "agent_loops.yaml"
        loops.write_text("- name: scripted\n  _target_: scripted_agent.ScriptedAgentLoop\n", encoding="utf-8")
        self.overrides = [
            f"actor_rollout_ref.model.path={model.absolute()}",
            f"data.train_files={data.absolute()}/train.parquet",
            f"data.val_files=[{data.absolute()}/test.parquet]",
            *("data.train_batch_size=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4"),
            *("actor_rollout_ref.rollout.n=4", "actor_rollout_ref.rollout.max_num_seqs=32"),
            f"actor_rollout_ref.rollout.agent.agent_loop_config_path={loops}",
            "actor_rollout_ref.rollout.agent.default_agent_loop=scripted",
            "algorithm.rollout_correction.bypass_mode=false",
            *("spark.judge_prompts_per_group=1.0", "spark.reflection_prompts_per_group=1.0"),
            *(f"trainer.total_training_steps={steps}", "trainer.total_epochs=1000", "trainer.val_before_train=false"),
            *(f"trainer.save_freq={SAVE_EVERY}", f"trainer.test_freq={SAVE_EVERY}", "trainer.resume_mode=auto"),
        ]

    def start(self, name: str) -> subprocess.Popen:
        """Start one of the runs, or have it go on."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "spark_verl.main", "--config-path", str(ROOT / "recipes")]
        command += ["--config-name", "quickstart", *self.overrides, f"trainer.default_local_dir={folder}"]
        command += [f"trainer.rollout_data_dir={folder}/rollouts", f"trainer.validation_data_dir={folder}/validation"]
        path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
        with (folder / "train.log").open("a") as log:
            return subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def metrics(self, name: str) -> dict[int, dict[str, float]]:
        """What a run has logged so far."""
        file = self.folder / name / "metrics.jsonl"
        return read_metrics(file) if file.is_file() else {}

    def finish(self, name: str) -> None:
        """Have a run go on to its end, unless it has got there.

        Raises:
            SystemExit: It failed, or hangs.
        """
        if max(self.metrics(name), default=0) < self.steps or self._last(name) < self.steps:
            process = self.start(name)
            self.wait(process, name, lambda: process.poll() is not None)
            if process.returncode:
                sys.exit(f"{name} ended with exit code {process.returncode}: see {self.folder / name}/train.log")

    def _last(self, name: str) -> int:
        try:
            return checkpoint.tracked(self.folder / name) or 0
        except ValueError:  # killed while verl wrote it
            return 0

    def wait(self, process: subprocess.Popen, name: str, condition: Callable[[], bool]) -> bool:
        """Wait for something to be so; False if the run ends before.

        Raises:
            SystemExit: The run has fallen silent.
        """
        log, heard, since = self.folder / name / "train.log", -1, time.monotonic()
        while not condition():
            if process.poll() is not None:
                return condition()
            if (size := log.stat().st_size) != heard:
                heard, since = size, time.monotonic()
            if time.monotonic() - since > STALL_S:
                kill_all(process)
                sys.exit(f"nothing was heard of {name} for {STALL_S} s: it hangs; see {log}")
            time.sleep(0.02)
        return True

    def kill(self, phase: str, rng: random.Random) -> dict[str, object]:
        """Have the run go on and kill it in a phase; what was so when it died."""
        folder, began = self.folder / "killed", time.time()
        # Some steps later, or a run that is killed before every checkpoint would never get on.
        least = self._last("killed") + rng.randrange(2 * SAVE_EVERY)
        startup_s = rng.uniform(0.0, 60.0)
        process, updated = self.start("killed"), -1

        def is_there() -> bool:
            nonlocal updated
            time.sleep(0.1)
            if phase == "start-up":
                return time.time() - began > startup_s
            logged, doing = max(self.metrics("killed"), default=0), _doing(process)
            if "update_actor" in doing:
                updated = logged
            if logged < least:
                return False
            return {
                "sampling": not doing and updated < logged,
                "update": "update_actor" in doing,
                "checkpoint": "save_checkpoint" in doing,
                "validation": not doing and updated == logged and (logged + 1) % SAVE_EVERY == 0,
            }[phase]

        hit = self.wait(process, "killed", is_there)
        time.sleep(rng.uniform(0.0, 0.3))
        kill_all(process)
        whole = [step for step in checkpoint.steps(folder) if checkpoint.flaw(folder / f"global_step_{step}") is None]
        return {"phase": phase, "hit": hit, "logged": max(self.metrics("killed"), default=0), "whole": whole}

    def compare(self) -> dict[str, object]:
        """What the two runs have in common, and what not."""
        names, steps = ("unbroken", "killed"), range(1, self.steps + 1)
        logs = [self.metrics(name) for name in names]
        trained = [{s: rows(self.folder / name / "rollouts" / f"{s}.jsonl") for s in steps} for name in names]
        states = [self.folder / name / f"global_step_{self.steps}" / checkpoint.STATE_FILE for name in names]
        holes = [step for step in steps if step not in logs[1]]
        others = [step for step in steps if trained[0][step] != trained[1][step]]
        leaked = sum(values.get("spark/leaked_keys", 0) for values in logs[1].values())
        same_state = states[0].read_text() == states[1].read_text()
        pairs = [(logs[0][step][key], logs[1][step][key]) for step in steps if step not in holes for key in COMPARED]
        difference = max((abs(a - b) / max(abs(a), 1e-6) for a, b in pairs), default=math.inf)
        return {
            "steps": self.steps,
            "steps without metrics": holes,
            "steps with other rows": others,
            "leaked keys": leaked,
            "same balance and alarm": same_state,
            "largest relative difference": difference,
            "the same run": not holes and not others and not leaked and same_state and difference < TOLERANCE,
        }


def rows(path: Path) -> Counter[tuple[str, ...]]:
    """What a step was trained on, in no order; empty where there is no dump."""
    names = ("objective", "input", "output", "gts", "index")
    if not path.is_file():
        return Counter()
    return Counter(tuple(str(row.get(name)) for name in names) for row in dumps.rows(path))


def _doing(process: subprocess.Popen) -> str:
    """What the ranks of a run do; empty while they wait. Ray shows it in their titles."""
    found = []
    try:
        for member in psutil.Process(process.pid).children(recursive=True):
            found += [word for word in member.cmdline() if word.startswith("ray::WorkerDict.")]
    except psutil.Error:  # it has just ended
        pass
    return " ".join(found)


def kill_all(process: subprocess.Popen) -> None:
    """SIGKILL the driver and everything that it started, as a power cut would."""
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return
    process.send_signal(signal.SIGKILL)
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(family, timeout=60)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Kill a run N times and compare it with one that was never killed.")
    parser.add_argument("kills", type=int, help="how many times")
    parser.add_argument("--output", type=Path, required=True, help="folder; the drill goes on with what is there")
    parser.add_argument("--model", type=Path, required=True, help="model folder of the digits task")
    parser.add_argument("--data", type=Path, required=True, help="folder with train.parquet and test.parquet")
    parser.add_argument("--steps", type=int, help="training steps (default: 4 for each kill)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    drill = Drill(arguments.output, arguments.model, arguments.data, arguments.steps or 4 * arguments.kills)
    drill.finish("unbroken")
    noted = drill.folder / "kills.jsonl"
    done = noted.read_text(encoding="utf-8").splitlines() if noted.is_file() else []
    for number in range(len(done), arguments.kills):
        found = drill.kill(PHASES[number % len(PHASES)], random.Random(f"{arguments.seed}/{number}"))
        with noted.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kill": number + 1, **found}) + "\n")
        print(f"kill {number + 1} of {arguments.kills}: {found}", flush=True)
    drill.finish("killed")
    compared = drill.compare()
    (drill.folder / "drill.json").write_text(json.dumps(compared, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(compared, indent=2))
    print(f"{arguments.kills} kills: {'the same run' if compared['the same run'] else 'NOT the same run'}")
    sys.exit(not compared["the same run"])


if __name__ == "__main__":
    main()
