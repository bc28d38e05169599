"""A word is its string wherever strings go, and a row's tag survives being stored."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spark_verl.vocabulary import (
    POSITIVE_LABELS,
    UNDECIDED,
    LabelForm,
    Objective,
    Outcome,
    RowTag,
    Source,
    Status,
    Word,
)


@pytest.mark.parametrize("word", [word for kind in Word.__subclasses__() for word in kind])
def test_a_word_is_its_string(word: Word) -> None:
    plain = word.value
    assert word == plain and hash(word) == hash(plain) and {plain: 1}[word] == 1
    assert f"{word}" == str(word) == plain
    assert json.dumps({word: word}) == json.dumps({plain: plain})
    assert type(word)(plain) is word


def test_labels_and_statuses() -> None:
    assert POSITIVE_LABELS == {"Yes", "A"}
    assert LabelForm.FREE.labels == ()
    assert UNDECIDED == ("timeout", "error", "unlabelled")
    assert [status.decided for status in Status] == [True, True, False, False, False]
    assert [objective.role for objective in Objective] == ["policy", "judge", "judge", "judge"]
    assert [outcome.value for outcome in Outcome] == ["mixed", "right", "wrong", "none"]


@given(
    st.builds(
        RowTag,
        objective=st.sampled_from(Objective),
        source=st.none() | st.sampled_from(Source),
        label_form=st.none() | st.sampled_from(LabelForm),
        about=st.none() | st.sampled_from(["right", "wrong", "both"]),
        parent=st.none() | st.text(),
        positive=st.none() | st.booleans(),
    )
)
def test_a_stored_tag_is_plain_and_comes_back(tag: RowTag) -> None:
    stored = json.loads(json.dumps(tag.to_dict()))
    assert stored["role"] == tag.role
    assert {type(value) for value in tag.to_dict().values()} <= {str, bool, type(None)}
    assert RowTag.from_dict(stored) == tag


def test_a_misspelt_word_fails_where_it_is_read() -> None:
    with pytest.raises(ValueError, match="'pairwize' is not a valid Objective"):
        RowTag.from_dict({"objective": "pairwize"})
