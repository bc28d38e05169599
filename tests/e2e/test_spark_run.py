"""What DESIGN promises of a SPARK step, looked up in a real run: rows, labels, advantages, metrics, dumps, export."""

from __future__ import annotations

import json
import os
import subprocess
from collections import defaultdict

import forked
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from metric_docs import undocumented

from spark_verl.judge.text import Sanitizer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

STEPS = (1, 2, 3)
POLICY_ROWS = {1: 16, 2: 16, 3: 12}
"""4 prompts x 4 samples; the last prompt of step 3 cannot be sampled (see ``data_with_a_bad_row``)."""


def by_uid(rows):
    groups = defaultdict(list)
    for row in rows:
        groups[row["uid"].split("_")[0]].append(row)
    return groups


def split(rows):
    return [r for r in rows if r["role"] == "policy"], [r for r in rows if r["role"] == "judge"]


def test_policy_and_judge_rows_are_told_apart(spark_run):
    seen = set()
    for step in STEPS:
        policy, judge = split(spark_run.rollouts(step))
        assert len(policy) == POLICY_ROWS[step]
        assert judge, "every group was asked for judge prompts"
        assert all(row["objective"] == "policy" and row["parent"] is None for row in policy)
        seen |= {row["objective"] for row in judge}
        for rows in by_uid(judge).values():
            assert len(rows) == 4, "a judge prompt is sampled rollout.n times"
            assert len({(r["objective"], r["gts"], r["parent"]) for r in rows}) == 1
    assert {"pointwise", "reflection"} <= seen


def test_judge_prompts_are_about_rollouts_of_their_own_step(spark_run, tokenizer):
    sanitize = Sanitizer.for_tokenizer(tokenizer)
    for step in STEPS:
        policy, judge = split(spark_run.rollouts(step))
        groups = by_uid(policy)
        for row in judge:
            parents = groups[row["parent"]]
            assert parents, "the parent is a group of the same step"
            # Every prompt of this run shows whole responses (cot_share=1), so one stands in it word for word.
            texts = [(sanitize(p["output"].strip()), p) for p in parents]
            shown = [p for text, p in texts if text and text in row["input"]]
            assert shown, f"no rollout of the parent stands in the prompt:\n{row['input']}"
            if row["objective"] == "pointwise":
                longest = max(shown, key=lambda p: len(p["output"]))
                assert longest["status"] != "error", "what was not verified is not labelled"
                assert row["gts"] == ("Yes" if longest["acc"] == 1.0 else "No")
            if row["objective"] == "reflection":
                assert row["gts"] == parents[0]["gts"]


def test_every_row_names_its_data_row(spark_run, data_folder):
    truths = {
        str(row["extra_info"]["index"]): row["reward_model"]["ground_truth"]
        for row in pq.read_table(data_folder / "train.parquet").to_pylist()
    }
    policy, judge = split(spark_run.rollouts(1))
    assert all(truths[row["index"]] == row["gts"] for row in policy)
    assert {row["index"] for row in judge} <= {row["index"] for row in policy}
    assert all(row["data_source"] == f"spark/{row['objective']}" for row in judge)
    assert all(0 < row["response_length"] <= 48 for row in policy + judge)


def test_the_run_says_what_it_was(spark_run):
    folder = spark_run.folder / "checkpoints"
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert config["spark"]["pointwise"]["weight"] == 0.5
    assert config["trainer"]["default_local_dir"] == str(folder)
    assert about["recipe"] == "quickstart"
    assert "spark.pointwise.weight=0.5" in about["overrides"]
    assert about["versions"]["verl"] == "0.9.1"


