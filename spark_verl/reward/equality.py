"""Are two answers the same? Everything that can be said for certain without sympy, cheapest first.

``compare`` returns True, False or None, and None only when algebra has to decide. That matters for more than speed:
a task whose answers are numbers, letters or words never imports sympy and never starts a process, whatever a model
writes into the box.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from spark_verl.reward.expression import MalformedError, UnreadableError, evaluate, same_function
from spark_verl.reward.numbers import MAX_CHARS, Number, numbers_equal, parse_number
from spark_verl.reward.text import canonical, squash

_EQUATION = re.compile(r"(?<![<>!=:\\])=(?!=)")
_VARIABLE = re.compile(
    r"\s*(?:[A-Za-z](?:_\{?\w{1,8}\}?)?'?|\\[a-z]{2,8}|[A-Za-z] ?\([A-Za-z0-9, ]{1,12}\)|[A-Za-z]{2,3})\s*"
)
_MEMBER = re.compile(r"\s*[A-Za-z] ?\\in(?![A-Za-z])\s*")
_RELATION = re.compile(r"\\(?:le|ge|ne|lt|gt|approx|equiv|in)(?![A-Za-z])|[<>]")

_BEFORE_LETTER = re.compile(r"(?<=\d) (?=[A-Za-z])")

_LETTER = re.compile(
    r"(?:(?:the )?(?:correct )?(?:final )?(?:answer|option|choice)(?: is)?:? ?)?"
    r"(?:\(([A-J])\)[.:]?|\[([A-J])\][.:]?|([A-J])(?:[.:)]|$))\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_LETTER_SET = re.compile(r"\(?([A-J](?:(?: ?, ?and | and | ?[,;&/] ?|)[A-J])+)\)?")

_PLAIN_TEXT = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '\-.,&()])*")
_ARTICLE = re.compile(r"(?:the|an?) ", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+")
# Names that may stand in an expression whose value is a number
_NUMERIC_NAMES = frozenset(
    "e i j pi sqrt root cbrt sin cos tan cot sec csc arcsin arccos arctan asin acos atan sinh cosh tanh log ln lg exp "
    "abs max min gcd lcm mod floor ceil binom".split()
)
_ATTACHED_UNIT = re.compile(r"(.*\d)([A-Za-z])")
_CONSTANTS = frozenset("e i j pi".split())
_POLAR = {"yes", "no", "true", "false"}
_PLUS_MINUS = re.compile(r"\\pm(?![A-Za-z])")
_CONJUNCTION = re.compile(r",? (?:and|or) |;")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_RATIO = re.compile(r"\s*(\d{1,9})\s*:\s*(\d{1,9})\s*")
_MATRIX = re.compile(r"\s*\\begin\{[pbvBV]?matrix\}(.{1,2000}?)\\end\{[pbvBV]?matrix\}\s*", re.DOTALL)
_BRACKETS = {"(": ")", "[": "]", "{": "}", r"\{": r"\}"}

Choices = Mapping[str, str] | Sequence[str]


def compare(answer: str, truth: str, *, choices: Choices | None = None, tolerance: float | None = None) -> bool | None:
    """Compare an answer with one ground truth.

    Args:
        answer: The parsed answer, as the model wrote it.
        truth: The ground truth, unwrapped (see :func:`spark_verl.reward.verifier.accepted_answers`).
        choices: Options of a multiple-choice question, by letter or in the order A, B, ...
        tolerance: Relative tolerance for numbers.

    Returns:
        True or False when certain; None when only algebra can tell.
    """
    a, t = canonical(answer), canonical(truth)
    if not a or not t:
        return False
    # "5m" is read as algebra and "5 m" as a length, and both mean what they mean.
    if _BEFORE_LETTER.sub("", squash(a)) == _BEFORE_LETTER.sub("", squash(t)):
        return True
    decided = _compare_choice(a, t, choices)
    if decided is not None:
        return decided
    return _compare(*_without_lhs(a, t), tolerance, depth=0)


def _compare(a: str, t: str, tolerance: float | None, depth: int) -> bool | None:
    if squash(a) == squash(t):
        return True
    decided = _compare_numbers(a, t, tolerance)
    if decided is None:
        decided = _compare_words(a, t)
    if decided is None and depth < 3:
        decided = _compare_sequences(a, t, tolerance, depth)
    if decided is None and depth < 3:
        decided = _compare_matrices(a, t, tolerance, depth)
    if decided is None and (ratios := (_RATIO.fullmatch(a), _RATIO.fullmatch(t))) and all(ratios):
        (p, q), (r, s) = (map(int, ratio.groups()) for ratio in ratios)
        # 2:4 for 1:2 is for algebra to accept or not
        decided = None if p * s == q * r else False
    if decided is None and tolerance is None:
        decided = same_function(a, t)
    return decided


# -- equations ---------------------------------------------------------------------------------------------------------


def _without_lhs(a: str, t: str) -> tuple[str, str]:
    """Drop ``x =`` where the other side has none or the same one; ``3 + 4 = 7`` is 7 if the truth is no equation."""
    a_parts, t_parts = _EQUATION.split(a), _EQUATION.split(t)
    if len(a_parts) > 1 and len(t_parts) > 1:
        same = len(a_parts) == len(t_parts) == 2 and squash(a_parts[0]) == squash(t_parts[0])
        return (a_parts[1].strip(), t_parts[1].strip()) if same else (a, t)
    if len(a_parts) > 1 and not _RELATION.search(t):
        # "x = 1, y = 2" is not an equation for one value
        several = len(a_parts) > 2 and ("," in a or _CONJUNCTION.search(a))
        return (a, t) if several else (a_parts[-1].strip(), t)
    if len(t_parts) == 2 and _VARIABLE.fullmatch(t_parts[0]):
        return a, t_parts[1].strip()
    if _MEMBER.match(a) and not _RELATION.search(t):
        return a[_MEMBER.match(a).end() :], t
    if _MEMBER.match(t) and not _RELATION.search(a):
        return a, t[_MEMBER.match(t).end() :]
    return a, t


# -- multiple choice ---------------------------------------------------------------------------------------------------


def option_letter(text: str) -> str | None:
    """The letter A to J of an answer like ``B``, ``(b)``, ``B. 42``, ``Option B``; None when it is none of these."""
    match = _LETTER.fullmatch(text)
    if not match:
        return None
    letter = match[1] or match[2] or match[3]
    # "a. red" and "(a)" are options; a bare lower-case letter with text behind it may be anything
    return letter.upper()


def _compare_choice(a: str, t: str, choices: Choices | None) -> bool | None:
    t_letter = option_letter(t)
    options = _options(choices)
    if t_letter is None:
        if _LETTER_SET.fullmatch(t) and _ordered_letters(t):
            found = _letters(a) if _LETTER_SET.fullmatch(a.upper()) else None
            return None if found is None else found == _letters(t)
        if options and (a_letter := option_letter(a)) in options:
            # The truth is the text of an option, the answer its letter
            return _same_option(options[a_letter], t)
        return None
    if len(t) == 1 and t.islower():
        return None  # a variable, not an option
    a_letter = option_letter(a)
    if a_letter is not None:
        return a_letter == t_letter
    truth_text = _LETTER.fullmatch(t)[4].strip() or options.get(t_letter)
    if truth_text and _same_option(a, truth_text):
        return True
    if _LETTER_SET.fullmatch(a.upper()) or len(t) > 1 or not truth_text:
        return False
    return None if _compare(a, canonical(truth_text), None, 0) is None else False


def _same_option(a: str, b: str) -> bool:
    return bool(_compare(canonical(a), canonical(b), None, depth=0))


def _options(choices: Choices | None) -> dict[str, str]:
    if not choices:
        return {}
    if isinstance(choices, Mapping):
        return {str(key).strip("(). ").upper(): str(value) for key, value in choices.items()}
    found = {}
    for index, text in enumerate(choices):
        text, letter = canonical(str(text)), chr(ord("A") + index)
        # "A. red" and plain "red" both occur
        match = _LETTER.fullmatch(text)
        found[letter] = match[4] if match and match[4] and option_letter(text) == letter else text
    return found


def _letters(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"(?<![a-z])[A-J](?![a-z])", text.replace("and", ",").upper()))


def _ordered_letters(text: str) -> bool:
    letters = re.findall(r"[A-J]", text)
    return letters == sorted(set(letters))


# -- numbers -----------------------------------------------------------------------------------------------------------


def _compare_numbers(a: str, t: str, tolerance: float | None) -> bool | None:
    truth, answer = parse_number(t), parse_number(a)
    if truth is not None and answer is not None:
        return numbers_equal(answer, truth, tolerance)
    if truth is None and answer is None:
        return _compare_arithmetic(a, t)
    number, other = (truth, a) if truth is not None else (answer, t)
    attached = _ATTACHED_UNIT.fullmatch(other)
    if attached and number.unit:
        # Beside a measured value "5m" is one as well; beside a bare number it may be algebra.
        spaced = parse_number(f"{attached[1]} {attached[2]}")
        if spaced is not None and spaced.unit:
            pair = (spaced, number) if truth is not None else (number, spaced)
            return numbers_equal(*pair, tolerance)
    if _PLUS_MINUS.search(other):
        return None if "\\sqrt" in other else False
    try:
        value = Number(evaluate(other))
        return numbers_equal(value, number, tolerance) if truth is not None else numbers_equal(number, value, tolerance)
    except MalformedError:
        return False
    except UnreadableError:
        pass
    if "\\" in other:
        return None
    # What is left has no LaTeX. With a free variable or an ordinary word in it, it is not this number; neither is a
    # mere multiple of a constant ("5e"), nor what is beyond exact arithmetic (9^9^9^9), which no honest answer is.
    words = {word.lower() for word in _WORD.findall(other)}
    if number.unit.lower() in words:
        return None  # "1/2 h" and "h/2": the unit was a variable
    if not words or words - _NUMERIC_NAMES or len(other) > MAX_CHARS:
        return False
    return None if words - _CONSTANTS or re.search(r"[\^/*(+-]", other) else False


def _compare_arithmetic(a: str, t: str) -> bool | None:
    try:
        truth = evaluate(t)
        return evaluate(a) == truth
    except UnreadableError:
        return None


# -- words -------------------------------------------------------------------------------------------------------------


def _compare_words(a: str, t: str) -> bool | None:
    if not _is_words(t):
        return None
    wanted = _plain(t)
    if wanted in _POLAR:
        head = re.split(r"[,.;: ]", _plain_keep(a), maxsplit=1)[0]
        return head == wanted
    if _is_words(a):
        return _plain(a) == wanted or ("," in t and _parts(a) == _parts(t))
    return False if parse_number(a) is not None else None


def _is_words(text: str) -> bool:
    if not _PLAIN_TEXT.fullmatch(text):
        return False
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", text)]
    return any(len(word) > 1 and word not in _NUMERIC_NAMES for word in words) and _not_algebra(words)


def _not_algebra(words: list[str]) -> bool:
    # "xy" and "abc" may be products; real words have a vowel and at least three letters, or are short and common
    common = {"no", "up", "in", "on", "it", "he", "we", "am", "pm", "ok", "tv", "us", "uk", "of", "to", "by"}
    return any((len(word) > 2 and re.search(r"[aeiouy]|[^a-z]", word)) or word in common for word in words)


def _plain_keep(text: str) -> str:
    return _ARTICLE.sub("", text, count=1).casefold() if _ARTICLE.match(text) else text.casefold()


def _plain(text: str) -> str:
    """Case, articles, hyphens, punctuation and spaces removed from the start of an ordinary text."""
    return " ".join(re.sub(r"[\-.,&()]", " ", _plain_keep(text)).replace("'", "").split())


def _parts(text: str) -> list[str]:
    """The parts of an enumeration of words, in alphabetical order."""
    return sorted(_plain(part.strip()) for part in re.split(r",(?: and | or )?| and | or ", text))


# -- sequences ---------------------------------------------------------------------------------------------------------


def _compare_sequences(a: str, t: str, tolerance: float | None, depth: int) -> bool | None:
    a_open, a_items = _items(a)
    t_open, t_items = _items(t)
    if len(t_items) < 2 and len(a_items) < 2:
        return None
    if len(a_items) != len(t_items):
        # {1, 1, 2} may be {1, 2}; a union may be written in one piece
        return False if a_open == t_open == "" and _numbers_differ(a_items, t_items, tolerance) else None
    if a_open != t_open:
        # What is open on one side is closed on the other
        return False if {a_open, t_open} == {"(]", "[)"} else None
    ordered = t_open in ("(", "[", "(]", "[)")
    if ordered:
        return _all_equal([_compare(x, y, tolerance, depth + 1) for x, y in zip(a_items, t_items, strict=True)])
    if len(t_items) > 8:
        return None
    remaining, undecided = list(a_items), False
    for wanted in t_items:
        results = [_compare(item, wanted, tolerance, depth + 1) for item in remaining]
        if True in results:
            remaining.pop(results.index(True))
        elif None in results:
            undecided = True
        else:
            return False
    return None if undecided else True


def _numbers_differ(a_items: list[str], t_items: list[str], tolerance: float | None) -> bool:
    """Whether two collections of plain numbers are different sets for certain."""
    numbers = [[parse_number(item) for item in items] for items in (a_items, t_items)]
    if None in numbers[0] or None in numbers[1]:
        return False
    return any(
        not any(numbers_equal(number, other, tolerance) for other in others)
        for mine, others in (numbers, numbers[::-1])
        for number in mine
    )


def _compare_matrices(a: str, t: str, tolerance: float | None, depth: int) -> bool | None:
    """Element by element; different shapes are for algebra, which may take a row for a column."""
    found = [_MATRIX.fullmatch(text) for text in (a, t)]
    if not all(found):
        return None
    rows = [[row.split("&") for row in re.split(r"\\\\", match[1].strip().removesuffix("\\\\"))] for match in found]
    if [len(row) for row in rows[0]] != [len(row) for row in rows[1]]:
        return None
    pairs = [(x.strip(), y.strip()) for r, s in zip(*rows, strict=True) for x, y in zip(r, s, strict=True)]
    if len(pairs) > 64 or not all(x and y for x, y in pairs):
        return None
    return _all_equal([_compare(x, y, tolerance, depth + 1) for x, y in pairs])


def _all_equal(results: list[bool | None]) -> bool | None:
    if False in results:
        return False
    return None if None in results else True


def _items(text: str) -> tuple[str, list[str]]:
    """(brackets, items) of a list, tuple, set or interval; ``\\pm`` opens into its two values."""
    text = text.strip()
    kind, inner = "", text
    for opening, closing in _BRACKETS.items():
        if text.startswith(opening) and text[-1:] in (")", "]", "}"):
            kind = opening.lstrip("\\")
            tail = 2 if text.endswith("\\}") else 1
            inner = text[len(opening) : -tail]
            if text[-1] != closing[-1]:
                kind += text[-1]  # half-open interval
    items = _split(inner)
    if items is None or (kind and len(items) < 2):
        kind, items = "", _split(text) or [text]
    if kind == "{":
        kind = ""  # a set and a bare list are the same
    elif not kind and len(items) == 1:
        items = [part for piece in items for part in _CONJUNCTION.split(piece)]
    values: list[str] = []
    for item in items:
        item = _strip_variable(re.sub(r"^(?:and|or) ", "", item.strip()))
        parts = _PLUS_MINUS.split(item)
        if len(parts) == 2 and not kind:
            values += [f"{parts[0]}+{parts[1]}".lstrip("+").strip(), f"{parts[0]}-{parts[1]}"]
        else:
            values.append(item)
    return kind, values


def _strip_variable(item: str) -> str:
    parts = _EQUATION.split(item)
    return parts[1].strip() if len(parts) == 2 and _VARIABLE.fullmatch(parts[0]) else item


def _split(text: str) -> list[str] | None:
    """Split at the commas outside brackets; None when the brackets do not match.

    "1,000, 2,000" are two numbers: where some commas have a space behind them, those between thousands do not split.
    """
    items, depth, start = [], 0, 0
    thousands = {match.start() for match in _THOUSANDS.finditer(text)} if ", " in text else set()
    for index, char in enumerate(text):
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth < 0:
                return None
        elif char == "," and depth == 0 and index not in thousands:
            items.append(text[start:index])
            start = index + 1
    items.append(text[start:])
    return items if depth == 0 else None
