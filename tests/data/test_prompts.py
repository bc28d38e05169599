"""Questions: foreign instructions out, ours once at the end, one placeholder for each image."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spark_verl.data.errors import RowError
from spark_verl.data.prompts import IMAGE, INSTRUCTION, build_prompt, remove_instructions, written_options

FOREIGN = [
    # SPARK: README of InternLM/Spark, and the variants in ppo_utils/new_data_gen.py
    "Please first conduct reasoning, and then answer the question. Repeat the final answer using a '\\boxed{}'.",
    "Please first conduct reasoning, and then answer the question. Repeat the final answer using a '\\boxed{.}'",
    # SimpleRL-Zoo's Qwen prompt, GSM8K and MATH in verl's examples, geo3k in verl's examples
    "Please reason step by step, and put your final answer within \\boxed{}.",
    "Please reason step by step, and put your final answer within \\boxed{{}}.",
    "Let's think step by step and output the final answer within \\boxed{}.",
    'Let\'s think step by step and output the final answer after "####".',
    "You FIRST think about the reasoning process as an internal monologue and then provide the final answer. The "
    "reasoning process MUST BE enclosed within <think> </think> tags. The final answer MUST BE put in \\boxed{}.",
    INSTRUCTION,
]


@pytest.mark.parametrize("instruction", FOREIGN)
@pytest.mark.parametrize("form", ["{q} {i}", "{q}\n{i}", "{i}\n{q}", "{q}\n\n{i}\n", "{i} {q} {i}", "{q}{i}"])
def test_instructions_are_replaced(instruction: str, form: str) -> None:
    question = "What is the area of the square?"
    text = form.format(q=question, i=instruction)
    assert build_prompt(text, 0) == f"{question}\n{INSTRUCTION}"


@pytest.mark.parametrize(
    "question",
    [
        "Write the final answer as a fraction.",
        "Think step by step about what a proof is.",
        r"What does $\boxed{x}$ stand for?",
        "Put the ball in the box.",
        "Step by step, Ann walks 3 m. How far is it?",
    ],
)
def test_questions_stay_as_they_are(question: str) -> None:
    assert remove_instructions(question) == question


PIECES = st.sampled_from([*FOREIGN, "What is x?", "\n", " ", IMAGE, "A. red", "\\boxed{", "}", "step by step", "."])


@given(st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=60), st.integers(0, 3))
@example("Please reason step by step, Please reason step by step, and put your final answer within \\boxed{}.", 0)
def test_prompts_are_stable(question: str, images: int) -> None:
    """Whatever the question: one instruction, as many placeholders as images, and the same again when repeated."""
    try:
        prompt = build_prompt(question, images)
    except RowError as error:
        assert error.reason in ("empty_question", "placeholder_mismatch", "other_media", "special_token")
        return
    assert prompt.count(IMAGE) == images
    assert prompt.endswith(f"\n{INSTRUCTION}") and prompt.count(INSTRUCTION) == 1
    assert build_prompt(prompt, images) == prompt


@given(st.text(alphabet="please reasontpby,utfinlawhx\\{}.' \n", max_size=2000))
def test_hostile_text_is_read_in_time(text: str) -> None:
    remove_instructions(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["let's ", "think step by step ", "please ", "put your final answer in ", "\\boxed{ "]
)
def test_long_repetitions_take_linear_time(piece: str) -> None:
    remove_instructions(piece * (200_000 // len(piece)))


@pytest.mark.parametrize(
    ("question", "images", "start"),
    [
        ("Which one?", 1, "<image>\nWhich one?"),
        ("Which one?", 3, "<image><image><image>\nWhich one?"),
        ("<image>Which one?", 1, "<image>Which one?"),
        ("Is <image> like <image>?", 2, "Is <image> like <image>?"),
        ("Is this <image>?", 2, "<image>\nIs this <image>?"),
    ],
)
def test_placeholders(question: str, images: int, start: str) -> None:
    assert build_prompt(question, images) == f"{start}\n{INSTRUCTION}"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("A. 300, 400;B. 400, 300; C. 30; D. No correct answer", ["300, 400", "400, 300", "30", "No correct answer"]),
        ("How large?\nChoices:\nA:40°\nB:60°\nC:120°", ["40°", "60°", "120°"]),
        ("Is it even? Choices: (A) yes (B) no", ["yes", "no"]),
        ("What is the mass?\nA. $$10.5$$\nB. 2.3\nC. 5", ["$$10.5$$", "2.3", "5"]),
        ("Line from A. It ends in B. What is right?\nA. one\nB. two", ["one", "two"]),
        ("选项：\nA、甲\nB、乙", ["甲", "乙"]),
        ("(A). left (B). right", ["left", "right"]),
        ("Which of A-D is green?", None),
        ("Only A. stands here", None),
        ("B. comes before C. without an A", None),
        ("triangle ABC: AB = 3", None),
        ("Choose: A. B. C. D.", None),
        ("", None),
        ("Which?\nA. red\nB. blue\nAnswer with a letter.", ["red", "blue"]),
        ("Which?\n(A) red\n(B) blue\n(C) 3 cm", ["red", "blue", "3 cm"]),
        ("Which?\nB. blue\nA. red", None),
        ("Which?\nA. red\nC. blue", None),
        ("A. Smith walks. How far?", None),
        ("Which?" + "".join(f"\n{letter}. {letter}x" for letter in "ABCDEFGHIJB"), [f"{c}x" for c in "ABCDEFGHIJ"]),
        ("Which?\nA. red\nB. blue\nAnswer with a letter such as A.", ["red", "blue"]),
        ("A. vitamin A.\nB. vitamin B.\nC. none", ["vitamin A.", "vitamin B.", "none"]),
        ("Which holds?\nA. P(A) = 0.5\nB. P(B) = 0.3\nC. 1", ["P(A) = 0.5", "P(B) = 0.3", "1"]),
    ],
    ids=[
        "We-Math", "MathVerse", "DynaMath", "MMK12", "points are no options", "Chinese marks", "bracket and stop",
        "range", "one option", "no start", "geometry", "drawn in the image", "empty",
        "a sentence after them", "brackets", "wrong order", "a gap", "initials", "all letters and one again",
        "a letter behind them", "vitamins", "probabilities",
    ],
)  # fmt: skip
def test_written_options(text: str, options: list[str] | None) -> None:
    assert written_options(text) == (options and dict(zip("ABCDEFGHIJ", options, strict=False)))


@given(st.text())
def test_written_options_never_fail_and_count_from_a(text: str) -> None:
    found = written_options(text)
    assert found is None or (len(found) >= 2 and list(found) == list("ABCDEFGHIJ"[: len(found)]))
