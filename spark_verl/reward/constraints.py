"""Does a response follow the instructions about its form: length, format, keywords, case, language?

The 25 kinds of instruction of IFEval (arXiv 2311.07911), under its names, which are also those that RLVR-IFeval and the
paper's code check. A ground truth is a JSON list of them, and a response is right when it follows all:

    [{"id": "keywords:existence", "keywords": ["tide"]},
     {"id": "length_constraints:number_words", "num_words": 80, "relation": "at most"}]

Own code, since nothing on PyPI would do (docs/verifier.md). Where IFEval's or RLVR-IFeval's own check accepts what the
instruction does not say, this one does not: a keyword is a whole word, N sections are N, JSON is an object or a list.
Only the language is a library's: py3langid, whose answer is always the same for the same text.

Responses are untrusted: every check takes time about linear in their length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_verl.options import brief

Arguments = Mapping[str, Any]

RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "at least": lambda found, wanted: found >= wanted,
    "at most": lambda found, wanted: found <= wanted,
    "less than": lambda found, wanted: found < wanted,
    "exactly": lambda found, wanted: found == wanted,
    "around": lambda found, wanted: abs(found - wanted) <= max(1, round(wanted / 10)),
}
"""How a number may compare with the one that was asked for."""

LANGUAGES = frozenset(
    "ar bg bn cs da de el en es fa fi fr gu he hi hu id it ja kn ko ml mr ne nl pa pl pt ro ru sv sw ta te th tr uk ur"
    " vi zh".split()
)
"""Among these a text's language is told: IFEval's, and others that are written much."""

ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
"""Of ``detectable_format:constrained_response`` without options."""

_WORD = re.compile(r"\w+(?:['’\-]\w+)*")
# Scripts without spaces between words, and Korean, where particles follow without one.
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_STOP = re.compile(r"(?<![.!?…])[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+|\n")
_NO_STOP = re.compile(r"\b(?:(?i:mr|mrs|ms|dr|prof|st|vs|etc|fig|approx|jr|sr|cf|al|(?:[a-z]\.)+[a-z])|[A-HJ-Z])\.$")
_DIVIDER = re.compile(r"^[ \t]*\*[ \t]?\*[ \t]?\*[ \t]*$", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*[*+-][ \t]+(?![*\-][ \t*\-]*$)\S", re.MULTILINE)
_EMPHASIS = re.compile(r"(?<!\*)(\*{1,3})(?![\s*])[^*\n]*[^\s*]\1(?!\*)")
_PLACEHOLDER = re.compile(r"\[([^\[\]\n]+)\]")
_TITLE = re.compile(r"<<([^<>\n]+)>>")
_COMMAS = frozenset(",，、،")
_QUOTES = {'"': '"', "“": "”"}


# -- counting ----------------------------------------------------------------------------------------------------------


def count_sentences(text: str) -> int:
    """Sentences: what ends in a full stop, a question or an exclamation mark, or with its line."""
    count, start = 0, 0
    for stop in _STOP.finditer(text):
        if stop[0] == "." and _NO_STOP.search(text, max(start, stop.end() - 12), stop.end()):
            continue
        count += bool(_WORD.search(text, start, stop.end()))
        start = stop.end()
    return count + bool(_WORD.search(text, start))


def count_keyword(text: str, keyword: str) -> int:
    """Times that a word or phrase stands in a text, in any case and as a whole."""
    keyword = keyword.strip()
    words = r"\s+".join(map(re.escape, keyword.split()))
    first, last = (
        "" if re.match(r"\W", edge) or _UNSPACED.match(edge) else r"\b" for edge in (keyword[0], keyword[-1])
    )
    return len(re.findall(f"{first}{words}{last}", text, re.IGNORECASE))


def _filled(pattern: re.Pattern[str], text: str) -> int:
    """How many brackets have something in them."""
    return sum(not inner.isspace() for inner in pattern.findall(text))


def language_of(text: str) -> str | None:
    """The most probable of :data:`LANGUAGES`; None where a text has no letters."""
    import py3langid  # its model takes a second, which only runs with such constraints have to spend

    if not any(map(str.isalpha, text)):
        return None
    return next(name for name, _ in py3langid.rank(text) if name in LANGUAGES)


def _in_language(text: str, language: str) -> bool:
    """Whether all of it is in a language: as a whole, and each line that is long enough to tell."""
    pieces = [text, *(line for line in text.splitlines() if sum(map(str.isalpha, line)) >= 60)]
    return all(language_of(piece) == language for piece in pieces)


def _parts(pieces: Sequence[str]) -> list[str]:
    """What stands between dividers; one before everything or behind it divides nothing."""
    parts = [piece.strip() for piece in pieces]
    kept = [i for i, part in enumerate(parts) if part]
    return parts[kept[0] : kept[-1] + 1] if kept else []


def _sections(text: str, splitter: str) -> int:
    return len(re.findall(rf"^[#* \t]*{re.escape(splitter.strip())}[ \t]*\d+\b", text, re.MULTILINE | re.IGNORECASE))


# -- the kinds ---------------------------------------------------------------------------------------------------------


def _first_word(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    paragraphs = [part for part in re.split(r"\n[ \t]*\n\s*", text) if part.strip()]
    if len(paragraphs) != num_paragraphs or not 1 <= nth_paragraph <= num_paragraphs:
        return False
    words = re.sub(r"^\W+", "", paragraphs[nth_paragraph - 1]).casefold()
    wanted = first_word.strip().casefold()
    return words.startswith(wanted) and not re.match(r"\w", words[len(wanted) :])


def _paragraphs(text: str, num_paragraphs: int) -> bool:
    parts = _parts(_DIVIDER.split(text))
    return all(parts) and len(parts) == num_paragraphs


def _postscript(text: str, postscript_marker: str) -> bool:
    letters = r"\s?".join(re.escape(letter) for letter in postscript_marker.strip() if not letter.isspace())
    return bool(re.search(rf"^[ \t*_]*{letters}[^\w\n]*\w", text, re.MULTILINE | re.IGNORECASE))


def _constrained(text: str, options: Sequence[str] = ANSWERS) -> bool:
    def bare(answer: str) -> str:
        return answer.strip().strip("\"'“”*`").rstrip(".").strip().casefold()

    return bare(text) in map(bare, options)


def _json(text: str) -> bool:
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict | list)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _repeated(text: str, prompt_to_repeat: str) -> bool:
    said, wanted = (" ".join(part.split()).casefold() for part in (text, prompt_to_repeat))
    return said.startswith(wanted) and len(said) > len(wanted)


def _two_responses(text: str) -> bool:
    parts = _parts(re.split(r"(?<!\*)\*{6}(?!\*)", text))
    return len(parts) == 2 and parts[0] != parts[1]


def _ends(text: str, end_phrase: str) -> bool:
    return text.strip("\"'“” \n").casefold().endswith(end_phrase.strip("\"'“” \n").casefold())


def _quoted(text: str) -> bool:
    return len(text) > 2 and _QUOTES.get(text[0]) == text[-1] and bool(text[1:-1].strip())


@dataclass(frozen=True)
class Kind:
    """A kind of instruction.

    Attributes:
        check: Called with the response and the instruction's arguments.
        needs: Names and types of the arguments; ``RELATIONS`` for one of these words.
        optional: Those of the arguments that may be left out.
    """

    check: Callable[..., bool]
    needs: Mapping[str, Any] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()


def _counted(count: Callable[..., int], number: str, relation: str = "", **needs: Any) -> Kind:
    """A kind that counts; without the name of a relation there has to be at least the number.

    Args:
        count: Called with the response and the other arguments.
        number: Name of the argument with the number.
        relation: Name of the argument with the relation.
        **needs: The other arguments.
    """

    def check(text: str, **arguments: Any) -> bool:
        wanted, how = arguments.pop(number), arguments.pop(relation) if relation else "at least"
        return RELATIONS[how](count(text, **arguments), wanted)

    return Kind(check, {**needs, number: int} | ({relation: RELATIONS} if relation else {}))


KINDS: dict[str, Kind] = {
    "keywords:existence": Kind(
        lambda text, keywords: all(count_keyword(text, word) for word in keywords), {"keywords": list}
    ),
    "keywords:frequency": _counted(count_keyword, "frequency", "relation", keyword=str),
    "keywords:forbidden_words": Kind(
        lambda text, forbidden_words: not any(count_keyword(text, word) for word in forbidden_words),
        {"forbidden_words": list},
    ),
    "keywords:letter_frequency": _counted(
        lambda text, letter: text.casefold().count(letter.casefold()), "let_frequency", "let_relation", letter=str
    ),
    "language:response_language": Kind(_in_language, {"language": LANGUAGES}),
    "length_constraints:number_sentences": _counted(count_sentences, "num_sentences", "relation"),
    "length_constraints:number_paragraphs": Kind(_paragraphs, {"num_paragraphs": int}),
    "length_constraints:number_words": _counted(lambda text: len(_WORD.findall(text)), "num_words", "relation"),
    "length_constraints:nth_paragraph_first_word": Kind(
        _first_word, {"num_paragraphs": int, "nth_paragraph": int, "first_word": str}
    ),
    "detectable_content:number_placeholders": _counted(lambda text: _filled(_PLACEHOLDER, text), "num_placeholders"),
    "detectable_content:postscript": Kind(_postscript, {"postscript_marker": str}),
    "detectable_format:number_bullet_lists": Kind(
        lambda text, num_bullets: len(_BULLET.findall(text)) == num_bullets, {"num_bullets": int}
    ),
    "detectable_format:constrained_response": Kind(_constrained, {"options": list}, frozenset({"options"})),
    "detectable_format:number_highlighted_sections": _counted(
        lambda text: len(_EMPHASIS.findall(text)), "num_highlights"
    ),
    "detectable_format:multiple_sections": Kind(
        lambda text, section_spliter, num_sections: _sections(text, section_spliter) == num_sections,
        {"section_spliter": str, "num_sections": int},
    ),
    "detectable_format:json_format": Kind(_json),
    "detectable_format:title": Kind(lambda text: _filled(_TITLE, text) > 0),
    "combination:two_responses": Kind(_two_responses),
    "combination:repeat_prompt": Kind(_repeated, {"prompt_to_repeat": str}),
    "startend:end_checker": Kind(_ends, {"end_phrase": str}),
    "startend:quotation": Kind(_quoted),
    "change_case:capital_word_frequency": _counted(
        lambda text: sum(word.isupper() for word in _WORD.findall(text)), "capital_frequency", "capital_relation"
    ),
    "change_case:english_capital": Kind(lambda text: text.isupper() and _in_language(text, "en")),
    "change_case:english_lowercase": Kind(lambda text: text.islower() and _in_language(text, "en")),
    "punctuation:no_comma": Kind(lambda text: _COMMAS.isdisjoint(text)),
}


# -- a ground truth ----------------------------------------------------------------------------------------------------


def read_constraints(ground_truth: Any) -> list[dict[str, Any]]:
    """The instructions in a ground truth, checked.

    Args:
        ground_truth: See the module.

    Raises:
        ValueError: It is no JSON list of instructions, or one of them is unknown or lacks something.
    """
    try:
        constraints = json.loads(ground_truth)
    except (ValueError, TypeError, RecursionError):
        constraints = None
    if not isinstance(constraints, list) or not constraints:
        raise ValueError(f"the ground truth is no JSON list of instructions: {brief(ground_truth)}")
    return [_checked(constraint) for constraint in constraints]


def _checked(constraint: Any) -> dict[str, Any]:
    name = constraint.get("id") if isinstance(constraint, dict) else None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"there is no instruction {brief(name)}: choose from {brief(', '.join(KINDS))}")
    _, given = _arguments(constraint)
    if missing := kind.needs.keys() - given.keys() - kind.optional or given.keys() - kind.needs.keys():
        raise ValueError(f"{name} has the arguments {sorted(kind.needs)}: {brief(min(missing))} is missing or unknown")
    for key, value in given.items():
        if not _fits(value, kind.needs[key]):
            raise ValueError(f"{name}: {key} cannot be {brief(value)}")
    return constraint


def _arguments(constraint: Arguments) -> tuple[str, Arguments]:
    """Name and arguments of an instruction."""
    return constraint["id"], {key: value for key, value in constraint.items() if key != "id"}


def _fits(value: Any, kind: Any) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if kind is list:
        return isinstance(value, list) and bool(value) and all(_fits(item, str) for item in value)
    text = isinstance(value, str) and bool(value.strip())
    return text if kind is str else text and value in kind


def followed(response: str, ground_truth: Any) -> list[bool]:
    """Which of the instructions a response follows, in their order; an empty response follows none.

    Args:
        response: What follows a closing ``</think>`` counts.
        ground_truth: See the module.

    Raises:
        ValueError: See :func:`read_constraints`.

    Example:
        >>> followed("No, thanks.", '[{"id": "punctuation:no_comma"}, {"id": "detectable_format:title"}]')
        [False, False]
    """
    text = answer_of(response)
    return [
        bool(text) and KINDS[name].check(text, **arguments)
        for name, arguments in map(_arguments, read_constraints(ground_truth))
    ]


def answer_of(response: str) -> str:
    """What of a response is meant for the reader."""
    return response.rpartition("</think>")[2].strip()
