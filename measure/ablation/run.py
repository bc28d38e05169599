"""Run the ablation: every arm and seed, one run at a time, resumable; results as they come.

    python measure/ablation/run.py --seeds 1 2 3 --output outputs/ablation
    python measure/ablation/run.py --variant mixed --arms spark grpo --seeds 1      # some of it
    python measure/ablation/run.py --strategies single majority      # what paired.py compares, in less time
    python measure/ablation/run.py --device gpu --train_only --set trainer.test_freq=-1    # on one GPU; evaluated later

Per seed, data and model are made once and shared by all arms. Each arm trains for the same number of steps on the same
number of sequences (``grpo_tokens``: on about as many tokens as SPARK), and is then evaluated: ``test.parquet`` with
every test-time strategy, ``judge_test.parquet`` for the judge. Questions are sampled at temperature 1, as in training;
verdicts are greedy, as ``spark_verl.evaluation`` takes them. ``OUTPUT/VARIANT/seed_<n>/<arm>/result.json`` is
written last: an arm that has it is not run again, one that has been trained (``cost.json``) is only evaluated, and any
other starts anew. ``collect.py`` makes the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from arms import ARMS, RECYCLED, Arm

from spark_verl.compat import bootstrap, forking
from spark_verl.digits.schedule import VARIANTS
from spark_verl.evaluation.server import Server
from spark_verl.runs.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[2]
UNLABELLED = 1000
"""Unlabelled questions, where labelled ones are scarce."""

AUDITED = 12
"""Labelled questions that the judge is at least measured on; a fifth of all, where that is more."""

SAMPLES = 8
STRATEGIES = ("single", "reflect", "majority", "best_of_n", "weighted_vote")


def call(command: list[str], log: Path, **variables: str) -> None:
    """Run a program of the project; its output goes to ``log``.

    Raises:
        SystemExit: It failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        code = subprocess.call(
            [forking.python(), *command], cwd=ROOT, env={**os.environ, **variables}, stdout=output, stderr=output
        )
    if code != 0:
        sys.exit(f"{' '.join(command[:3])} ended with code {code}; see {log}")


def data_of(arm: Arm, folder: Path, labels: int) -> Path:
    """Where an arm's questions are, below the seed's folder."""
    return folder / ("data" if arm.data == "plenty" else f"data_{arm.data}_{labels}")


def sizes(arm: Arm, labels: int) -> list[str]:
    """How many questions there are of each kind."""
    if arm.data == "plenty":
        return []
    labelled = labels if arm.data == "scarce" else labels + UNLABELLED
    return ["--train_size", str(labelled), "--unlabelled_size", str(UNLABELLED)]


def prepare(arm: Arm, folder: Path, variant: str, seed: int, steps: int, labels: int) -> None:
    """Data, model and, for the arm that needs them, offline judge rows of a seed, where they are missing."""
    data = data_of(arm, folder, labels)
    if not (data / "done").exists():
        program = ["data_preprocess/handwritten_digits.py", "--local_save_dir", str(data), "--seed", str(seed)]
        call([*program, *sizes(arm, labels)], folder / f"{data.name}.log")
        (data / "done").touch()
    if not (folder / "model" / "done").exists():
        program = ["-m", "spark_verl.digits.build_model", "--output_dir", str(folder / "model")]
        call([*program, "--variant", variant, "--seed", str(seed)], folder / "model.log")
        (folder / "model" / "done").touch()
    mixed = folder / "data" / "offline.parquet"
    if arm.offline and not mixed.exists():
        program = ["measure/ablation/offline.py", "--model", str(folder / "model"), "--steps", str(steps)]
        files = ["--train_file", str(folder / "data" / "train.parquet"), "--output", f"{mixed}.partial"]
        call([*program, *files, "--seed", str(seed)], folder / "offline.log")
        Path(f"{mixed}.partial").rename(mixed)


