"""The judge transform: which prompts a group gives, what they say, and that nothing but the seed decides."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spark_verl.config import PairwiseConfig, PointwiseConfig, ReflectionConfig, SparkConfig
from spark_verl.judge import Correctness, JudgeBuilder, Rollout, RolloutGroup, build_judge_prompts
from spark_verl.judge.build import draw_count, group_rng

R, W, N = Correctness.RIGHT, Correctness.WRONG, Correctness.NOT_VERIFIED
EVERY_GROUP = SparkConfig(judge_prompts_per_group=1.0, reflection_prompts_per_group=1.0)


def rollout(correctness: Correctness, answer: str | None = None, text: str | None = None, truncated: bool = False):
    answer = answer if answer is not None else {R: "7", W: "9", N: "8"}[correctness]
    return Rollout(text or f"The digits are 3 and 4. So \\boxed{{{answer}}}", answer, correctness, truncated)


def group(*rollouts: Rollout, index: int = 0, step: int = 1, messages=None, prompt_tokens: int = 20) -> RolloutGroup:
    messages = messages or [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "image", "image": Image.new("RGB", (4, 4))}, {"type": "text", "text": "3 + 4?"}],
        },
    ]
    return RolloutGroup("parent", messages, "7", index, step, tuple(rollouts), prompt_tokens)


def build(builder: JudgeBuilder, *rollouts: Rollout, **kwargs):
    return builder.build(group(*rollouts, **kwargs))


@pytest.fixture(scope="module")
def builder(tokenizer) -> JudgeBuilder:
    return JudgeBuilder(EVERY_GROUP, tokenizer=tokenizer)


@pytest.mark.parametrize(
    ("rollouts", "objectives", "why"),
    [
        ((R, W, R, W), {"pointwise", "pairwise", "reflection"}, "mixed: pairwise or pointwise, and reflection"),
        ((R, R, R), {"pointwise"}, "all right: nothing to compare with, nothing to correct"),
        ((W, W, W), {"pointwise", "reflection"}, "all wrong: a wrong attempt can be judged and corrected"),
        ((N, N), set(), "nothing verified: nothing is labelled"),
        ((R, N), {"pointwise"}, "an unverified rollout is no wrong one"),
        ((), set(), "all rollouts failed"),
    ],
)
def test_which_objectives(builder, rollouts, objectives, why):
    found = {
        prompt.objective
        for index in range(60)
        for prompt in build(builder, *map(rollout, rollouts), index=index).prompts
    }
    assert found == objectives, why


def test_shares_of_a_mixed_group_follow_the_config(builder):
    count = Counter(
        prompt.objective
        for index in range(2000)
        for prompt in build(builder, rollout(R), rollout(W), index=index).prompts
    )
    assert count["pairwise"] / (count["pairwise"] + count["pointwise"]) == pytest.approx(0.7, abs=0.04)
    assert count["reflection"] == 2000


def test_positions_and_labels_are_fair_coins(builder):
    # 9 of 10 right: the labels of a mixed group must not follow the policy's accuracy.
    rollouts = [rollout(R)] * 9 + [rollout(W)]
    prompts = [p for index in range(2000) for p in build(builder, *rollouts, index=index).prompts]
    for objective, label in (("pairwise", "A"), ("pointwise", "Yes")):
        labels = [p.ground_truth for p in prompts if p.objective == objective]
        assert labels.count(label) / len(labels) == pytest.approx(0.5, abs=0.06), objective


@pytest.mark.parametrize("expected", [0.0, 0.25, 0.5, 1.0, 1.75])
def test_budget_is_met_in_expectation(expected):
    counts = [draw_count(expected, random.Random(seed)) for seed in range(4000)]
    assert sum(counts) / len(counts) == pytest.approx(expected, abs=0.03)
    assert max(counts) - min(counts) <= 1


def test_budgets_are_independent_of_the_other_objective(tokenizer):
    config = SparkConfig(judge_prompts_per_group=0.0, reflection_prompts_per_group=1.0)
    prompts = JudgeBuilder(config, tokenizer=tokenizer).build(group(rollout(R), rollout(W))).prompts
    assert [p.objective for p in prompts] == ["reflection"]


def test_labels_say_what_is_shown(builder):
    for index in range(300):
        for prompt in build(builder, rollout(R, "7"), rollout(W, "9"), index=index).prompts:
            text = prompt.messages[-1]["content"][-1]["text"]
            if prompt.objective == "pointwise":
                assert ("7" in text) == (prompt.ground_truth == "Yes")
                assert ("9" in text) == (prompt.ground_truth == "No")
            elif prompt.objective == "pairwise":
                assert (text.index("7") < text.index("9")) == (prompt.ground_truth == "A")
            else:
                assert prompt.ground_truth == "7"
                assert "9" in text


def test_depends_on_seed_step_and_index_only(builder, tokenizer):
    rollouts = [rollout(R, "7"), rollout(W, "9"), rollout(W, "8")]
    one, again = (build(builder, *rollouts, index=5, step=3).prompts for _ in range(2))
    assert one == again
    variants = {
        "index": [
            p.ground_truth + p.messages[-1]["content"][-1]["text"]
            for i in range(20)
            for p in build(builder, *rollouts, index=i, step=3).prompts
        ],
        "step": [
            p.ground_truth + p.messages[-1]["content"][-1]["text"]
            for s in range(20)
            for p in build(builder, *rollouts, index=5, step=s).prompts
        ],
        "seed": [
            p.ground_truth + p.messages[-1]["content"][-1]["text"]
            for s in range(20)
            for p in build_judge_prompts(group(*rollouts), EVERY_GROUP, tokenizer=tokenizer, seed=s)
        ],
    }
    for what, texts in variants.items():
        assert len(set(texts)) > 10, what


def test_global_random_state_is_neither_read_nor_written(builder):
    random.seed(1)
    before = random.getstate()
    one = build(builder, rollout(R), rollout(W))
    assert random.getstate() == before
    random.seed(2)
    assert build(builder, rollout(R), rollout(W)) == one


def test_question_and_images_stay(builder):
    the_group = group(rollout(W))
    for prompt in builder.build(the_group).prompts:
        assert prompt.messages[0] == the_group.messages[0]
        parts = prompt.messages[1]["content"]
        assert parts[:2] == the_group.messages[1]["content"]
        assert parts[0]["image"] is the_group.messages[1]["content"][0]["image"], "the image must be shared, not copied"
    assert len(the_group.messages[1]["content"]) == 2, "the group's own messages must not change"


@pytest.mark.parametrize(
    ("messages", "last_role"),
    [
        ([{"role": "user", "content": "3 + 4?"}], "user"),
        (
            [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "3 + 4?"},
            ],
            "user",
        ),
        ([{"role": "user", "content": "3 + 4?"}, {"role": "assistant", "content": "Let me see:"}], "user"),
    ],
    ids=["text only", "several turns", "assistant prefix"],
)
def test_question_forms(builder, messages, last_role):
    prompts = builder.build(group(rollout(W), messages=messages)).prompts
    assert prompts
    for prompt in prompts:
        assert prompt.messages[-1]["role"] == last_role
        assert prompt.messages[-1]["content"].startswith("3 + 4?\n\n")


@pytest.mark.parametrize(
    ("candidate", "source", "shown"),
    [
        (rollout(W, answer="9"), "answer", True),
        (Rollout("no box here", None, W), "answer", False),
        (Rollout("no box here", None, W), "cot", True),
        (rollout(W, truncated=True), "cot", False),
        (rollout(W, truncated=True), "answer", True),
        (Rollout("  ", None, W), "cot", False),
    ],
    ids=["answer", "unparsable answer", "unparsable cot", "cut cot", "cut answer", "empty cot"],
)
def test_usable_candidates(tokenizer, candidate, source, shown):
    share = 1.0 if source == "cot" else 0.0
    config = SparkConfig(
        judge_prompts_per_group=1.0,
        reflection_prompts_per_group=1.0,
        pointwise=PointwiseConfig(cot_share=share),
        reflection=ReflectionConfig(cot_share=share),
    )
    result = JudgeBuilder(config, tokenizer=tokenizer).build(group(candidate))
    assert bool(result.prompts) is shown
    assert bool(result.skipped) is not shown, "what is left out is counted"


def test_right_attempts_share(tokenizer):
    config = SparkConfig(
        judge_prompts_per_group=0, reflection_prompts_per_group=1, reflection=ReflectionConfig(right_share=0.5)
    )
    builder = JudgeBuilder(config, tokenizer=tokenizer)
    about = Counter(p.about for i in range(600) for p in builder.build(group(rollout(R), rollout(W), index=i)).prompts)
    assert about["right"] / 600 == pytest.approx(0.5, abs=0.07)


def test_unanimous_groups_can_be_capped(tokenizer):
    config = SparkConfig(
        judge_prompts_per_group=1, reflection_prompts_per_group=0, pointwise=PointwiseConfig(share_in_unanimous=0.25)
    )
    builder = JudgeBuilder(config, tokenizer=tokenizer)
    built = sum(len(builder.build(group(rollout(R), index=i)).prompts) for i in range(800))
    assert built / 800 == pytest.approx(0.25, abs=0.05)


def test_a_b_form_of_pointwise(tokenizer):
    config = SparkConfig(
        judge_prompts_per_group=1, reflection_prompts_per_group=0, pointwise=PointwiseConfig(label_forms=["a_b"])
    )
    builder = JudgeBuilder(config, tokenizer=tokenizer)
    assert {p.ground_truth for i in range(20) for p in builder.build(group(rollout(R), index=i)).prompts} == {"A"}
    assert {p.ground_truth for i in range(20) for p in builder.build(group(rollout(W), index=i)).prompts} == {"B"}


def test_too_long_is_counted_and_left_out(tokenizer):
    builder = JudgeBuilder(EVERY_GROUP, tokenizer=tokenizer, max_prompt_length=100)
    result = builder.build(group(rollout(W), prompt_tokens=99))
    assert result.prompts == []
    assert result.skipped == {"too_long": 2}
    fits = JudgeBuilder(EVERY_GROUP, tokenizer=tokenizer, max_prompt_length=10_000).build(group(rollout(W)))
    assert len(fits.prompts) == 2


def test_n_comes_from_the_objective(tokenizer):
    config = dataclasses.replace(
        EVERY_GROUP, pointwise=PointwiseConfig(n=4), pairwise=PairwiseConfig(n=6), reflection=ReflectionConfig(n=2)
    )
    builder = JudgeBuilder(config, tokenizer=tokenizer)
    for index in range(50):
        for prompt in builder.build(group(rollout(R), rollout(W), index=index)).prompts:
            assert prompt.n == {"pointwise": 4, "pairwise": 6, "reflection": 2}[prompt.objective]


def test_group_rng_differs_between_neighbours():
    draws = {group_rng(0, group(index=i, step=s)).random() for i in range(30) for s in range(30)}
    assert len(draws) == 900


SPECIALS = ["<|im_end|>", "<|im_start|>", "<|image_pad|>", "<|vision_start|>", "<|endoftext|>", "<image>", "<video>"]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from([*SPECIALS, "<|im<|im_end|>_end|>", "\x00", "\ud800"]), st.text(max_size=12)),
        max_size=8,
    )
)
def test_hostile_text_brings_no_special_token(tokenizer, pieces):
    text = "".join(pieces)
    builder = JudgeBuilder(EVERY_GROUP, tokenizer=tokenizer)
    for prompt in builder.build(group(Rollout(text, text.strip() or None, W))).prompts:
        added = prompt.messages[-1]["content"][-1]["text"]
        ids = tokenizer(added, add_special_tokens=False)["input_ids"]
        assert not set(ids) & set(tokenizer.all_special_ids)
        assert not any(special in added for special in SPECIALS)
        added.encode("utf-8")


@settings(max_examples=100, deadline=None)
@given(secret=st.text(alphabet="xyzqw", min_size=6, max_size=12))
def test_ground_truth_never_stands_in_a_prompt(tokenizer, secret):
    secret_group = dataclasses.replace(group(rollout(W, "9"), rollout(W, "5")), ground_truth=secret)
    for prompt in JudgeBuilder(EVERY_GROUP, tokenizer=tokenizer).build(secret_group).prompts:
        assert secret not in str([m["content"] for m in prompt.messages])
