"""Bring an answer into one spelling: LaTeX and Unicode ways of writing the same thing become the same characters.

Nothing here changes what an answer means; ``canonical("1 1/2")`` and ``canonical("11/2")`` stay different.
Every substitution is linear in the length of the text.
"""

from __future__ import annotations

import functools
import re
from itertools import accumulate

DEGREE = "°"
DOLLAR = "＄"
"""An escaped dollar sign beside a number; a bare one is the beginning or the end of a formula."""

_CHARACTERS = str.maketrans(
    {
        **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5E)},  # full-width
        "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "﹣": "-", "～": "-", "〜": "-",
        "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "÷": r"\div ", "±": r"\pm ", "∓": r"\mp ",
        "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ",
        "⩽": r"\le ", "⩾": r"\ge ", "≦": r"\le ", "≧": r"\ge ",
        "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "∖": r"\setminus ", "ℝ": r"\mathbb{R}",
        "∠": r"\angle ", "△": r"\triangle ", "▵": r"\triangle ", "∆": r"\triangle ", "⊥": r"\perp ",
        "∥": r"\parallel ", "⊙": r"\odot ", "→": r"\to ", "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ",
        "〉": r"\rangle ", "…": r"\ldots ", "⋯": r"\ldots ",
        "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}",
        "⅛": r"\frac{1}{8}", "⅕": r"\frac{1}{5}", "⅙": r"\frac{1}{6}",
        "º": DEGREE, "˚": DEGREE, "℃": DEGREE + "C", "℉": DEGREE + "F", "￠": "¢", "￥": "¥", "￡": "£",
        "。": ".", "、": ",", "∶": ":", "∣": "|", "【": "[", "】": "]",
        "Ⅰ": "I", "Ⅱ": "II", "Ⅲ": "III", "Ⅳ": "IV", "Ⅴ": "V",
        "’": "'", "‘": "'", "′": "'", "″": "''", "“": '"', "”": '"', "\u00a0": " ", "\u2009": " ", "\u202f": " ",
        "\u2002": " ", "\u2003": " ", "\u2005": " ", "\u2006": " ", "\u2007": " ", "\u2008": " ", "\u200a": " ",
        "\u3000": " ", "\u200b": "", "\u2060": "", "\ufeff": "", "\x0c": "\\f", "\x08": "\\b", "\x0b": "\\v",
        "\t": " ", "\n": " ", "\r": " ",
        **{
            char: rf"\{name} "
            for char, name in zip(
                "αβγδεζηθικλμνξρστυφχψωΓΔΘΛΞΣΦΨΩµϕϵ",
                "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi "
                "chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega mu phi epsilon".split(),
                strict=True,
            )
        },
    }
)  # fmt: skip
_RAISED, _LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "₀₁₂₃₄₅₆₇₈₉₊₋ₙ"
_LEVEL = str.maketrans(_RAISED + _LOWERED, "0123456789+-n" * 2)
_INDICES = [(re.compile(f"[{chars}]+"), sign) for chars, sign in ((_RAISED, "^"), (_LOWERED, "_"))]