def read(file: Path, steps: int, labels: int) -> dict | None:
    """What an earlier start left of an arm; None for nothing.

    Raises:
        SystemExit: It trained for another number of steps or labels: one table would mix different budgets.
    """
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    cost = found.get("cost", found)
    trained, taught = cost.get("steps", steps), cost.get("labels", labels)
    if trained != steps:
        sys.exit(f"{file}: trained for {trained} steps, not {steps}; use that number, or another --output")
    if taught != labels:
        sys.exit(f"{file}: trained on {taught} labels, not {labels}; use that number, or another --output")
    return found


def train(
    arm: Arm, folder: Path, shared: Path, data: Path, seed: int, steps: int, labels: int, recipe: str, extra: list[str]
) -> tuple[Path, dict]:
    """Train an arm unless it has been; returns the trained model's folder and what it cost."""
    if arm.overrides is None:
        folder.mkdir(parents=True, exist_ok=True)
        return shared / "model", {}
    spent = read(folder / "cost.json", steps, labels)
    if spent is not None:
        return folder / "model", spent
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train_file = data / ("offline.parquet" if arm.offline else "train.parquet")
    command = [
        *("-m", "spark_verl.main", "--config-path", str(ROOT / "recipes"), "--config-name", recipe),
        f"actor_rollout_ref.model.path={shared}/model",
        f"data.train_files={train_file}",
        f"data.val_files=[{data}/test.parquet,{data}/judge_test.parquet]",
        f"spark.self_reward.files=[{data}/unlabelled.parquet]",
        f"spark.self_reward.audit_share={max(0.2, AUDITED / labels):.3f}",
        "data.shuffle=false",
        f"spark.seed={seed}",
        f"trainer.total_training_steps={steps}",
        f"trainer.default_local_dir={folder}/checkpoints",
        *("trainer.val_before_train=false", "trainer.test_freq=20", "trainer.validation_data_dir=null"),
        # Offline judge rows are questions to the trainer: only the dump tells their accuracy from the policy's.
        f"trainer.rollout_data_dir={f'{folder}/rollouts' if arm.offline else 'null'}",
        *arm.overrides,
        *extra,
    ]
    call(command, folder / "train.log", HF_HUB_OFFLINE="1", VERL_FILE_LOGGER_PATH=str(folder / "metrics.jsonl"))
    metrics = read_metrics(folder / "metrics.jsonl")
    trained = [values for _, values in sorted(metrics.items()) if "perf/total_num_tokens" in values]
    rows = [
        sum(value for name, value in values.items() if name.startswith("spark/") and name.endswith("/count"))
        # Of judged groups: their answers, and the verdicts on them.
        + SAMPLES * sum(values.get(f"spark/self_reward/{kind}", 0) for kind in ("groups", "audit_groups"))
        + values.get("spark/self_reward/verdicts", 0)
        for values in trained
    ]
    cost = {
        **({} if arm.data == "plenty" else {"labels": labels}),
        "steps": len(trained),
        "sequences": sum(rows),
        "tokens": sum(values["perf/total_num_tokens"] for values in trained),
        "seconds": sum(values["timing_s/step"] for values in trained),
        "curve": {
            str(step): {name: value for name, value in values.items() if name.startswith("val-core/")}
            for step, values in sorted(metrics.items())
            if any(name.startswith("val-core/") for name in values)
        },
    }
    # The state to resume from is not needed any more; the model is, for whoever wants to ask it something else.
    shutil.move(folder / "checkpoints" / f"global_step_{steps}" / "actor" / "huggingface", folder / "model")
    shutil.rmtree(folder / "checkpoints")
    (folder / "cost.json").write_text(json.dumps(cost, indent=1) + "\n", encoding="utf-8")
    return folder / "model", cost


