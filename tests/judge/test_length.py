"""Token budgets: a judge prompt fits, is shortened in the middle, falls back to its answer, or is skipped."""

from __future__ import annotations

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_verl.config import PairwiseConfig, PointwiseConfig, ReflectionConfig, SparkConfig
from spark_verl.judge import Correctness, JudgeBuilder, Rollout, RolloutGroup, build_judge_prompts
from spark_verl.judge.length import MARK, MIN_KEPT_SHARE, TokenBudget, question_tokens

R, W = Correctness.RIGHT, Correctness.WRONG
COT = SparkConfig(
    judge_prompts_per_group=1.0,
    reflection_prompts_per_group=1.0,
    pointwise=PointwiseConfig(cot_share=1.0),
    pairwise=PairwiseConfig(cot_share=1.0, share_in_mixed=1.0),
    reflection=ReflectionConfig(cot_share=1.0),
)
QUESTION = [{"role": "user", "content": "3 + 4?"}]


def chain(answer: str, words: int) -> str:
    return " ".join(["Start.", *(f"step {i}," for i in range(words)), f"So \\boxed{{{answer}}}"])


def group(*rollouts: Rollout, messages=None, prompt_tokens=20) -> RolloutGroup:
    return RolloutGroup("uid", messages or QUESTION, "7", 0, 1, rollouts, prompt_tokens)


@pytest.fixture(scope="module")
def budget(tokenizer) -> TokenBudget:
    return TokenBudget(tokenizer, None)


@settings(max_examples=150, deadline=None)
@given(text=st.text(min_size=0, max_size=400), limit=st.integers(0, 120))
def test_shortened_text_fits_and_keeps_both_ends(budget, text, limit):
    short = budget.shorten(text, limit)
    if short is None:
        assert len(budget.ids(text)) > limit
        return
    assert len(budget.ids(short)) <= limit or short == text == ""
    if short != text:
        head, tail = short.split(MARK)
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(head) + len(tail) >= MIN_KEPT_SHARE * len(text) - 40


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=200), min_size=2, max_size=3), st.integers(10, 300))
def test_several_texts_share_a_limit_and_short_ones_stay_whole(budget, texts, limit):
    named = {str(i): text for i, text in enumerate(texts)}
    short = budget.shorten_all(named, limit)
    if short is None:
        return
    assert list(short) == list(named)
    assert sum(len(budget.ids(text)) for text in short.values()) <= limit
    for name, text in named.items():
        if len(budget.ids(text)) <= limit // len(named):
            assert short[name] == text


@pytest.mark.parametrize(
    ("words", "limit", "adapted", "source", "skipped"),
    [
        (5, 400, {}, "cot", {}),
        (160, 1200, {"shortened": 1}, "cot", {}),
        (4000, 700, {"answer_only": 1}, "answer", {}),
        (4000, 60, {}, None, {"too_long": 1}),
    ],
    ids=["fits", "shortened", "answer only", "nothing fits"],
)
@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_a_long_chain_of_thought_gives_way_step_by_step(tokenizer, kind, words, limit, adapted, source, skipped):
    config = COT.replace(reflection_prompts_per_group=0.0)
    rollouts = [Rollout(chain("9", words), "9", W)]
    if kind == "pairwise":
        rollouts.append(Rollout(chain("7", words // 2), "7", R))
    result = JudgeBuilder(config, tokenizer=tokenizer, max_prompt_length=limit).build(group(*rollouts))
    assert (dict(result.adapted), dict(result.skipped)) == (adapted, skipped)
    assert [prompt.source for prompt in result.prompts] == [source] * (source is not None)
    for prompt in result.prompts:
        text = prompt.messages[-1]["content"]
        assert ("left out" in text) == bool(adapted.get("shortened"))
        if prompt.source == "cot":
            assert "Start." in text
            assert "\\boxed{9}" in text, "the end of a chain of thought holds its answer"


def test_no_answer_to_fall_back_to(tokenizer):
    builder = JudgeBuilder(COT, tokenizer=tokenizer, max_prompt_length=700)
    assert builder.build(group(Rollout(chain("", 4000), None, W))).skipped == {"too_long": 2}
    # Two chains of thought with one and the same answer: as bare answers they could not be told apart.
    same = [Rollout(chain("7", 4000) + " units", "7", W), Rollout(chain("7", 4000), "7", R)]
    result = JudgeBuilder(
        COT.replace(reflection_prompts_per_group=0.0), tokenizer=tokenizer, max_prompt_length=700
    ).build(group(*same))
    assert result.skipped == {"too_long": 1}


@pytest.mark.parametrize("limit", [150, 160, 170, 180, 190])
def test_the_limit_holds_for_the_whole_prompt_images_included(tokenizer, processor, data_folder, limit):
    rows = datasets.load_dataset("parquet", data_files=str(data_folder / "train.parquet"))["train"]
    config = COT.replace(templates="pkg://spark_verl.digits/templates")
    built = 0
    for row in rows.select(range(12)):
        images = [image.convert("RGB") for image in row["images"]]
        text = row["prompt"][-1]["content"].replace("<image>", "")
        content = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": text}]
        messages = [{"role": "user", "content": content}]
        tokens = question_tokens(messages, tokenizer, processor)
        assert tokens > 10 * len(images)
        finished = RolloutGroup(
            "uid", messages, "7", 0, 1, (Rollout(chain("9", 8), "9", W), Rollout(chain("7", 9), "7", R)), tokens
        )
        for prompt in JudgeBuilder(config, tokenizer=tokenizer, max_prompt_length=limit).build(finished).prompts:
            built += 1
            assert question_tokens(prompt.messages, tokenizer, processor) <= limit
    assert built


def test_the_one_call_form_measures_the_question_itself(tokenizer):
    finished = group(Rollout(chain("9", 120), "9", W), prompt_tokens=0)
    whole = build_judge_prompts(finished, COT, tokenizer=tokenizer)
    limited = build_judge_prompts(finished, COT, tokenizer=tokenizer, max_prompt_length=700)
    assert len(whole) == len(limited) == 2
    for long, short in zip(whole, limited, strict=True):
        assert question_tokens(long.messages, tokenizer) > 700 >= question_tokens(short.messages, tokenizer) > 350


def test_a_hundred_kilobytes_are_no_reason_to_tokenize(tokenizer):
    builder = JudgeBuilder(COT, tokenizer=tokenizer, max_prompt_length=400)
    result = builder.build(group(Rollout("a" * 100_000, "9", W)))
    assert [prompt.source for prompt in result.prompts] == ["answer", "answer"]
    assert builder.build(group(Rollout("a" * 100_000, "9" * 100_000, W))).skipped == {"too_long": 2}