def test_advantages_are_normalised_within_their_own_group_and_weighted(spark_run):
    for step in STEPS:
        for rows in by_uid(spark_run.rollouts(step)).values():
            verified = [row for row in rows if row["status"] != "error"]
            scores = np.array([row["score"] for row in verified])
            weight = 0.5 if rows[0]["objective"] == "pointwise" else 1.0
            # Alone there is nothing to compare with.
            deviation = scores.std(ddof=1) if len(scores) > 1 else 1.0
            expected = weight * (scores - scores.mean()) / (deviation + 1e-6) if len(scores) else scores
            assert [row["advantage"] for row in verified] == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_verification_that_fails_teaches_nothing(spark_run):
    failed = [row for step in STEPS for row in spark_run.rollouts(step) if row["status"] == "error"]
    assert failed, "the user's reward function raises on every sixth text"
    assert {row["advantage"] for row in failed} == {0.0}
    assert all(spark_run.metrics[step]["spark/verify/error_rate"] < 0.6 for step in STEPS)
    assert sum(spark_run.metrics[step]["spark/verify/error_rate"] for step in STEPS) > 0


def test_verl_metrics_are_the_policys_and_spark_metrics_tell_objectives_apart(spark_run):
    for step in STEPS:
        metrics, rows = spark_run.metrics[step], spark_run.rollouts(step)
        policy, judge = split(rows)
        assert metrics["critic/score/mean"] == pytest.approx(np.mean([row["score"] for row in policy]), abs=1e-5)
        assert metrics["spark/policy/count"] == POLICY_ROWS[step]
        assert metrics["spark/judge_row_share"] == pytest.approx(len(judge) / len(rows))
        for objective in {row["objective"] for row in judge}:
            mine = [row for row in judge if row["objective"] == objective]
            assert metrics[f"spark/judge/{objective}/count"] == len(mine)
            parsed = np.mean([row["status"] != "unparsable" for row in mine])
            assert metrics[f"spark/judge/{objective}/parse_rate"] == pytest.approx(parsed)
            assert metrics[f"spark/judge/{objective}/acc"] == pytest.approx(np.mean([row["acc"] for row in mine]))
        assert metrics["perf/total_num_tokens"] > 0
        # Time and tokens are those of all rows.
        per_token = 1000 * metrics["timing_s/update_actor"] / metrics["perf/total_num_tokens"]
        assert metrics["timing_per_token_ms/update_actor"] == pytest.approx(per_token)


def test_every_metric_has_an_entry_in_the_docs(spark_run):
    assert undocumented({name for step in STEPS for name in spark_run.metrics[step]}) == []


def test_the_balance_controller_saw_every_group(spark_run):
    state = json.loads((spark_run.folder / "checkpoints" / "global_step_3" / "spark.json").read_text())["balance"]
    groups = {
        name.removeprefix("groups/"): count for name, count in state["seen"].items() if name.startswith("groups/")
    }
    assert sum(groups.values()) == pytest.approx(4 * (0.81 + 0.9 + 1))
    judge_groups = [
        len(
            {
                row["uid"].split("_")[0]
                for row in spark_run.rollouts(step)
                if row["objective"] in ("pointwise", "pairwise")
            }
        )
        for step in STEPS
    ]
    assert state["seen"]["built/judge"] == pytest.approx(np.dot(judge_groups, (0.81, 0.9, 1)))
    for step in STEPS:
        assert spark_run.metrics[step]["spark/balance/judge_rate"] > 0


def test_a_prompt_that_cannot_be_sampled_is_counted_and_left_out(spark_run):
    assert [spark_run.metrics[step]["spark/failed_groups"] for step in STEPS] == [0, 0, 1]
    assert not any("Please. Please." in row["input"] for row in spark_run.rollouts(3))


def test_one_update_per_step_on_policy_weights(spark_run):
    for step in STEPS:
        metrics = spark_run.metrics[step]
        assert metrics["training/off_policy/trajectory_staleness/max"] == 0, "sampled by the weights that are updated"
        # Old probabilities are those that the engine sampled with (bypass_mode), new ones the actor's before its one
        # optimizer step: both are the same weights, so the ratio is one up to rounding.
        assert metrics["actor/ppo_kl"] == pytest.approx(0.0, abs=1e-4)
        assert metrics["actor/pg_clipfrac"] == 0.0
        assert np.isfinite(metrics["actor/grad_norm"])


