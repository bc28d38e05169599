"""Which prompts a group gives, what they say, and that nothing but the seed decides."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from spark_verl.config import PairwiseConfig, PointwiseConfig, ReflectionConfig, SparkConfig
from spark_verl.judge import JudgeAsk, JudgeBuilder, Plan, ReflectionAsk, build_judge_prompts
from spark_verl.vocabulary import Correctness, Rollout, RolloutGroup

R, W, N = Correctness.RIGHT, Correctness.WRONG, Correctness.NOT_VERIFIED
EVERY_GROUP = SparkConfig(judge_prompts_per_group=1.0, reflection_prompts_per_group=1.0)


def rollout(correctness: Correctness, answer: str | None = None, text: str | None = None, finish_reason="stop"):
    answer = answer if answer is not None else {R: "7", W: "9", N: "8"}[correctness]
    return Rollout(text or f"The digits are 3 and 4. So \\boxed{{{answer}}}", answer, correctness, finish_reason)


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
        (rollout(W, finish_reason="length"), "cot", False),
        (rollout(W, finish_reason="length"), "answer", True),
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


CUT = rollout(W, "5", finish_reason="length")
UNBOXED = Rollout("I cannot say.", None, W)
BARE_RIGHT = Rollout("It is seven", None, R)


@pytest.mark.parametrize(
    ("rollouts", "objective", "cot_share", "expected", "why"),
    [
        ([UNBOXED], "reflection", 0.5, {"cot"}, "no answer: only the whole response can be shown"),
        ([CUT], "reflection", 0.5, {"answer"}, "cut off: only its answer can be shown"),
        ([UNBOXED], "reflection", 0.0, {"no_wrong_attempt"}, "chains of thought are ruled out"),
        ([CUT], "reflection", 1.0, {"no_wrong_attempt"}, "answers are ruled out"),
        ([BARE_RIGHT, UNBOXED], "pairwise", 0.5, {"cot"}, "the only right answer was not parsable"),
        ([BARE_RIGHT, CUT], "pairwise", 0.5, {"no_usable_pair"}, "no form in which both can be shown"),
        ([BARE_RIGHT, CUT], "pointwise", 0.5, {"cot", "answer"}, "each in its own form"),
        ([Rollout("same", "7", R), Rollout("same", "7", W)], "pairwise", 0.5, {"no_usable_pair"}, "no text is both"),
        ([Rollout("same", "7", R), Rollout("same", "7", W)], "pointwise", 0.5, {"no_usable_candidate"}, "nor labelled"),
        ([Rollout("one", "7", R), Rollout("two", "7", W)], "pointwise", 0.5, {"cot"}, "same answer, graded on more"),
        ([rollout(R)], "pointwise", 0.5, {"cot", "answer"}, "n = 1"),
        ([rollout(R)], "reflection", 0.5, {"no_wrong_attempt"}, "n = 1, right"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_sources_stand_in_for_each_other(tokenizer, rollouts, objective, cot_share, expected, why):
    config = SparkConfig(
        judge_prompts_per_group=float(objective != "reflection"),
        reflection_prompts_per_group=float(objective == "reflection"),
        pointwise=PointwiseConfig(cot_share=cot_share),
        pairwise=PairwiseConfig(cot_share=cot_share, share_in_mixed=float(objective == "pairwise")),
        reflection=ReflectionConfig(cot_share=cot_share),
    )
    builder = JudgeBuilder(config, tokenizer=tokenizer)
    found = set()
    for index in range(60):
        result = builder.build(group(*rollouts, index=index))
        found |= {prompt.source for prompt in result.prompts} | set(result.skipped)
        assert {prompt.objective for prompt in result.prompts} <= {objective}
        assert len(result.prompts) + sum(result.skipped.values()) == 1, "every ask is answered or counted"
    assert found == expected, why


def test_a_group_asks_nothing_twice(tokenizer):
    config = SparkConfig(judge_prompts_per_group=6.0, reflection_prompts_per_group=6.0)
    builder = JudgeBuilder(config, tokenizer=tokenizer)
    for index in range(30):
        result = builder.build(group(rollout(R), rollout(W, "8"), rollout(W, "9"), index=index))
        shown = [(p.objective, p.source, p.ground_truth, p.about) for p in result.prompts]
        texts = [p.messages[-1]["content"][-1]["text"] for p in result.prompts]
        assert len(set(texts)) == len(texts), shown
        assert len(texts) + sum(result.skipped.values()) == 12
    assert result.skipped["repeated"] > 0


def test_a_plan_is_carried_out(builder):
    rollouts = [rollout(R, "7"), rollout(W, "9")]
    for pairwise, flag in [(True, True), (True, False), (False, True), (False, False)]:
        ask = JudgeAsk(pairwise, right_first=flag, show_right=flag, keep_if_all_right=True, keep_if_all_wrong=True)
        (prompt,) = builder.build(group(*rollouts), Plan((ask,), (), 0)).prompts
        assert prompt.objective == ("pairwise" if pairwise else "pointwise")
        assert prompt.ground_truth == {(True, True): "A", (True, False): "B", (False, True): "Yes"}.get(
            (pairwise, flag), "No"
        )
    left_out = JudgeAsk(True, True, True, keep_if_all_right=False, keep_if_all_wrong=True)
    assert builder.build(group(rollout(R)), Plan((left_out,), (), 0)).skipped == {"all_right": 1}
    assert len(builder.build(group(rollout(W)), Plan((left_out,), (), 0)).prompts) == 1
    both = Plan((), (ReflectionAsk(True), ReflectionAsk(False)), 0)
    assert [p.about for p in builder.build(group(*rollouts), both).prompts] == ["right", "wrong"]


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


@settings(max_examples=100, deadline=None)
@given(secret=st.text(alphabet="xyzqw", min_size=6, max_size=12))
def test_ground_truth_never_stands_in_a_prompt(tokenizer, secret):
    secret_group = dataclasses.replace(group(rollout(W, "9"), rollout(W, "5")), ground_truth=secret)
    for prompt in JudgeBuilder(EVERY_GROUP, tokenizer=tokenizer).build(secret_group).prompts:
        assert secret not in str([m["content"] for m in prompt.messages])


@pytest.mark.parametrize("truth", [["7", "seven"], np.array(["7", "seven"], dtype=object), {"a": 7}, 7, None])
def test_any_ground_truth_is_handed_on_untouched(builder, truth):
    prompts = builder.build(dataclasses.replace(group(rollout(W)), ground_truth=truth)).prompts
    reflections = [p for p in prompts if p.objective == "reflection"]
    assert len(reflections) == 1
    assert reflections[0].ground_truth is truth


@pytest.mark.parametrize("index", [3, "gsm8k-0017", np.int64(3), None])
def test_any_row_index_will_do(builder, index):
    assert builder.build(group(rollout(W), index=index)).prompts


def test_the_slot_tells_groups_without_an_index_apart(builder):
    ask = JudgeAsk(pairwise=False, right_first=False, show_right=False, keep_if_all_right=True, keep_if_all_wrong=True)
    wrong = [rollout(W, str(answer)) for answer in range(10, 40)]
    shown = {
        builder.build(group(*wrong, index=0), Plan((ask,), (), slot)).prompts[0].messages[-1]["content"][-1]["text"]
        for slot in range(20)
    }
    assert len(shown) > 10
