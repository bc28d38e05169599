"""Find the final answer in a response. One function for reward, judge data, judge verdicts and test time.

Every step is linear in the length of the text: responses are untrusted and can be megabytes of one character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

# One or two backslashes: a response that quotes JSON or Python source doubles them. Other escapes (\{, \\) are consumed
# in pairs so that an escaped brace never counts as a brace.
_TOKEN = re.compile(r"(?P<box>\\{1,2}(?:boxed|fbox)\s*\{)|\\[\s\S]|(?P<brace>[{}])")
_INK = re.compile(r"\S")
_WHOLE_BOX = re.compile(r"\\{1,2}(?:boxed|fbox)\s*\{")
# What TeX boxes without braces is one token; people mean the whole number or word
_BARE_BOX = re.compile(r"\\{1,2}(?:boxed|fbox)(?:\s+(?=[A-Za-z])|\s*(?=[-\d(]))([-A-Za-z0-9./()%]{1,40})")
_TEXT_COMMAND = re.compile(r"\\(?:text|textbf|textit|textrm|textsf|texttt|mathrm|mathbf|mathsf|mbox|bm)\s*\{")
_STYLE_PREFIX = re.compile(r"\\(?:displaystyle|textstyle|bf|rm|it)(?![A-Za-z])\s*")

_ANSWER_TAG = re.compile(r"<answer>((?:(?!<answer>)[\s\S]){0,2000}?)</answer>", re.IGNORECASE)
_ANSWER_LINE = re.compile(
    r"(?:^|\n)[ \t#>*_]{0,8}(?:final )?answer[ *_]{0,4}(?::|：|is)[ \t*_]{0,8}([^\n]{1,500})", re.IGNORECASE
)
_HASHES = re.compile(r"####[ \t]*([^\n]{1,500})")
_NUMBER = re.compile(r"-?\d[\d,]{0,40}(?:\.\d{1,40})?")


def _last(pattern: re.Pattern[str]) -> Callable[[str], str | None]:
    def find(text: str) -> str | None:
        found = None
        for match in pattern.finditer(text):
            found = match[1] if pattern.groups else match[0]
        return found

    return find


_bare_box = _last(_BARE_BOX)
FALLBACKS: dict[str, Callable[[str], str | None]] = {
    "answer_tag": _last(_ANSWER_TAG),
    "answer_line": _last(_ANSWER_LINE),
    "hashes": _last(_HASHES),
    "last_number": _last(_NUMBER),
}
"""Places to look when there is no box: ``<answer>..</answer>``, a line "Answer: ..", "#### ..", the last number."""


def extract_answer(text: str, fallbacks: Sequence[str] = ()) -> str | None:
    """Return the content of the last balanced, non-empty ``\\boxed{...}`` (or ``\\fbox``) of a response.

    Braces may nest; of nested boxes the innermost content counts. A box that never closes (a response cut off at the
    length limit) is passed over. Decoration around the whole answer is removed: spaces, ``$``, ``**``, ``\\text{}``;
    inside the answer it is kept, so that the text can be shown to a judge.

    Args:
        text: The response.
        fallbacks: Names from :data:`FALLBACKS`, tried in order when there is no such box. None by default: the reward
            asks for the box, and what is rewarded should not depend on guesses.

    Returns:
        The answer without surrounding decoration, never empty; None when there is none.

    Raises:
        ValueError: A fallback has an unknown name.

    Example:
        >>> extract_answer(r"so \\boxed{\\frac{1}{2}} kg")
        '\\\\frac{1}{2}'
    """
    unknown = [name for name in fallbacks if name not in FALLBACKS]
    if unknown:
        raise ValueError(f"unknown fallback {unknown[0]!r}: choose from {sorted(FALLBACKS)}")
    text = text[_end_of_thought(text) :]
    answer = _last_box(text)
    for find in (_bare_box, *(FALLBACKS[name] for name in fallbacks)):
        if answer is None and (found := find(text)):
            answer = undecorate(found).rstrip(".") or None
    return answer


def _end_of_thought(text: str) -> int:
    """Where the response begins that follows a closed ``<think>``; 0 where nothing follows it."""
    end = text.rfind("</think>") + len("</think>")
    return end if end >= len("</think>") and text[end:].strip() else 0


def _last_box(text: str) -> str | None:
    span: tuple[int, int] | None = None
    starts: list[int | None] = []  # content start of every open box, None for an ordinary brace
    for token in _TOKEN.finditer(text):
        if token["box"]:
            starts.append(token.end())
        elif token["brace"] == "{":
            starts.append(None)
        elif token["brace"] == "}" and starts:
            start = starts.pop()
            # The box that closes last is the last one: an outer box replaces those inside it, and a box that never
            # closes is never seen here.
            if start is not None and _INK.search(text, start, token.start()):
                span = (start, token.start())
    return None if span is None else undecorate(text[slice(*span)]) or None


def undecorate(answer: str) -> str:
    """Remove what surrounds a whole answer: spaces, ``$``, ``\\(``, ``**``, a box or ``\\text{}`` around all of it."""
    for _ in range(16):  # each round removes one layer; real answers have one or two
        before = answer
        answer = _STYLE_PREFIX.sub("", answer.strip(), count=1) if answer.startswith("\\") else answer.strip()
        for left, right in (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`")):
            if len(answer) > len(left) + len(right) and answer.startswith(left) and answer.endswith(right):
                inner = answer[len(left) : -len(right)]
                if left not in inner:
                    answer = inner
        for opening in (_WHOLE_BOX, _TEXT_COMMAND):
            match = opening.match(answer)
            if match and closing_brace(answer, match.end()) == len(answer) - 1:
                answer = answer[match.end() : -1]
        if answer == before:
            break
    return answer


def closing_brace(text: str, start: int) -> int:
    """Index of the brace that closes the group whose content begins at ``start``; -1 if it never closes."""
    depth = 1
    for token in _TOKEN.finditer(text, start):
        if token["box"] or token["brace"] == "{":
            depth += 1
        elif token["brace"] == "}":
            depth -= 1
            if depth == 0:
                return token.start()
    return -1
