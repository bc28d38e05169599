"""The questions: their answers, their images, their split."""

from __future__ import annotations

from io import BytesIO
from random import Random

import numpy as np
import pytest
from PIL import Image

from spark_verl.digits.attempts import solution
from spark_verl.digits.questions import KINDS, Question, draw_question, labels, levels, pixels, pool


@pytest.mark.parametrize(
    ("kind", "pair", "answer", "step"),
    [
        ("sum", (3, 4), "7", "3+4=7"),
        ("sum", (9, 9), "18", "9+9=18"),
        ("two_images", (0, 8), "8", "0+8=8"),
        ("difference", (3, 8), "-5", "3-8=-5"),
        ("difference", (8, 3), "5", "8-3=5"),
        ("larger", (2, 9), "9", "9 is larger"),
        ("larger", (5, 5), "5", "5 is larger"),
        ("product", (7, 8), "56", "7*8=56"),
        ("product", (0, 9), "0", "0*9=0"),
    ],
)
def test_every_kind_has_the_right_answer(kind: str, pair: tuple[int, int], answer: str, step: str) -> None:
    question = Question(kind, (0, 1), pair)
    assert question.answer == answer
    assert solution(kind, pair, answer) == f"The digits are {pair[0]} and {pair[1]}. {step}."


def test_the_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    expected = load_digits()
    assert (levels() == expected.images).all() and (labels() == expected.target).all()
    assert (levels().dtype, labels().dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize(("kind", "low", "high"), [("larger", 0, 9), ("difference", -9, 9), ("product", 0, 81)])
def test_answers_of_a_kind(kind: str, low: int, high: int) -> None:
    answers = KINDS[kind].answers
    assert (answers[0], answers[-1]) == (low, high)
    assert list(answers) == sorted(set(answers))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_question_shows_what_it_says(kind: str, split: str) -> None:
    question = draw_question(Random(3), split, kind)
    assert question.digits == tuple(int(labels()[i]) for i in question.tiles)
    assert set(question.tiles) <= set(pool(split))
    images = question.images()
    assert question.prompt.count("<image>") == len(images) == KINDS[kind].images
    assert [image.size for image in images] == ([(112, 56)] if len(images) == 1 else [(56, 56)] * 2)
    for image, png in zip(images, question.png(), strict=True):
        assert np.array_equal(np.asarray(image), np.asarray(Image.open(BytesIO(png))))
    shown = np.concatenate([np.asarray(image)[..., 0] for image in images], axis=1)
    assert np.array_equal(shown, np.concatenate([pixels(levels()[i]) for i in question.tiles], axis=1))


def test_no_digit_image_is_in_both_splits() -> None:
    train, test = set(pool("train")), set(pool("test"))
    assert not train & test
    assert len(train | test) == len(labels()) == 1797
    assert {int(labels()[i]) for i in test} == set(range(10))


def test_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="'train' or 'test'"):
        pool("validation")


def test_pixels_are_dark_ink_on_white_paper() -> None:
    image = pixels(np.array([[0, 16], [8, 1]]))
    assert image.shape == (14, 14)
    assert (image[0, 0], image[0, 13], image[13, 0]) == (255, 0, 128)
