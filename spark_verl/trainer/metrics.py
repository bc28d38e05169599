"""Role-aware metrics: policy rows and each judge objective seen apart; rows without ground truth are left out.

Names: ``spark/policy/<metric>`` and ``spark/judge/<objective>/<metric>`` with

- ``count``: rows, ``groups``: prompts;
- ``acc``: mean verifier accuracy (for a judge: share of right verdicts, for reflection: share of right revisions);
- ``parse_rate``: share of rows with a parsable answer or verdict;
- ``cut_rate``: share of rows whose response is as long as it may be (verl's own ``response_length/clip_ratio`` is the
  share of those as long as the longest of the batch);
- ``zero_variance_rate``: share of groups whose rows all scored the same, hence teach nothing;
- ``response_length/mean``: tokens;
- over all judge rows ``spark/judge/age``: mean number of steps between the rollouts that are shown and this one;
- over all rows: ``spark/verify/{unparsable,timeout,error,symbolic}_rate`` (symbolic: it took algebra to compare) and
  ``spark/verify/seconds/{mean,max}`` (from the request to the verdict, waiting included);
- pointwise: ``yes_rate`` (share of positive ones among the verdicts that could be parsed; absent without any) and
  ``label_yes_rate``; pairwise: ``a_rate``, ``label_a_rate``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from omegaconf import DictConfig
from transfer_queue import KVBatchMeta

from spark_verl.config import SparkConfig
from spark_verl.rollout.tags import is_padding, row_of
from spark_verl.trainer.batch import fetch, reward_infos, subset
from spark_verl.vocabulary import JUDGE_OBJECTIVES, POSITIVE_LABELS, Objective, Status, Supervision


def response_limits(config: DictConfig, spark: SparkConfig) -> dict[Objective, int]:
    """Most tokens that a response may have, by objective."""
    limit = config.data.max_response_length
    own = {objective: spark.objective(objective).max_response_length for objective in JUDGE_OBJECTIVES}
    return {Objective.POLICY: limit, **{objective: most or limit for objective, most in own.items()}}


def row_metrics(batch: KVBatchMeta, limits: Mapping[Objective, int]) -> dict[str, float]:
    """Metrics of every role and objective in the batch; padding rows are ignored.

    Args:
        batch: All rows of a step, with their tags.
        limits: See :func:`response_limits`.
    """
    # What an unlabelled row got is under spark/self_reward: it has no accuracy.
    seen = [not is_padding(tag) and row_of(tag).supervision is Supervision.LABELLED for tag in batch.tags]
    if not any(seen):
        return {}
    real = subset(batch, seen)
    data = fetch(real, "rm_scores", "extra_fields", "reward_model")
    scores = data["rm_scores"].to_padded_tensor(padding=0.0).sum(dim=1).tolist()
    infos = reward_infos(data)
    labels = [reward_model.get("ground_truth") for reward_model in data["reward_model"]]
    rows: dict[Objective, list[dict[str, Any]]] = defaultdict(list)
    for key, tag, score, info, label in zip(real.keys, real.tags, scores, infos, labels, strict=True):
        row = {"uid": key.split("_")[0], "score": score, "info": info, "label": label, "length": tag["response_len"]}
        rows[row_of(tag).objective].append(row)
    metrics: dict[str, float] = {}
    for objective, members in rows.items():
        prefix = "spark/policy" if objective is Objective.POLICY else f"spark/judge/{objective}"
        found = _objective_metrics(objective, members, limits[objective])
        metrics.update({f"{prefix}/{name}": value for name, value in found.items()})
    ages = [tag["global_steps"] - step for tag in real.tags if (step := row_of(tag).shown_step) is not None]
    if ages:
        metrics["spark/judge/age"] = float(np.mean(ages))
    judge = sum(len(members) for objective, members in rows.items() if objective is not Objective.POLICY)
    statuses = [info.get("status") for info in infos]
    for status in (Status.UNPARSABLE, Status.TIMEOUT, Status.ERROR):
        metrics[f"spark/verify/{status}_rate"] = statuses.count(status) / len(statuses)
    for name, key, reduce in (
        ("symbolic_rate", "symbolic", np.mean),
        ("seconds/mean", "verify_s", np.mean),
        ("seconds/max", "verify_s", np.max),
    ):
        values = [float(info[key]) for info in infos if key in info]
        if values:
            metrics[f"spark/verify/{name}"] = float(reduce(values))
    metrics["spark/judge_row_share"] = judge / len(real.keys)
    return metrics


def _objective_metrics(objective: Objective, rows: list[dict[str, Any]], limit: int) -> dict[str, float]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["uid"]].append(row)
    accuracy = [float(row["info"].get("acc", row["score"])) for row in rows]
    metrics = {
        "count": len(rows),
        "groups": len(groups),
        "acc": float(np.mean(accuracy)),
        "parse_rate": float(np.mean([row["info"].get("status") != Status.UNPARSABLE for row in rows])),
        "cut_rate": float(np.mean([row["length"] >= limit for row in rows])),
        "zero_variance_rate": float(np.mean([len({r["score"] for r in group}) == 1 for group in groups.values()])),
        "response_length/mean": float(np.mean([row["length"] for row in rows])),
    }
    if objective in (Objective.POINTWISE, Objective.PAIRWISE):
        name = "yes_rate" if objective is Objective.POINTWISE else "a_rate"
        verdicts = [row["info"].get("answer") for row in rows if row["info"].get("answer")]
        if verdicts:  # nobody said No where nobody said anything
            metrics[name] = float(np.mean([v in POSITIVE_LABELS for v in verdicts]))
        first_rows = [group[0] for group in groups.values()]
        metrics[f"label_{name}"] = float(np.mean([row["label"] in POSITIVE_LABELS for row in first_rows]))
    return metrics


def overall_metrics(batch: KVBatchMeta, timing_raw: dict[str, float], n_gpus: int) -> dict[str, float]:
    """verl's throughput metrics over all rows: they are about cost, and judge rows cost as much as others."""
    real = [tag for tag in batch.tags if not is_padding(tag)]
    tokens = sum(tag["seq_len"] for tag in real)
    padding = len(batch.tags) - len(real)
    # As in verl, sampling is by response tokens and all else by all tokens.
    counts = dict.fromkeys(("ref", "adv", "update_actor"), tokens) | {"gen": sum(tag["response_len"] for tag in real)}
    return {
        **{
            f"timing_per_token_ms/{stage}": 1000 * timing_raw[stage] / count
            for stage, count in counts.items()
            if stage in timing_raw and count
        },
        "perf/total_num_tokens": tokens,
        "perf/time_per_step": timing_raw["step"],
        "perf/throughput": tokens / (timing_raw["step"] * n_gpus),
        "spark/padding_rows": padding,
    }
