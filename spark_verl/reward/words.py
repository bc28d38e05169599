"""Ordinary words: which texts are made of them, which of them say nothing, and the numbers that they can spell."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

NUMERIC_NAMES = frozenset(
    "e i j pi sqrt root cbrt sin cos tan cot sec csc arcsin arccos arctan asin acos atan sinh cosh tanh log ln lg exp "
    "abs max min gcd lcm mod floor ceil binom".split()
)
"""Names that may stand in an expression whose value is a number."""

_PLAIN_TEXT = re.compile(r"[^\W\d_](?:[^\W\d_]|[ '\-.,&()!?])*")
# Short words that are no products of variables
_SHORT_WORDS = frozenset(
    "no up in on it he we am pm ok tv us uk of to by is as or and the for are was has had not all any won sum "
    "odd".split()
)
_RUN = re.compile(r"(?<!\\)(?<![A-Za-z])[A-Za-z]{2,}")
_NAMED = re.compile(r"\\[A-Za-z]+")
_HAN = re.compile("[\u4e00-\u9fff]")
# Not what belongs to a number: -3, 3.5, 3!
_PUNCTUATION = re.compile(r"(?<=[^\W\d])-(?=[^\W\d])|(?<!\d)[.,!]|[.,](?!\d)|[&()?\"{}\\]")
HAN_NUMBER = re.compile("负?[零〇一二两三四五六七八九十百千万亿]+(?:分之[零〇一二两三四五六七八九十百千万亿]+)?")
_ARTICLE = re.compile(r"(?:the|an?) ", re.IGNORECASE)
_ORDINALS = {
    word: f"{number}{'stndrd'[2 * number - 2 : 2 * number] if number < 4 else 'th'}"
    for number, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split(), start=1
    )
}

_LEAD = re.compile(
    r"(?:(?:so|thus|therefore|hence|then|\\therefore|∴|和?所以|因此|故|综上(?:所述)?|解)[ ,:]{0,2})?"
    r"(?:"
    r"(?:the |my |our )?(?:(?:correct|final|right|required|best) ){0,2}(?:answer|result|option|choice)s?"
    r"(?: to (?:the|this) (?:question|problem))?(?: (?:is|are|would be|must be|equals)(?![a-z])| ?[:=])+"
    r"(?: ?(?:option|choice|answer))?(?: |:|(?=[^a-z]))"
    r"|\[?(?:正确|最终|本题)?(?:的)?(?:答案|选项|结果|答|应?选择?|选)\]?(?:应该?)?(?:是|为|选|:| )*"
    r")\s*",
    re.IGNORECASE,
)
_AFTERWORD = re.compile(
    r"(?<=.) is (?:the |my )?(?:(?:correct|final|right) )?(?:answer|option|choice|result)", re.IGNORECASE
)
_CONCLUSION = re.compile(r"(?:so|thus|therefore|hence|\\therefore|∴|所以|因此|故|即)[ ,:]{0,2}(?=.)", re.IGNORECASE)

POLAR = {"yes": "yes", "no": "no", "true": "true", "false": "false"}
_POLAR_FIRST = re.compile(r"(yes|no|true|false)\b\s*(?:[,.;:!-]\s*(.*))?", re.IGNORECASE | re.DOTALL)
_TAKES_BACK = re.compile(
    r"(?<![a-z])(?:yes|no|true|false|not sure|unsure|cannot|can't|maybe|perhaps|unless|depends|or)(?![a-z])",
    re.IGNORECASE,
)

_ONES: dict[str, int] = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
} | {"a": 1, "an": 1}
_TENS: dict[str, int] = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
SCALES = {
    "dozen": 12,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "万": 10**4,
    "亿": 10**8,
}
_PARTS = {
    name + plural: value
    for value, names in {2: "half", 3: "third", 4: "quarter fourth", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth",
                         9: "ninth", 10: "tenth", 12: "twelfth", 100: "hundredth"}.items()
    for name in names.split()
    for plural in ("", "s")
} | {"halves": 2}  # fmt: skip


def is_words(text: str) -> bool:
    """Whether a text is ordinary words rather than algebra: "xy" and "abc" may be products."""
    if not _PLAIN_TEXT.fullmatch(text):
        return False
    words = [word.lower() for word in re.findall(r"[^\W\d_]+", text)]
    return any(len(word) > 1 and word not in NUMERIC_NAMES for word in words) and any(
        (len(word) > 2 and re.search(r"[aeiouy]|[^a-z]", word)) or word in _SHORT_WORDS for word in words
    )


def has_words(text: str) -> bool:
    """Whether there are ordinary words among what may be numbers and symbols: then it is no algebra.

    >>> has_words("Mike won. He had 4 more"), has_words("a^{3}-3abc"), has_words("abcd+1")
    (True, False, True)
    """
    if _HAN.search(text):
        return True
    for run in _RUN.findall(_NAMED.sub(" ", text)):
        word = run.lower()
        if word in NUMERIC_NAMES:
            continue
        if word in _SHORT_WORDS or (len(word) > 3 and re.search("[aeiouy]", word)):
            return True
    return False


def without_article(text: str) -> str:
    """A text in small letters, without "the" or "a" at its beginning."""
    return _ARTICLE.sub("", text, count=1).casefold() if _ARTICLE.match(text) else text.casefold()


def plain(text: str) -> str:
    """An ordinary text without case, article, hyphens, punctuation and superfluous spaces."""
    words = _PUNCTUATION.sub(" ", without_article(text)).replace("'", "").split()
    return " ".join(_ORDINALS.get(word, word) for word in words)


def undress(text: str) -> str:
    """An answer without "The answer is", "So", "故选" in front of it.

    >>> undress("The final answer is: 13"), undress("答案为B")
    ('13', 'B')
    """
    for pattern in (_CONCLUSION, _LEAD):
        match = pattern.match(text)
        if match and match.end() < len(text):
            text = text[match.end() :]
    end = _AFTERWORD.search(text)
    return text[: end.start()] if end and end.end() == len(text) else text


def polar(text: str) -> str | None:
    """The yes, no, true or false that a text says, perhaps with its reason; None when it says none, or takes it back.

    >>> polar("Yes, it is"), polar("Yes or no"), polar("no solution")
    ('yes', None, None)
    """
    match = _POLAR_FIRST.fullmatch(text)
    if match is None or (match[2] and _TAKES_BACK.search(match[2])):
        return None
    return match[1].lower()


def number_words(text: str) -> Fraction | None:
    """The number that words or Chinese numerals spell; None for anything else.

    >>> number_words("twenty-five"), number_words("three quarters"), number_words("一百零五"), number_words("三分之二")
    (Fraction(25, 1), Fraction(3, 4), Fraction(105, 1), Fraction(2, 3))
    """
    if HAN_NUMBER.fullmatch(text):
        return _han_number(text)
    words = text.lower().replace("-", " ").split()
    if not 0 < len(words) < 20:
        return None
    negative = words[0] in ("minus", "negative")
    words = words[negative:]
    value = _spelled(words)
    return None if value is None else -value if negative else value


def _spelled(words: list[str]) -> Fraction | None:
    if words and words[-1] in _PARTS:
        return _part(words)
    total, group, last = 0, None, ""
    for word in words:
        if word == "and" and last in ("hundred", *SCALES):
            last = "and"
            continue
        if (
            word in _ONES
            and last in ("", "and", "hundred", *SCALES, *_TENS)
            and (last not in _TENS or 0 < _ONES[word] < 10)
        ):
            group = (group or 0) + _ONES[word]
        elif word in _TENS and last in ("", "and", "hundred", *SCALES):
            group = (group or 0) + _TENS[word]
        elif word == "hundred" and group and group < 100:
            group *= 100
        elif word in SCALES and group:
            total, group = total + group * SCALES[word], 0
        else:
            return None
        last = word
    if group is None or last == "and" or words[0] in ("a", "an") and len(words) == 1:
        return None
    return Fraction(total + group)


def _han_number(text: str) -> Fraction | None:
    """``十二``, ``二〇二六``, ``三万五千``, ``三分之二``, ``负三``."""
    if text.startswith("负"):
        value = _han_number(text[1:])
        return None if value is None else -value
    if "分之" in text:
        bottom, _, top = text.partition("分之")
        above, below = _han_number(top), _han_number(bottom)
        return above / below if above is not None and below else None
    digits = [int(unicodedata.numeric(character)) for character in text.replace("两", "二")]
    if max(digits) < 10:  # one digit after the other
        return Fraction(int("".join(map(str, digits))))
    total = section = ones = 0
    for digit in digits:
        if digit < 10:
            ones = digit
        elif digit < 10_000:
            section, ones = section + (ones or 1) * digit, 0
        else:
            total, section, ones = total + (section + ones) * digit, 0, 0
    return Fraction(total + section + ones)


def _part(words: list[str]) -> Fraction | None:
    """``two thirds``, ``three and a half``, ``half``."""
    if words == ["half"]:
        return Fraction(1, 2)
    *before, numerator, name = ["", *words]
    before = before[1:]
    if numerator not in _ONES or (before and before[-1] != "and"):
        return None
    whole = _spelled(before[:-1]) if before else Fraction(0)
    return None if whole is None else whole + Fraction(_ONES[numerator], _PARTS[name])
