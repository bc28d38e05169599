"""Classes of equal answers."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.reward.same import same_answer
from spark_verl.self_reward.answers import ScoredGroup, group_answers
from spark_verl.vocabulary import Supervision


def grouped(answers: dict[int, str | None], limit: int | None = 4, right: dict[int, bool] | None = None) -> ScoredGroup:
    found = group_answers(
        answers, same_answer, question="7", supervision=Supervision.UNLABELLED, limit=limit, right=right
    )
    return asyncio.run(found)


@pytest.mark.parametrize(
    ("answers", "classes", "unanswered", "left_out"),
    [
        pytest.param(["7", "7", "8"], {"7": (0, 1), "8": (2,)}, (), (), id="by_votes"),
        pytest.param(["0.5", "1/2", "0.5"], {"0.5": (0, 1, 2)}, (), (), id="equal_spellings"),
        pytest.param(["b", "a"], {"a": (1,), "b": (0,)}, (), (), id="ties_by_spelling"),
        pytest.param([None, "3", ""], {"3": (1,)}, (0, 2), (), id="no_answer_no_class"),
        pytest.param([None, None], {}, (0, 1), (), id="nothing_parsed"),
        pytest.param(
            ["1", "1", "1", "2", "2", "3", "4", "5"],
            {"1": (0, 1, 2), "2": (3, 4), "3": (5,), "4": (6,)},
            (),
            (7,),
            id="only_the_largest_are_judged",
        ),
        # As a ground truth this would be a list of accepted answers.
        pytest.param(
            ['["1", "2"]', "1", "2"], {"1": (1,), "2": (2,), '["1", "2"]': (0,)}, (), (), id="a_list_of_guesses"
        ),
    ],
)
def test_classes(answers, classes, unanswered, left_out):
    found = grouped(dict(enumerate(answers)))
    assert {each.answer: each.sessions for each in found.classes} == classes
    assert (found.unanswered, found.left_out, found.size) == (unanswered, left_out, len(answers))


def test_a_spelling_cannot_tie_two_classes_together():
    async def like_x(one: str, other: str) -> bool:
        return one == other or "x" in (one, other)

    answers = {0: "a", 1: "a", 2: "b", 3: "b", 4: "x"}
    found = asyncio.run(group_answers(answers, like_x, question="", supervision=Supervision.UNLABELLED, limit=None))
    assert [each.sessions for each in found.classes] == [(0, 1, 4), (2, 3)]


def test_truth_of_a_class():
    found = grouped({0: "7", 1: "7.0", 2: "8", 3: "9"}, right={0: True, 1: True, 2: False})
    assert {each.answer: each.right for each in found.classes} == {"7": True, "8": False, "9": None}
    assert not found.known


@given(st.lists(st.sampled_from(["7", "7.0", "8", "(A)", "x+1", "", None]), max_size=8), st.randoms())
def test_the_order_of_the_samples_decides_nothing(answers, rng):
    order = list(range(len(answers)))
    rng.shuffle(order)
    one = grouped(dict(enumerate(answers)))
    other = grouped({place: answers[sample] for place, sample in enumerate(order)})
    renamed = {each.answer: sorted(order[place] for place in each.sessions) for each in other.classes}
    assert renamed == {each.answer: list(each.sessions) for each in one.classes}


HOSTILE = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            '["7", "8"]',
            "7 or 8",
            "7, 8",
            "7=8",
            "x",
            "",
            "7\\text{ or }8",
            "the answer",
            "(7,8)",
            "[7,8]",
            "\\pm 7",
            "{7,8}",
        ]
    ),
)


@given(HOSTILE, st.lists(st.sampled_from(["7", "7.0", "8", "9"]), min_size=1, max_size=6))
def test_a_hostile_answer_draws_no_votes_to_itself(hostile, honest):
    """Whatever is written into one box, the others' answers stay together and apart as they were without it."""
    alone = grouped(dict(enumerate(honest)), limit=None)
    beside = grouped({**dict(enumerate(honest)), len(honest): hostile}, limit=None)

    def parts(group: ScoredGroup) -> set[frozenset[int]]:
        classes = (frozenset(each.sessions) - {len(honest)} for each in group.classes)
        return {part for part in classes if part}

    assert parts(beside) == parts(alone)


def test_stored_as_json():
    group = grouped({0: "7", 1: "8", 2: None}, right={0: True, 1: False}).judged({"7": (3, 4, 4)})
    assert ScoredGroup.from_dict(json.loads(json.dumps(group.to_dict()))) == group
    assert [(each.yes, each.read, each.asked) for each in group.classes] == [(3, 4, 4), (0, 0, 0)]
