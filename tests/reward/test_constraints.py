"""Instructions about form: what follows each kind and what only looks like it; hostile responses and ground truths."""

from __future__ import annotations

import json

import py3langid
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spark_verl.reward.constraints import KINDS, LANGUAGES, RELATIONS, followed, read_constraints

NEEDS_LANGUAGE = {"language:response_language", "change_case:english_capital", "change_case:english_lowercase"}
"""Kinds for which py3langid reads the whole."""
THREE = "One. Two! Three?"
FRENCH = "Le renard brun saute par-dessus le chien paresseux."
ENGLISH = "The quick brown fox jumps over the lazy dog and then it goes home to sleep, since it is late already."

CASES: dict[str, list[tuple[dict, str, bool]]] = {
    "keywords:existence": [
        ({"keywords": ["tide", "full moon"]}, "At FULL\nmoon the Tide is high.", True),
        ({"keywords": ["tide", "moon"]}, "The tide is high.", False),
        ({"keywords": ["art"]}, "A party.", False),
        ({"keywords": [" tide"]}, "A riptide.", False),
        ({"keywords": ["tide "]}, "A tidewater.", False),
        ({"keywords": ["C++", "a.b"]}, "I like C++ and a.b very much.", True),
        ({"keywords": ["a.b"]}, "I like acb.", False),
        ({"keywords": ["犬"]}, "黒い犬がいる。", True),
        ({"keywords": ["I"]}, "So am i.", True),
    ],
    "keywords:frequency": [
        ({"keyword": "sea", "frequency": 2, "relation": "exactly"}, "Sea, sea.", True),
        ({"keyword": "sea", "frequency": 2, "relation": "exactly"}, "Sea, sea, sea.", False),
        ({"keyword": "sea", "frequency": 1, "relation": "at least"}, "Seaside.", False),
        ({"keyword": "sea", "frequency": 2, "relation": "less than"}, "The sea.", True),
        ({"keyword": "sea", "frequency": 2, "relation": "less than"}, "Sea and sea.", False),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["bad", "evil"]}, "All is well, badly put.", True),
        ({"forbidden_words": ["bad", "evil"]}, "Not EVIL.", False),
    ],
    "keywords:letter_frequency": [
        ({"letter": "l", "let_frequency": 3, "let_relation": "exactly"}, "Hello worLd", True),
        ({"letter": "!", "let_frequency": 2, "let_relation": "at least"}, "Hey!", False),
    ],
    "language:response_language": [
        ({"language": "fr"}, FRENCH, True),
        ({"language": "fr"}, ENGLISH, False),
        ({"language": "fr"}, f"{FRENCH * 8}\n{ENGLISH}", False),
        ({"language": "en"}, "12345", False),
        ({"language": "bg"}, "Бързата кафява лисица прескача мързеливото куче.", True),
        ({"language": "ru"}, "Бързата кафява лисица прескача мързеливото куче.", False),
    ],
    "length_constraints:number_sentences": [
        ({"num_sentences": 3, "relation": "exactly"}, THREE, True),
        ({"num_sentences": 3, "relation": "at most"}, f"{THREE} Four.", False),
        ({"num_sentences": 1, "relation": "exactly"}, "Dr. A. Smith paid 3.50 at 5 p.m. on site, e.g. for tea.", True),
        ({"num_sentences": 2, "relation": "exactly"}, 'He said "No." Then he left', True),
        ({"num_sentences": 2, "relation": "exactly"}, "Wait... what?!", True),
        ({"num_sentences": 2, "relation": "exactly"}, "一つ。二つ！", True),
        ({"num_sentences": 2, "relation": "exactly"}, "A title\n\n---\nand a line", True),
    ],
    "length_constraints:number_paragraphs": [
        ({"num_paragraphs": 2}, "One\n***\nTwo", True),
        ({"num_paragraphs": 2}, "One\n\n* * *\n\nTwo\n***", True),
        ({"num_paragraphs": 2}, "One *** Two", False),
        ({"num_paragraphs": 2}, "One\n***\n***\nTwo", False),
        ({"num_paragraphs": 1}, "One\n\nstill one", True),
    ],
    "length_constraints:number_words": [
        ({"num_words": 4, "relation": "exactly"}, "Don't panic, well-read friend!", True),
        ({"num_words": 4, "relation": "less than"}, "One two three four", False),
        ({"num_words": 50, "relation": "around"}, "word " * 54, True),
        ({"num_words": 50, "relation": "around"}, "word " * 56, False),
        ({"num_words": 2, "relation": "around"}, "word " * 3, True),
    ],
    "length_constraints:nth_paragraph_first_word": [
        ({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "weekend"}, "One.\n\n“Weekend, yes.", True),
        ({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "week"}, "One.\n\nWeekend.", False),
        ({"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "one"}, "One.\nStill one.", False),
        ({"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "one"}, "One.\n\nTwo.", False),
        ({"num_paragraphs": 3, "nth_paragraph": 3, "first_word": "c"}, "A\n \n\n\nB\n\nC", True),
    ],
    "detectable_content:number_placeholders": [
        ({"num_placeholders": 2}, "Dear [name], at [address].", True),
        ({"num_placeholders": 2}, "Dear [name], at [ ] and [].", False),
    ],
    "detectable_content:postscript": [
        ({"postscript_marker": "P.S."}, "Bye.\n\n**p. s.** One more.", True),
        ({"postscript_marker": "P.P.S"}, "Bye.\nP.P.S. Really.", True),
        ({"postscript_marker": "P.S."}, "Bye.\nP.S.", False),
        ({"postscript_marker": "P.S."}, "Bye.\n**P.S.**", False),
        ({"postscript_marker": "P.P.S"}, "Bye.\n**P.P.S:**", False),
        ({"postscript_marker": "P.S."}, "I wrote a P.S. yesterday.", False),
    ],
    "detectable_format:number_bullet_lists": [
        ({"num_bullets": 2}, "* one\n  - two\n* * *\n*bold* text\n- - -", True),
        ({"num_bullets": 2}, "* one\n* two\n+ three", False),
    ],
    "detectable_format:constrained_response": [
        ({}, "My answer is maybe.", True),
        ({}, "Perhaps.", False),
        ({"options": ["yes", "no"]}, " **Yes.** ", True),
        ({"options": ["yes", "no"]}, "y", False),
        ({"options": ["yes", "no"]}, "Yes and no", False),
    ],
    "detectable_format:number_highlighted_sections": [
        ({"num_highlights": 3}, "*one* and **two words** and *x*", True),
        ({"num_highlights": 1}, "* item\n* item", False),
        ({"num_highlights": 1}, "2 * 3 * 4 **", False),
        ({"num_highlights": 1}, "**bold*", False),
    ],
    "detectable_format:multiple_sections": [
        ({"section_spliter": "SECTION", "num_sections": 2}, "SECTION 1\na\n## **Section 2**\nb", True),
        ({"section_spliter": "SECTION", "num_sections": 2}, "SECTION 1\nas section 2 says", False),
        ({"section_spliter": "SECTION", "num_sections": 1}, "SECTION 1\nSECTION 2", False),
    ],
    "detectable_format:json_format": [
        ({}, '{"a": [1, 2]}', True),
        ({}, '```json\n{"a": 1}\n```', True),
        ({}, '```\n[1]\n```', True),
        ({}, 'Here: {"a": 1}', False),
        ({}, "42", False),
        ({}, '{"a": NaN}', False),
        ({}, "[" * 100_000, False),
    ],
    "detectable_format:title": [
        ({}, "<<poem of joy>>\nJoy.", True),
        ({}, "<< >>\n<<>> 1 << 2 >> x", True),
        ({}, "<< >>", False),
    ],
    "combination:two_responses": [
        ({}, "One\n******\nTwo", True),
        ({}, "******\nOne\n******\nTwo", True),
        ({}, "One\n******\nOne ", False),
        ({}, "One\n***\nTwo", False),
        ({}, "One ******* Two", False),
        ({}, "A ****** B ****** C", False),
    ],
    "combination:repeat_prompt": [
        ({"prompt_to_repeat": "Write a\npoem."}, "write a poem. Joy.", True),
        ({"prompt_to_repeat": "Write a poem."}, "Write a poem.", False),
        ({"prompt_to_repeat": "Write a poem."}, "Sure! Write a poem. Joy.", False),
    ],
    "startend:end_checker": [
        ({"end_phrase": "Any other questions?"}, 'So be it. "any other questions?"', True),
        ({"end_phrase": "Any other questions?"}, "Any other questions? No.", False),
    ],
    "startend:quotation": [
        ({}, '"All of it."', True),
        ({}, "“All of it.”", True),
        ({}, '"Some" of it', False),
        ({}, '""', False),
    ],
    "change_case:capital_word_frequency": [
        ({"capital_frequency": 2, "capital_relation": "at least"}, "VERY good, A plus", True),
        ({"capital_frequency": 1, "capital_relation": "at most"}, "VERY GOOD", False),
    ],
    "change_case:english_capital": [
        ({}, ENGLISH.upper(), True),
        ({}, ENGLISH, False),
        ({}, FRENCH.upper(), False),
        ({}, "42", False),
    ],
    "change_case:english_lowercase": [({}, ENGLISH.lower(), True), ({}, ENGLISH, False), ({}, FRENCH.lower(), False)],
    "punctuation:no_comma": [({}, "No; none.", True), ({}, "Yes, one.", False), ({}, "是，有。", False)],
}  # fmt: skip


def truth(*constraints: tuple[str, dict]) -> str:
    return json.dumps([{"id": name, **arguments} for name, arguments in constraints])


def test_every_kind_has_cases_of_both_sorts():
    assert CASES.keys() == KINDS.keys() and len(KINDS) == 25
    assert all({right for *_, right in cases} == {True, False} for cases in CASES.values())


@pytest.mark.parametrize(
    ("name", "arguments", "text", "right"),
    [(name, *case) for name, cases in CASES.items() for case in cases],
    ids=lambda value: str(value)[:40],
)
def test_follows(name, arguments, text, right):
    assert followed(text, truth((name, arguments))) == [right]


def test_every_language_is_one_that_the_library_knows():
    assert {name for name, _ in py3langid.rank("a")} >= LANGUAGES


def test_all_have_to_be_followed_and_the_thinking_is_none_of_the_response():
    both = truth(("punctuation:no_comma", {}), ("detectable_format:title", {}))
    assert followed("<<Joy>>", both) == [True, True]
    assert followed("<think>\nWell, well.</think>\n<<Joy>>", both) == [True, True]
    assert followed("<think><<Joy>></think>\nNo title.", both) == [True, False]
    assert followed(" \n ", both) == [False, False], "saying nothing follows nothing"


@pytest.mark.parametrize(
    ("ground_truth", "message"),
    [
        (None, "no JSON list of instructions: None"),
        ("18", "no JSON list of instructions: 18"),
        ("[]", "no JSON list of instructions"),
        ("[" * 100_000, "no JSON list of instructions"),
        ("{}", "no JSON list of instructions"),
        ("[1]", "there is no instruction None"),
        ('[{"id": ["a"]}]', "there is no instruction"),
        ('[{"id": "keywords:all"}]', "there is no instruction keywords:all"),
        ('[{"id": "keywords:existence"}]', "keywords is missing or unknown"),
        ('[{"id": "punctuation:no_comma", "n": 1}]', "n is missing or unknown"),
        ('[{"id": "keywords:existence", "keywords": []}]', "keywords cannot be []"),
        ('[{"id": "keywords:existence", "keywords": "tide"}]', "keywords cannot be tide"),
        ('[{"id": "keywords:existence", "keywords": [" "]}]', "keywords cannot be"),
        ('[{"id": "length_constraints:number_paragraphs", "num_paragraphs": true}]', "num_paragraphs cannot be True"),
        ('[{"id": "length_constraints:number_paragraphs", "num_paragraphs": -1}]', "num_paragraphs cannot be -1"),
        ('[{"id": "language:response_language", "language": "xx"}]', "language cannot be xx"),
        (
            '[{"id": "length_constraints:number_words", "num_words": 3, "relation": "over"}]',
            "relation cannot be over",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_ground_truths_that_mean_nothing_are_refused_in_one_line(ground_truth, message):
    with pytest.raises(ValueError) as error:
        followed("text", ground_truth)
    assert message in str(error.value) and "\n" not in str(error.value) and len(str(error.value)) < 250


def some(kind: object) -> object:
    """An argument of a kind."""
    if kind is RELATIONS:
        return "exactly"
    return {int: 3, str: "Sec", list: ["a", "b+"]}.get(kind, "en") if isinstance(kind, type) else "en"


EVERY = [{"id": name, **{key: some(needed) for key, needed in kind.needs.items()}} for name, kind in KINDS.items()]


@settings(max_examples=200)
@given(
    st.one_of(
        st.text(max_size=300),
        st.lists(
            st.sampled_from(
                ["*", "******", "[", "]", "<<", ">>", "\n", " ", ".", '"', "Sec 1", "a", "```", "{", "。", "P.S."]
            )
        ).map("".join),
    )
)
def test_no_response_makes_it_fail(text):
    found = followed(text, json.dumps(EVERY))
    assert len(found) == len(EVERY) and {type(each) for each in found} == {bool}


@pytest.mark.parametrize(
    "piece", ["a", " ", "\n", "*", "* a\n", "[", "[a", "<<", ".", '."', "Sec ", "a b+", "```\n", "{", "\n \n", "*a "]
)
def test_long_responses_take_no_longer_than_they_are(piece):
    """What takes time with the square of the length would not end."""
    text = piece * (200_000 // len(piece))
    cheap = [each for each in EVERY if each["id"] not in NEEDS_LANGUAGE]
    for response in (text, f"```{text}", f"[{text}", f"*{text}x"):
        assert len(followed(response, json.dumps(cheap))) == len(cheap)


@settings(max_examples=200)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.sampled_from(sorted(KINDS))),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "keywords", "options"]), inner)
        ),
        max_leaves=8,
    )
)
def test_no_ground_truth_makes_it_fail_otherwise(value):
    try:
        assert read_constraints(json.dumps(value))
    except ValueError as error:
        assert len(str(error)) < 250