_GROUP = r"\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}"
_TEXT = r"text(?:bf|it|rm|sf|tt|sc|up|normal)?|math(?:rm|bf|sf|it|tt|cal|normal)|[mh]box|bm|boldsymbol|pmb|emph"
_ONE = r"([0-9A-Za-z]|\\pi(?![A-Za-z]))"
_SUBSTITUTIONS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        # Commands without meaning for the value
        (rf"\\(?:textcolor|colorbox)\s*\{{[^{{}}]*\}}\s*{_GROUP}", r"\1"),
        (r"\\(?:color|hspace|vspace|label|tag|[hv]?phantom)\*?\s*\{[^{}]*\}", " "),
        (
            r"\\(?:(?:display|text|script)style|limits|left|middle|right|[bB]igg?[lrm]?|tiny|small|normalsize|large|Large"
            r"|LARGE|huge|Huge|bf|bfseries|it|rm|sf|tt|em|centering|boldmath)(?![A-Za-z])\.?",
            "",
        ),
        (rf"\\(?:underline|boxed|fbox|ensuremath|mathstrut)\s*{_GROUP}", r" \1 "),
        (r"(?<=\d)\s*(?:\{\s*,\s*\}|,\\!)\s*(?=\d{3}(?!\d))", ","),
        (r"(?<=\d)\\\$|\\\$(?=\s*[\d.+-])", DOLLAR),
        (r"\\!|\\\$|\$|(?<!\\)\\[()\[\]]", ""),
        (r"(?<!\\)\\[,;:> ]|~|\\(?:quad|qquad|thinspace|enspace|enskip|space|newline)(?![A-Za-z])", " "),
        # Escaped twice
        (
            r"(?<!\\)\\\\"
            r"(?=(?:[dt]?frac|sqrt|leq?|geq?|pi|cdot|times|left|right|infty|cup|circ|text|mathrm|pm)(?![a-z]))",
            r"\\",
        ),
        (r"(?<=\d)\{([a-z]{3,20})\}", r" \1"),
        # One name per thing
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\leqq?(?:slant)?(?![A-Za-z])", r"\\le"),
        (r"\\geqq?(?:slant)?(?![A-Za-z])", r"\\ge"),
        (r"\\neq(?![A-Za-z])", r"\\ne"),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\lbrace(?![A-Za-z])", r"\\{"),
        (r"\\rbrace(?![A-Za-z])", r"\\}"),
        (r"\\(?:varnothing|O)(?![A-Za-z])", r"\\emptyset"),
        (r"\\var(?=epsilon|phi|theta|rho|sigma|pi|kappa)", r"\\"),
        (r"\\(?:mid|vert|lvert|rvert)(?![A-Za-z])|\\\|", "|"),
        (r"\\(?:dots|cdots|dotsc|dotsb)(?![A-Za-z])", r"\\ldots"),
        (r"\\(?:rightarrow|longrightarrow)(?![A-Za-z])", r"\\to"),
        (r"\\bigtriangleup(?![A-Za-z])", r"\\triangle"),
        (r"\\bigcup(?![A-Za-z])", r"\\cup"),
        (r"\\(?:backslash|smallsetminus)(?![A-Za-z])", r"\\setminus"),
        (r"\\colon(?![A-Za-z])", ":"),
        (r"\\infin(?:ity)?(?![A-Za-z])", r"\\infty"),
        (r"\\mathbb\s*\{?\s*R\s*\}?|\\R(?![A-Za-z])", r"\\mathbb{R}"),
        (r"\\(?:text)?cent(?:s)?(?![A-Za-z])", "¢"),
        (r"\\(?:text)?euro(?![A-Za-z])", "€"),
        (r"\\pounds(?![A-Za-z])", "£"),
        (r"\\[%&#]", lambda match: match[0][1]),
        (
            r"\s*\^\s*(?:\\circ(?![A-Za-z])|\{\s*(?:\\circ|o|\\text\s*\{\s*o\s*\}|\\mathrm\s*\{\s*o\s*\})\s*\})"
            r"|\s*\\(?:text)?degree(?:Celsius)?(?![A-Za-z])|\s*\\(?:deg|circ)(?![A-Za-z])(?=\s*[CF]?\s*$)",
            DEGREE,
        ),
        # Upright text: its content, set apart. Twice, as it may be nested.
        *[(rf"\\(?:{_TEXT}|operatorname\*?)\s*{_GROUP}", r" \1 ")] * 2,
        (r"\\(?:mathrm|text|mathbf|mathit)\s+([A-Za-z])(?![A-Za-z])", r" \1 "),
        (r"\^\s*\{\s*((?:\\prime\s*)+)\}", lambda match: "'" * match[1].count("prime")),
        (r"\^\s*\\prime(?![A-Za-z])", "'"),
        # TeX takes one token as an argument
        (rf"\\(frac|binom)\s*{_ONE}\s*{_ONE}", r"\\\1{\2}{\3}"),
        (rf"\\(frac|binom)\s*(\{{[^{{}}]*\}})\s*{_ONE}", r"\\\1\2{\3}"),
        (rf"\\(frac|binom)\s*{_ONE}\s*(\{{)", r"\\\1{\2}\3"),
        # ... but "2^10" and "√12" mean all the digits to whoever writes them
        (r"\\sqrt\s*(\d+|[A-Za-z])", r"\\sqrt{\1}"),
        (r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"([\^_])\s*(-?\d+|[A-Za-z])", r"\1{\2}"),
    ]
]  # fmt: skip
_PLAIN_SIGNS = [
    (re.compile(pattern), replacement)
    for pattern, replacement in [
        (r"<=|=<", r"\\le "),
        (r">=", r"\\ge "),
        (r"!=(?!=)|<>", r"\\ne "),
        (r"\+/-|\+-", r"\\pm "),
        (r"\.{3,}", r"\\ldots "),
    ]
]
_HAN = "\u4e00-\u9fff"
_CIRCLED = re.compile(r"(?<=[①-⑳])\s*(?:[,和与及]|and)?\s*(?=[①-⑳])")
_GLUED = re.compile(r"(?<=[)\]}])(and|or)(?=[(\[{\\])")
_CONNECTIVES = [
    (re.compile(rf"(?<![{_HAN}])\s*(?:{words})\s*(?![{_HAN}])"), f" {word} ")
    for words, word in (("或者?", "or"), ("和|与|及|且|以及", "and"))
]
_DIGIT_RUN = re.compile(r"(\\sqrt|[\^_])\s*(-?\d+)")
_ROOT_OF_BRACKET = re.compile(r"\\sqrt\s*\(([^()]*)\)")
_PLAIN_FUNCTION = re.compile(r"(?<![A-Za-z\\])(pi|sin|cos|tan|log|ln)(?![A-Za-z])")
_STEPS = {**dict.fromkeys("([{", 1), **dict.fromkeys(")]}", -1)}
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SPACES = re.compile(r"\s+")
_BRACED = re.compile(r"\{\s*([^{},;]*(?:\{[^{}]*\}[^{},;]*)*)\s*\}")
_MARKDOWN_PAIR = re.compile(r"(?<![\w)\]}])(\*\*|__|`)(?=[^\s*_`])([^*`]{0,100}?)(?<=[^\s*`])\1(?![\w(\[{])")
_LOOSE_MARKDOWN = re.compile(r"^(?:\*\*|__|`)+|(?:\*\*|__|`)+$|__|`")
# A space matters only between two letters or digits: "1 1/2", "x y", "\sin x".
_IDLE_SPACE = re.compile(r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])")


