"""P(Yes) where the verdict is written, pooling of equal answers, and messages as servers want them."""

from __future__ import annotations

import asyncio
import base64
import io
import math

import pytest
from openai.types.chat import ChatCompletionTokenLogprob
from openai.types.chat.chat_completion_token_logprob import TopLogprob
from PIL import Image

from spark_verl.evaluation.judging import verdict_probability
from spark_verl.evaluation.question import to_openai
from spark_verl.evaluation.strategies import pool_answers
from spark_verl.vocabulary import LabelForm


def tokens(*parts: str | tuple[str, dict[str, float]]) -> list[ChatCompletionTokenLogprob]:
    """Tokens; one with alternatives is ``(text, {text: probability})``."""
    found = []
    for part in parts:
        text, table = part if isinstance(part, tuple) else (part, {part: 1.0})
        top = [TopLogprob(token=other, logprob=math.log(p)) for other, p in table.items()]
        found.append(ChatCompletionTokenLogprob(token=text, logprob=math.log(table[text]), top_logprobs=top))
    return found


@pytest.mark.parametrize(
    ("why", "parts", "form", "positive", "mass"),
    [
        ("plain", ["\\boxed{", ("Yes", {"Yes": 0.6, "No": 0.2, "I": 0.2}), "}"], "yes_no", 0.75, 0.8),
        ("cut inside", ["\\boxed", ("{Y", {"{Y": 0.3, "{N": 0.6}), "es}"], "yes_no", 1 / 3, 0.9),
        ("with a space", ["is \\boxed{", (" No", {" No": 0.9, " Yes": 0.1}), "}"], "yes_no", 0.1, 1.0),
        ("spellings add up", ["\\boxed{", ("Yes", {"Yes": 0.4, "yes": 0.2, "No": 0.2}), "}"], "yes_no", 0.75, 0.8),
        ("letters", ["\\boxed{", ("B", {"A": 0.1, "B": 0.3, "C": 0.6}), "}"], "a_b", 0.25, 0.4),
        ("earlier label does not count", [("Yes", {"Yes": 0.9, "No": 0.1}), " but \\boxed{",
         ("No", {"No": 0.8, "Yes": 0.2}), "}"], "yes_no", 0.2, 1.0),
        ("without a box", ["Verdict: ", ("Yes", {"Yes": 0.5, "No": 0.5})], "yes_no", 0.5, 1.0),
    ],
)  # fmt: skip
def test_where_the_labels_part(why, parts, form, positive, mass):
    found = verdict_probability(tokens(*parts), LabelForm(form))
    assert (found.positive, found.mass) == (pytest.approx(positive), pytest.approx(mass)), why


@pytest.mark.parametrize("parts", [[], ["I do not know."], ["\\boxed{", "correct", "}"], ["\\boxed{Yes, No}"],
                                   ["\\boxed{Incorrect}", ", so ", "No"]])  # fmt: skip
def test_no_label_no_probability(parts):
    assert verdict_probability(tokens(*parts), LabelForm.YES_NO) is None


@pytest.mark.parametrize(
    ("answers", "choices", "pools"),
    [
        (["1/2", "0.5", "3", None, "\\frac{1}{2}"], None, [0, 0, 1, None, 0]),
        (["x+1", "1+x", "x+2"], None, [0, 0, 1]),
        (["A", "red", "B"], {"A": "red", "B": "blue"}, [0, 0, 1]),
        ([None, None], None, [None, None]),
        (["9" * 3000, "9" * 3000, "8" * 3000], None, [0, 0, 1]),
        # A list of guesses votes for none of them; nothing votes for nothing.
        (['["1", "2"]', "1", "2", ""], None, [0, 1, 2, None]),
    ],
)
def test_equal_answers_are_pooled(answers, choices, pools):
    assert asyncio.run(pool_answers(answers, choices)) == pools


def test_messages_keep_their_order_and_join_their_text():
    content = [
        {"type": "image", "image": Image.new("CMYK", (2, 2))},
        {"type": "text", "text": "What"},
        {"type": "text", "text": "\n\nRight?"},
    ]
    (message,) = to_openai([{"role": "user", "content": content}])
    kind, url = message["content"][0]["type"], message["content"][0]["image_url"]["url"]
    assert kind == "image_url" and url.startswith("data:image/png;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size == (2, 2)
    assert message["content"][1:] == [{"type": "text", "text": "What\n\nRight?"}]
    assert to_openai([{"role": "user", "content": "plain"}]) == [{"role": "user", "content": "plain"}]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "video", "video": "x"}, "'video'"),
        ({"type": "image", "image": b"no image"}, "8 bytes that are no image"),
        ({"type": "image", "image": "/nowhere.png"}, "cannot be read"),
    ],
)
def test_what_cannot_be_sent(part, message):
    with pytest.raises(ValueError, match=message):
        to_openai([{"role": "user", "content": [part]}])