def evaluate(model: Path, folder: Path, data: Path, seed: int, samples: int, strategies: Sequence[str]) -> dict:
    """The evaluation's report of a model: questions with these strategies, judge prompts answered once."""
    shared_options = [
        *("--tokenizer", str(model), "--max_tokens", "64", "--seed", str(seed), "--concurrency", "64"),
        *("--templates", "pkg://spark_verl.digits/templates", "--no_progress"),
    ]
    options = {
        # As many votes as a weighted vote of half the samples costs.
        "test": ["--strategy", *strategies, "--samples", str(samples), "--majority_samples", str(2 * samples)],
        "judge_test": ["--strategy", "single", "--temperature", "0"],
    }
    merged: dict = {"benchmarks": {}, "judge": {}}
    with Server(str(model), log=folder / "server.log", device="cpu") as server:
        for name, own in options.items():
            output = folder / f"evaluation_{name}"
            source = ["--base-url", server.base_url, "--benchmark", str(data / f"{name}.parquet")]
            command = ["-m", "spark_verl.evaluation", *source, "--output", str(output), *shared_options, *own]
            call(command, folder / f"evaluate_{name}.log", HF_HUB_OFFLINE="1")
            report = json.loads((output / "report.json").read_text(encoding="utf-8"))
            for part, values in merged.items():
                values.update(report[part])
    return merged


def tabulate(output: Path, results: Path | None) -> None:
    """The tables of everything that is finished, where they are wanted."""
    if results is not None:
        program = ["measure/ablation/collect.py", str(output.resolve()), "--output", str(results.resolve())]
        call(program, output / "collect.log")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="sparse", choices=list(VARIANTS), help="of the digits model")
    parser.add_argument("--arms", nargs="+", default=[arm.name for arm in RECYCLED], choices=list(ARMS), metavar="ARM")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--labels", type=int, default=128, help="labelled questions where they are scarce")
    parser.add_argument("--steps", type=int, default=40, help="training steps at equal sequences")
    parser.add_argument(
        "--samples", type=int, default=4, help="of best_of_n and weighted_vote; majority takes twice as many"
    )
    parser.add_argument(
        "--strategies", nargs="+", default=STRATEGIES, choices=STRATEGIES, metavar="STRATEGY", help="to evaluate with"
    )
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu", help="to train on; evaluated on the CPU")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="Hydra overrides of every arm")
    parser.add_argument("--train_only", action="store_true", help="leave the evaluation to a later call without this")
    parser.add_argument("--output", type=Path, default=ROOT / "outputs" / "ablation")
    parser.add_argument("--results", type=Path, help="folder for collect.py's tables, made anew after every run")
    arguments = parser.parse_args()
    if arguments.labels <= AUDITED:
        parser.error(f"--labels must be more than the {AUDITED} that the judge is measured on")
    if "single" not in arguments.strategies or (arguments.results and set(arguments.strategies) != set(STRATEGIES)):
        parser.error("--strategies must have single, and for --results, whose tables have them all, every one")
    recipe = "quickstart_gpu" if arguments.device == "gpu" else "quickstart"
    todo = [(seed, ARMS[name]) for seed in arguments.seeds for name in arguments.arms]
    for number, (seed, arm) in enumerate(todo, 1):
        shared = arguments.output.resolve() / arguments.variant / f"seed_{seed}"
        folder = shared / arm.name
        print(f"[{number}/{len(todo)}] {arguments.variant}, seed {seed}, {arm.name}: {arm.about}", flush=True)
        steps = arm.steps(arguments.steps)
        if read(folder / "result.json", steps, arguments.labels) is not None:
            print("  done before", flush=True)
            continue
        started = time.time()
        if arguments.device == "cpu":
            # A run, its two evaluations and their server import the same, arm after arm.
            os.environ.update(forking.start(settings=bootstrap.cpu_environment()))
        prepare(arm, shared, arguments.variant, seed, steps, arguments.labels)
        data = data_of(arm, shared, arguments.labels)
        model, cost = train(arm, folder, shared, data, seed, steps, arguments.labels, recipe, arguments.set)
        if arguments.train_only:
            print(f"  {time.time() - started:.0f} s", flush=True)
            continue
        found = evaluate(model, folder, data, seed, arguments.samples, arguments.strategies)
        result = {"arm": arm.name, "about": arm.about, "seed": seed, "cost": cost, "evaluation": found}
        (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        accuracy = found["benchmarks"]["test"]["single"]["accuracy"]
        print(f"  {time.time() - started:.0f} s, single pass {accuracy['value']:.1%}", flush=True)
        tabulate(arguments.output, arguments.results)
    # Also when there was nothing left to run.
    tabulate(arguments.output, arguments.results)


if __name__ == "__main__":
    main()