@functools.lru_cache(maxsize=4096)
def canonical(answer: str) -> str:
    """One spelling for LaTeX variants, Unicode symbols, upright text, spaces and a final full stop."""
    text = answer.translate(_CHARACTERS)
    if not text.isascii():
        text = _CIRCLED.sub("", text)
        for pattern, sign in _INDICES:
            text = pattern.sub(lambda match, sign=sign: f"{sign}{{{match[0].translate(_LEVEL)}}}", text)
        for pattern, word in _CONNECTIVES:
            text = pattern.sub(word, text)
    if "\\" in text or "$" in text or "~" in text or "^" in text or "_" in text or "{" in text:
        for pattern, replacement in _SUBSTITUTIONS:
            text = pattern.sub(replacement, text)
    if "=" in text or "+" in text or "..." in text or "<>" in text:
        for pattern, replacement in _PLAIN_SIGNS:
            text = pattern.sub(replacement, text)
    if "**" in text or "__" in text or "`" in text:
        text = _LOOSE_MARKDOWN.sub("", _MARKDOWN_PAIR.sub(r"\2", text).strip())
        # What is left is a power, as in Python.
        text = text.replace("**", "^")
    if "and" in text or "or" in text:
        text = _GLUED.sub(r" \1 ", text)
    text = _SPACES.sub(" ", text).strip()
    if text[:1] == "{" and (braced := _BRACED.fullmatch(text)):
        text = braced[1].strip()  # one thing in braces: a group of TeX, not a set
    return text.rstrip(".,;: ") if text[-1:] in ".,;: " else text


def for_algebra(answer: str) -> str:
    """What the LaTeX parser should see: the answer as written, with Unicode symbols and digit runs made LaTeX."""
    text = answer.translate(_CHARACTERS).replace(DEGREE, r"^{\circ}").strip().strip("$").rstrip(".,;: ")
    text = _ROOT_OF_BRACKET.sub(r"\\sqrt{\1}", text)
    text = _PLAIN_FUNCTION.sub(r"\\\1", text)
    return _DIGIT_RUN.sub(r"\1{\2}", text)


def squash(canonical_text: str) -> str:
    """Drop the spaces that never matter, for comparing two canonical texts."""
    return _IDLE_SPACE.sub("", canonical_text)


def depths(text: str) -> list[int]:
    """How many brackets are open behind each character; negative where more were closed than opened."""
    return list(accumulate(_STEPS.get(char, 0) for char in text))
