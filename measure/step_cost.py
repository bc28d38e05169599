"""What the judge costs: a SPARK step beside other ways to train on as many sequences, in one run of this script.

    python measure/step_cost.py --data DIR --model DIR [--repeats 2] [--json FILE]
    python measure/step_cost.py --data DIR --model DIR --scale [--json FILE]
    python measure/step_cost.py --data DIR --model DIR --decode-ms 25 [--json FILE]

``DIR`` are the folders that the quickstart leaves in ``outputs/quickstart``. All arms sample with the same engine from
the same model, 8 responses per prompt, whose lengths are drawn from a log-normal distribution (median 32 tokens,
logarithm's standard deviation 0.8, at most 256; ``--median``, ``--sigma``, ``--longest``), the same for policy and
judge prompts; half of all answers are right. Numbers of prompts below are those of ``--prompts 8``.

arm         a step
==========  ==============================================================================================
spark       8 policy prompts; 12 judge and 4 reflection prompts from their rollouts, streamed; one update
next        the same, but the judge prompts are about the step before, and start with the policy prompts
async       the same, but a step takes what is ready and breaks off the rest (trainer_mode=spark_colocate_async)
barrier     the same, but no judge prompt starts before the last policy rollout has ended
two-phase   plain GRPO on 8 policy prompts, then plain GRPO on 16 judge prompts: two rollouts, two updates, two
            weight syncs, as in the reference implementation. Run as two runs whose step times are added
grpo        plain GRPO (``spark.enable=false``) on 24 prompts of the same kinds
verl        the same 24 prompts with ``verl.trainer.main_ppo``: verl's own sampler, worker and reward worker
==========  ==============================================================================================

Arms are run one after the other, ``--repeats`` times. Medians over steps are printed, and ratios with 95 % bootstrap
intervals. The hidden share of judge generation is (barrier - spark) / (barrier - policy part of two-phase) in seconds
of generation; below it stands what the lengths alone let one expect of an engine that is never full.

``--decode-ms`` puts a floor under the engine's decoding steps. On a GPU a step takes about as long for one sequence as
for a hundred; on a CPU it does not, and streaming has no room to gain. The floor must be longer than this machine's own
step for all of a step's sequences (``paced_engine.py``).

``--scale`` runs ``spark`` and ``grpo`` with 8 to 64 policy prompts (and as many sequences for ``grpo``), and with one
and two ranks (as many FSDP ranks and vLLM replicas), and prints the ratio for each.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from runs import BENCHMARKS, PADDED, STOCK_VERL, run
from scipy import stats

POLICY_PROMPTS, SAMPLES = 8, 8
JUDGE_PROMPTS = 2  # per policy prompt
SCALES = ((8, 1), (8, 2), (16, 1), (32, 1), (64, 1))
"""Policy prompts and ranks of ``--scale``. The largest is measured for ``--steps``, smaller ones on as many rows."""
STAGES = ("step", "gen", "old_log_prob", "ref", "adv", "update_actor", "update_weights")
PLAIN = ["spark.enable=false"]
PACED = [
    "+actor_rollout_ref.rollout.engine_kwargs.vllm.scheduler_cls=paced_engine.PacedScheduler",
    "+actor_rollout_ref.rollout.engine_kwargs.vllm.async_scheduling=true",  # the scheduler derives from that one
]


def interleave(data: Path, folder: Path, prompts: int) -> dict[str, Path]:
    """Training files of the arms without online judge data, for steps of ``prompts`` policy prompts.

    Returns:
        ``mixed``: policy prompts and twice as many judge prompts, step by step; ``judge``: the judge prompts alone.
    """
    policy = pq.read_table(data / "train.parquet").to_pylist()
    table = pq.read_table(data / "judge_test.parquet")
    judge = table.to_pylist()
    mixed: list[dict] = []
    of_judge = prompts * JUDGE_PROMPTS
    for step in range(min(len(policy) // prompts, len(judge) // of_judge)):
        mixed += policy[step * prompts : (step + 1) * prompts]
        mixed += judge[step * of_judge : (step + 1) * of_judge]
    files = {"mixed": folder / f"mixed_{prompts}.parquet", "judge": folder / "judge.parquet"}
    pq.write_table(pa.Table.from_pylist(mixed, schema=table.schema), files["mixed"])
    pq.write_table(table, files["judge"])
    return files


def arms(
    files: dict[str, Path], loops: Path, longest: int, prompts: int = POLICY_PROMPTS, ranks: int = 1
) -> dict[str, tuple[str, list[str]]]:
    """``{name: (module, overrides)}``."""
    shared = [
        f"trainer.n_gpus_per_node={ranks}",
        "data.shuffle=false",
        f"data.max_response_length={longest}",
        f"actor_rollout_ref.rollout.max_model_len={192 + longest}",
        f"actor_rollout_ref.rollout.n={SAMPLES}",
        f"actor_rollout_ref.rollout.agent.agent_loop_config_path={loops}",
        "actor_rollout_ref.rollout.agent.default_agent_loop=spark_long_tail",
        f"reward.custom_reward_function.path={BENCHMARKS / 'schedules.py'}",
        "actor_rollout_ref.actor.optim.lr=0",
    ]

    def batch(size: int) -> list[str]:
        return [f"data.train_batch_size={size}", f"actor_rollout_ref.actor.ppo_mini_batch_size={size}"]

    # Answers only: candidates as long as these responses would not fit into the prompts of the other arms.
    sources = [f"spark.{objective}.cot_share=0" for objective in ("pointwise", "pairwise", "reflection")]
    spark = [*shared, *batch(prompts), *sources]
    barrier = "actor_rollout_ref.rollout.agent.agent_loop_manager_class=schedules.BarrierManager"
    every = prompts * (1 + JUDGE_PROMPTS)
    return {
        "spark": ("spark_verl.main", spark),
        "next": ("spark_verl.main", [*spark, "spark.judge_step=next"]),
        "async": ("spark_verl.main", [*spark, "trainer.v1.trainer_mode=spark_colocate_async"]),
        "barrier": ("spark_verl.main", [*spark, barrier]),
        "two-phase: policy": ("spark_verl.main", [*shared, *batch(prompts), *PLAIN]),
        "two-phase: judge": (
            "spark_verl.main",
            [*shared, *batch(prompts * JUDGE_PROMPTS), *PLAIN, f"data.train_files={files['judge']}"],
        ),
        "grpo": ("spark_verl.main", [*shared, *batch(every), *PLAIN, f"data.train_files={files['mixed']}"]),
        "verl": (
            "verl_alone",
            [
                *(*shared, *batch(every), *PLAIN, *STOCK_VERL, *PADDED, f"data.train_files={files['mixed']}"),
                "actor_rollout_ref.rollout.agent.default_agent_loop=verl_long_tail",
            ],
        ),
    }


Estimate = tuple[float, float, float]
"""A value and its 95 % bootstrap interval."""


def _bootstrapped(samples: tuple[np.ndarray, ...], statistic: Callable[..., float], paired: bool) -> Estimate:
    found = stats.bootstrap(
        samples, statistic, paired=paired, n_resamples=2000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(statistic(*samples)), float(found.low), float(found.high)


def ratio(above: np.ndarray, below: np.ndarray) -> Estimate:
    """Ratio of medians."""
    return _bootstrapped((above, below), lambda a, b: np.median(a) / np.median(b), paired=False)


def hidden_share(spark: np.ndarray, barrier: np.ndarray, policy: np.ndarray) -> Estimate:
    """(barrier - spark) / (barrier - policy) of mean seconds of generation.

    Steps of the three arms are drawn together: they have the same questions, and responses of the same lengths.
    """
    return _bootstrapped((spark, barrier, policy), lambda s, b, p: (b - s).mean() / (b - p).mean(), paired=True)


def hidden_at_best(prompts: int, longest: int, steps: int = 500) -> float:
    """The same share, expected from the distribution of lengths alone.

    With an engine that decodes any number of sequences as fast as one and does nothing else: in tokens, not seconds.
    """
    from schedules import response_length  # imports verl, and reads the distribution from the environment

    barrier = streamed = policy = 0
    for step in range(steps):

        def slowest(group: int, kind: str, sequences: int, step: int = step) -> int:
            keys = (f"{step}/{group}/{kind}/{i}" for i in range(sequences))
            return max(response_length(key, longest) for key in keys)

        answered = [slowest(group, "policy", SAMPLES) for group in range(prompts)]
        judged = [slowest(group, "judge", JUDGE_PROMPTS * SAMPLES) for group in range(prompts)]
        policy += max(answered)
        barrier += max(answered) + max(judged)
        streamed += max(map(sum, zip(answered, judged, strict=True)))
    return (barrier - streamed) / (barrier - policy)


def report(found: dict[str, list[dict[str, float]]], at_best: float) -> dict:
    """Print the tables; return the figures. ``at_best`` is :func:`hidden_at_best`."""

    def seconds(arm: str, stage: str) -> np.ndarray:
        return np.array([step.get(f"timing_s/{stage}", 0.0) for step in found[arm]])

    medians = {arm: {stage: float(np.median(seconds(arm, stage))) for stage in STAGES} for arm in found}
    print(f"\n{'median seconds':<20}" + "".join(f"{stage:>15}" for stage in STAGES) + f"{'tokens/step':>14}")
    for arm, stages in medians.items():
        tokens = np.median([step["perf/total_num_tokens"] for step in found[arm]])
        print(f"{arm:<20}" + "".join(f"{value:>15.2f}" for value in stages.values()) + f"{tokens:>14.0f}")

    def per_token(arm: str) -> np.ndarray:
        return seconds(arm, "step") / np.array([step["perf/total_num_tokens"] for step in found[arm]])

    mine, others = (
        [arm for arm in names if arm in found] for names in (("spark", "next", "async"), ("grpo", "verl", "barrier"))
    )
    pairs = [(arm, other) for arm in mine for other in others]
    pairs += [(arm, "spark") for arm in mine[1:] if "spark" in mine]
    sides = {f"{arm} / {other}": (seconds(arm, "step"), seconds(other, "step")) for arm, other in pairs}
    sides |= {f"{arm} / {other}, sampling": (seconds(arm, "gen"), seconds(other, "gen")) for arm, other in pairs}
    for arm in mine if "grpo" in others else []:
        sides[f"{arm} / grpo, per token"] = (per_token(arm), per_token("grpo"))
    if {"spark", "two-phase: policy", "two-phase: judge"} <= set(found):
        two_phase = seconds("two-phase: policy", "step") + seconds("two-phase: judge", "step")
        sides["spark / two-phase"] = (seconds("spark", "step"), two_phase)
    ratios = {name: ratio(above, below) for name, (above, below) in sides.items()}
    print()
    for name, (value, low, high) in ratios.items():
        print(f"{name:<28}{value:>8.2f}   95 % interval {low:.2f} to {high:.2f}")
    figures = {"medians": medians, "ratios": ratios, "steps": found}
    if {"spark", "barrier", "two-phase: policy"} <= set(found):
        hidden = hidden_share(*(seconds(arm, "gen") for arm in ("spark", "barrier", "two-phase: policy")))
        value, low, high = hidden
        print(f"{'judge generation hidden':<26}{value:>8.0%}   95 % interval {low:.0%} to {high:.0%}")
        print(f"{'by lengths alone':<26}{at_best:>8.0%}")
        figures |= {"hidden": hidden, "hidden_at_best": at_best}
    return figures


def scale(data: Path, model: Path, folder: Path, loops: Path, longest: int, steps: int, repeats: int) -> list[dict]:
    """SPARK beside GRPO at growing batches and with two ranks; prints and returns a row for each size."""
    rows = []
    for prompts, ranks in SCALES:
        todo = arms(interleave(data, folder, prompts), loops, longest, prompts, ranks)
        seconds: dict[str, list[float]] = {"spark": [], "grpo": []}
        for _ in range(repeats):
            for name, values in seconds.items():
                module, overrides = todo[name]
                as_many = steps * max(SCALES)[0] // prompts
                values += [step["timing_s/step"] for step in run(overrides, data, model, as_many, 1, module)]
        value, low, high = ratio(np.array(seconds["spark"]), np.array(seconds["grpo"]))
        rows.append({"prompts": prompts, "ranks": ranks, "ratio": value, "low": low, "high": high, **seconds})
        print(
            f"{prompts:>3} policy prompts, {ranks} ranks: spark {np.median(seconds['spark']):.2f} s,"
            f" grpo {np.median(seconds['grpo']):.2f} s, ratio {value:.2f} [{low:.2f}, {high:.2f}]",
            flush=True,
        )
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train, test and judge_test.parquet")
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--steps", type=int, default=8, help="steps per run; at most 3, of 64 prompts, with --scale")
    parser.add_argument("--repeats", type=int, default=2, help="runs per arm")
    parser.add_argument("--prompts", type=int, default=POLICY_PROMPTS, help="policy prompts per step, without --scale")
    parser.add_argument("--median", type=float, default=32, help="median response in tokens")
    parser.add_argument("--sigma", type=float, default=0.8, help="standard deviation of the length's logarithm")
    parser.add_argument("--longest", type=int, default=256, help="longest response in tokens")
    parser.add_argument("--decode-ms", type=float, default=0, help="shortest decoding step of the engine, milliseconds")
    parser.add_argument("--only", action="append", help="run this arm only (may be repeated)")
    parser.add_argument("--scale", action="store_true", help="SPARK beside GRPO at growing batches, and two ranks")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.scale and arguments.decode_ms:
        parser.error("--decode-ms does not go with --scale: a large batch's own decoding step is longer")
    data, model = arguments.data.resolve(), arguments.model.resolve()
    # To Ray's processes, where schedules.py and paced_engine.py read them.
    os.environ.update(SPARK_BENCH_MEDIAN=str(arguments.median), SPARK_BENCH_SIGMA=str(arguments.sigma))
    os.environ["SPARK_BENCH_DECODE_MS"] = str(arguments.decode_ms)
    engine = PACED if arguments.decode_ms else []
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        loops = Path(folder) / "agent_loops.yaml"
        loops.write_text(
            "- name: spark_long_tail\n  _target_: schedules.SparkLongTailLoop\n"
            "- name: verl_long_tail\n  _target_: schedules.VerlLongTailLoop\n",
            encoding="utf-8",
        )
        if arguments.scale:
            steps = min(arguments.steps, 3)
            rows = scale(data, model, Path(folder), loops, arguments.longest, steps, arguments.repeats)
            if arguments.json:
                arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
            return
        files = interleave(data, Path(folder), arguments.prompts)
        todo = arms(files, loops, arguments.longest, arguments.prompts)
        for repeat in range(arguments.repeats):
            for name, (module, overrides) in todo.items():
                if arguments.only and name not in arguments.only:
                    continue
                print(f"run {repeat + 1}/{arguments.repeats}: {name}", flush=True)
                steps = run([*overrides, *engine], data, model, arguments.steps, module=module)
                found.setdefault(name, []).extend(steps)
                print("  step seconds " + " ".join(f"{step['timing_s/step']:.2f}" for step in steps), flush=True)
                print("  tokens " + " ".join(f"{step['perf/total_num_tokens']:.0f}" for step in steps), flush=True)
    figures = report(found, hidden_at_best(arguments.prompts, arguments.longest))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