def test_every_key_is_cleared(spark_run):
    assert [spark_run.metrics[step]["spark/leaked_keys"] for step in STEPS] == [0, 0, 0]


def test_validation_is_labelled_by_data_source(spark_run):
    last = spark_run.metrics[max(STEPS)]
    assert any(key.startswith("val-core/") and key.endswith("/acc/mean@1") for key in last)
    dumped = (spark_run.folder / "validation" / "3.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(dumped) == 24
    assert {json.loads(line)["objective"] for line in dumped} == {"policy"}


def test_trained_model_loads_in_transformers_and_vllm(spark_run, model_folder, data_folder):
    exported = spark_run.folder / "checkpoints" / "global_step_3" / "actor" / "huggingface"
    program = f"""
import torch, datasets
from transformers import AutoModelForImageTextToText, AutoProcessor
old = AutoModelForImageTextToText.from_pretrained({model_folder!r}, dtype=torch.float32)
new = AutoModelForImageTextToText.from_pretrained({str(exported)!r}, dtype=torch.float32)
pairs = list(zip(old.parameters(), new.parameters(), strict=True))
assert all(a.shape == b.shape and torch.isfinite(b).all() for a, b in pairs)
assert any(not torch.equal(a, b) for a, b in pairs), "training changed nothing"
processor = AutoProcessor.from_pretrained({str(exported)!r})
row = datasets.load_dataset("parquet", data_files={str(data_folder / "test.parquet")!r})["train"][0]
from vllm import LLM, SamplingParams
text = row["prompt"][-1]["content"].replace("<image>", "")
content = [dict(type="image")] * len(row["images"]) + [dict(type="text", text=text)]
prompt = processor.apply_chat_template([dict(role="user", content=content)], add_generation_prompt=True, tokenize=False)
llm = LLM({str(exported)!r}, max_model_len=256, enforce_eager=True, dtype="float32", max_num_seqs=2,
          limit_mm_per_prompt=dict(image=2))
images = [image.convert("RGB") for image in datasets.Dataset.from_dict(dict(images=[row["images"]])).cast_column(
    "images", datasets.List(datasets.Image()))[0]["images"]]
request = dict(prompt=prompt, multi_modal_data=dict(image=images))
output = llm.generate(request, SamplingParams(max_tokens=8, temperature=0, ignore_eos=True))
assert len(output[0].outputs[0].token_ids) == 8
print("LOADED")
"""
    guarded = "if __name__ == '__main__':\n" + "\n".join("    " + line for line in program.strip().splitlines())
    script = spark_run.folder / "load.py"
    script.write_text(guarded, encoding="utf-8")
    environment = {**os.environ, **forked.environment(), "VLLM_CPU_KVCACHE_SPACE": "1"}
    environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    done = subprocess.run([forked.python(), str(script)], capture_output=True, text=True, timeout=3000, env=environment)
    assert "LOADED" in done.stdout, done.stdout[-2000:] + done.stderr[-4000:]


def test_a_merged_checkpoint_has_the_trained_weights(spark_run, tmp_path, runner):
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    runner.merge(spark_run, tmp_path / "merged")
    # The training process itself wrote a Hugging Face folder as well: both must hold the same weights.
    exported = spark_run.folder / "checkpoints" / "global_step_3" / "actor" / "huggingface"
    merged, direct = (
        AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32).state_dict()
        for path in (tmp_path / "merged", exported)
    )
    assert merged.keys() == direct.keys()
    for name, weights in merged.items():
        # verl's merger writes bf16.
        assert torch.equal(weights, direct[name]) or torch.allclose(weights, direct[name], rtol=2**-8, atol=1e-6), name
    AutoProcessor.from_pretrained(tmp_path / "merged")
