"""Read a judge's verdict: Yes/No or A/B, in the forms models write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from spark_verl.reward.extract import extract_answer
from spark_verl.reward.text import canonical
from spark_verl.vocabulary import LabelForm

_POSITIVE = r"yes|correct|right|true|accurate|valid|正确|是的?|对的?"
_NEGATIVE = (
    r"no|incorrect|wrong|false|inaccurate|invalid|in ?(?:correct|accurate|valid)"
    r"|(?:not|isn't|never) ?(?:\w+ ){0,2}(?:correct|right|true|accurate|valid)"
    r"|不是的?|否|不正确|不对|错误?的?"
)
# Half a yes is no verdict
_HEDGE = re.compile(
    r"\b(?:part(?:ial)?ly|mostly|almost|nearly|half|somewhat|maybe|perhaps|possibly|probably)\b|部分|基本",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"\b(?:not|never|cannot|hardly|\w+n't)\b", re.IGNORECASE)
# Not \b: Chinese has no spaces between words
_YES_NO = re.compile(rf"(?<![A-Za-z])(?:(?P<no>{_NEGATIVE})|(?P<yes>{_POSITIVE}))(?![A-Za-z])", re.IGNORECASE)
_LEADING = re.compile(r"(yes|no)\b(?!\s*(?:/|or\b|and\b|\||\\))\W*(.*)", re.IGNORECASE | re.DOTALL)
_OTHER_FIRST = re.compile(r"(?:or |and )?(yes|no)\b", re.IGNORECASE)

_NOUN = r"(?:answer|option|choice|response|candidate|solution|verdict|judge?ment|conclusion|proposal)"
_LETTER = r"[(\[]?([ab])[)\]]?"
_WHOLE_LETTER = re.compile(
    rf"(?:(?:the |my )?(?:final |correct |better )?{_NOUN}(?: is)?:? ?)?{_LETTER}(?P<rest>[\s.:,)(\-].*)?",
    re.IGNORECASE | re.DOTALL,
)
_LETTERS = re.compile(rf"(?:\b{_NOUN} |[(\[])([ABab])\b[)\]]?|(?<![A-Za-z0-9_])([AB])(?![A-Za-z0-9_])")
_COMPARISON = re.compile(
    rf"(?:{_NOUN} )?[(\[]?([AB])[)\]]? ?(?:(?:is|was|seems|looks)(?: \w+ly| much| far)? )?"
    rf"(?:(?P<better>better than|superior to|preferable to|preferred (?:to|over)|stronger than|beats|over|>{{1,2}})"
    rf"|worse than|inferior to|weaker than|<{{1,2}}) ?(?:{_NOUN} )?[(\[]?(?!\1)([AB])(?![A-Za-z]).*",
    re.IGNORECASE | re.DOTALL,
)
_MARK = re.compile(r"\[\[([^\[\]]{1,40})\]\]")
# "A careful look": an article; "A is right": a label
_MEANING = re.compile(r"[(\[]?[Aa][)\]]?\s*[(\[:,-]\s*(\w+(?: \w+)?)\W*$")
_ARTICLE = re.compile(
    r"\b[Aa] (?!(?:is|was|has|had|because|since|as|and|or|gives|reaches|seems|with|looks|wins)\b)(?=[a-z])"
)
_CUE = re.compile(
    r"(?:answer|verdict|judge?ment|conclusion|choice|decision|grade)[*_ ]{0,4}(?:\bis\b|:|：)[*_ ]{0,4}([^\n]{1,80})",
    re.IGNORECASE,
)
# In prose a mere "right" or "B" says nothing ("a right triangle", "let B be the midpoint"): it has to be a statement.
_STATES = (
    rf"(?:(?:\w+ly|indeed|also|thus|therefore|in fact) ){{0,2}}(?P<word>{_NEGATIVE}|{_POSITIVE})\b"
    r"(?=\s*(?:[.,;:!)]|$|because\b|since\b|as\b|and\b))"
)
_STATEMENT = re.compile(_STATES, re.IGNORECASE)
_ABOUT_IT = re.compile(
    rf"(?:\b{_NOUN}(?: [ab\d])?|\b(?:it|this|that|he|she)) (?:is|was|seems|appears|looks)(?: to be)? {_STATES}"
    rf"|\b(?:it|that)'s {_STATES.replace('?P<word>', '?P<word2>')}",
    re.IGNORECASE,
)
_PREFERS = re.compile(
    rf"\b(?:prefer|choose|pick|select|go with|favou?r) (?:the )?(?:{_NOUN} )?[(\[]?([AB])\b"
    rf"|\b(?:better|best|correct|right|preferred|stronger)(?: (?:one|{_NOUN}))? (?:is|:) (?:{_NOUN} )?[(\[]?([AB])\b",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(r"\*\*|__|[`#>$\"]|\\[()\[\]]")
_TAIL_CHARS = 600


def label_form_of(label: Any, form: str | None = None) -> LabelForm:
    """The form of a row's label.

    Args:
        label: "Yes", "No", "A" or "B".
        form: What the row says; a form without labels counts as nothing said.

    Raises:
        ValueError: The label is none of the form's, or of any form's.
    """
    labelled = [known for known in LabelForm if known.labels]
    found = [known for known in labelled if known == form] or [known for known in labelled if label in known.labels]
    if not found or label not in found[0].labels:
        allowed = found[0].labels if found else {str(known): known.labels for known in labelled}
        raise ValueError(
            f"reward_model.ground_truth must be a label of {allowed}, got {label!r} (label_form: {form!r})"
        )
    return found[0]


def parse_judgement(response: str, label_form: str, *, require_box: bool = False) -> str | None:
    """The verdict of a judge's response.

    The boxed answer decides; one that is no label, or both, is no verdict, whatever the text says. Without a box the
    last ``[[..]]``, else "verdict: .." / "answer is .." in the response's last 600 characters decides, or what the last
    line states.

    Args:
        response: The whole response.
        label_form: "yes_no" or "a_b".
        require_box: Accept boxed verdicts only.

    Returns:
        "Yes", "No", "A" or "B"; None for neither and for both.

    Raises:
        ValueError: ``label_form`` is unknown.

    Example:
        >>> parse_judgement(r"The sum is 12, so \\boxed{\\text{No}}", "yes_no")
        'No'
    """
    if label_form not in _READERS:
        raise ValueError(f"unknown label form {label_form!r}: choose from {sorted(_READERS)}")
    read, state = _READERS[label_form]
    boxed = extract_answer(response)
    if boxed is not None:
        return read(canonical(boxed[:_TAIL_CHARS]))
    if require_box or "boxed{" in response:  # an empty or unclosed box is no verdict
        return None
    tail = response[-_TAIL_CHARS:]
    if marked := [line for line in tail.splitlines() if _MARK.search(line)]:
        return _only(read(canonical(mark)) for mark in _MARK.findall(marked[-1]))
    return _read_prose(tail, state)


def _only(labels: Iterable[str | None]) -> str | None:
    """The label that all of them are."""
    found = set(labels)
    return found.pop() if len(found) == 1 else None


def _read_prose(tail: str, state: Callable[..., str | None]) -> str | None:
    tail = _MARKDOWN.sub("", tail)
    cues = _CUE.findall(tail)
    if cues and (label := state(canonical(cues[-1]), cue=True)) is not None:
        return label
    lines = [line for line in map(str.strip, tail.splitlines()) if line]
    return state(canonical(lines[-1]), cue=False) if lines else None


def _state_yes_no(text: str, cue: bool) -> str | None:
    """The label that a line of prose states; with ``cue``, what follows "answer is" or "verdict:"."""
    if _LEADING.match(text):
        return _read_yes_no(text)
    if cue or _STATEMENT.fullmatch(text):
        found = _STATEMENT.match(text)
        words = [found["word"]] if found else []
    else:
        words = [match["word"] or match["word2"] for match in _ABOUT_IT.finditer(text)]
    return _only(map(_read_yes_no, words))


def _state_a_b(text: str, cue: bool) -> str | None:
    """As :func:`_state_yes_no`: a letter at the beginning, or one that is said to be better."""
    if _WHOLE_LETTER.fullmatch(_ARTICLE.sub("", text)):
        return _read_a_b(text)
    return _only((match[1] or match[2]).upper() for match in _PREFERS.finditer(text))


def _read_yes_no(text: str) -> str | None:
    leading = _LEADING.match(text)
    if leading:
        label, rest = leading[1].capitalize(), leading[2]
        other = _OTHER_FIRST.match(rest)
        # "Yes, no" is both; "No, the correct answer is 12" is No
        half = label == "Yes" and _HEDGE.search(rest)
        return None if half or (other and other[1].capitalize() != label) else label
    found = {"No" if match["no"] else "Yes" for match in _YES_NO.finditer(text)}
    # "It does not match the correct one", "not wrong": a negation that belongs to no label
    if len(found) != 1 or _NEGATION.search(_YES_NO.sub("", text)):
        return None
    return None if found == {"Yes"} and _HEDGE.search(text) else found.pop()


def _read_a_b(text: str) -> str | None:
    text = _ARTICLE.sub("", text)
    if compared := _COMPARISON.fullmatch(text):
        return (compared[1] if compared["better"] else compared[3]).upper()
    whole = _WHOLE_LETTER.fullmatch(text)
    letters = {(m[1] or m[2]).upper() for m in _LETTERS.finditer(text)}
    clear = whole and (not whole["rest"] or whole[1].isupper() or text[0] in "([")
    if clear and letters <= {whole[1].upper()}:
        label = whole[1].upper()
    else:
        label = _only(letters)
    # Of one candidate "A" means that it is right: "A (incorrect)" says two things. Of two, "A is better, as it makes no
    # errors" says one.
    meaning = _MEANING.match(text) if label == "A" else None
    return None if meaning and _read_yes_no(meaning[1]) == "No" else label


_Readers = tuple[Callable[[str], str | None], Callable[[str, bool], str | None]]
_READERS: dict[str, _Readers] = {
    LabelForm.YES_NO: (_read_yes_no, _state_yes_no),
    LabelForm.A_B: (_read_a_b, _state_a_b),
}
"""How a boxed label is read, and how one in prose."""
