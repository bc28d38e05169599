r"""The one place that says whether a ground truth can teach: what is given, and whether the verifier can use it.

Three outcomes, each counted under its own reason: there is none (``no_answer``: null, an unlabelled row), there is one
that means nothing (``empty_answer``: NaN, ``[null]``, ``\boxed{}``, ``"None"``), or one that the verifier would not
accept as its own answer (``unverifiable_answer``).
"""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

from spark_verl.data.errors import RowError
from spark_verl.options import brief
from spark_verl.reward import accepted_answers, extract_answer
from spark_verl.reward.equality import compare

_MISSING = frozenset({"nan", "-nan", "none", "null", "<na>", "nat", "n/a", "#n/a"})
"""What Python, numpy, pandas, JSON and spreadsheets write for a missing value, in lower case."""

_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_TEXTS = re.compile(
    rf"(?:array\()?[\[({{]\s*(?:{_QUOTED})(?:[\s,]+(?:{_QUOTED}))*[\s,]*[\])}}](?:,\s*dtype=\S+\))?\)?", re.DOTALL
)
"""Quoted texts in brackets: how Python and numpy write a list, a tuple, a set or an array of texts."""

_EATEN = re.compile(r"[\b\f\t\r\n]")
r"""What becomes of ``\beta``, ``\frac``, ``\theta``, ``\rho`` and ``\nu`` where a backslash was not doubled."""

_MAX_WRITTEN = 10_000
"""Longer texts are not parsed: no list of answers is so long."""


def ground_truth(answer: Any) -> str:
    r"""The answer as the verifier takes it: bare where that loses nothing, else as the data set has it.

    Args:
        answer: ``\boxed{18}``, ``... #### 18``, ``18``, 18, ["18", "eighteen"], "['18', 'eighteen']", ...

    Returns:
        A text; several accepted answers as a JSON list.

    Raises:
        RowError: ``no_answer``, ``empty_answer`` or ``unverifiable_answer``; see the module.

    >>> ground_truth("So it costs 9 + 9 = 18 dollars.\n#### 18")
    '18'
    """
    if answer is None:
        raise RowError("no_answer")
    try:
        texts = [text for text in accepted_answers(_read(answer)) if not _is_missing(text)]
    except RecursionError:
        raise RowError("unverifiable_answer", "it is nested too deeply") from None
    if not texts:
        keys = "; of a struct the verifier reads ground_truth, answer or target" if isinstance(answer, Mapping) else ""
        raise RowError("empty_answer", f"{brief(answer)}{keys}")
    usable = [text for text in texts if _is_verifiable(text)]
    if not usable:
        raise RowError("unverifiable_answer", brief(texts[0]))
    if len(usable) > 1:
        usable = [text for text in map(_on_one_line, usable) if _is_verifiable(text)]
    bare = usable[0] if len(usable) == 1 else json.dumps(usable, ensure_ascii=False)
    # An answer that unwraps twice, such as a box in an answer tag, is left as it is: the verifier unwraps it once.
    twice = isinstance(answer, str) and accepted_answers(bare) != usable == accepted_answers(answer)
    return answer.strip() if twice else bare


def check_truth(value: Any) -> None:
    """Check a truth that the verifier will get as it stands.

    Raises:
        RowError: See :func:`ground_truth`; also where a list or a mapping was written as text, which the verifier would
            take for one answer.
    """
    meant = accepted_answers(ground_truth(value))
    if not set(map(_on_one_line, meant)) <= set(map(_on_one_line, accepted_answers(value))):
        raise RowError("unverifiable_answer", f"{brief(value)} is a list or a record written as text: store the answer")


def _on_one_line(text: str) -> str:
    """Without line breaks and tabs: in a JSON list they stand as the beginnings of LaTeX commands, and are read so."""
    return _EATEN.sub(" ", text).strip()


def written_value(text: str) -> Any:
    """The value where a list or a mapping was written as text, by Python, numpy or as JSON; else the text itself.

    Numbers in brackets stay as they are: an interval, a point or a set looks the same.

    >>> written_value("['3', 'three']"), written_value("[0, 1]")
    (['3', 'three'], '[0, 1]')
    """
    bare = text.strip()
    if len(bare) > _MAX_WRITTEN or not bare.startswith(("[", "(", "{", "array(")):
        return text
    readers = [json.loads, ast.literal_eval]
    if _TEXTS.fullmatch(bare):
        readers.insert(1, _quoted_texts)
    for read in readers:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of LaTeX commands that are no escapes
                value = read(bare)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(value, list) and any(_EATEN.search(item) for item in value if isinstance(item, str)):
            continue
        numbers = isinstance(value, list | tuple | set) and value and all(isinstance(v, int | float) for v in value)
        return text if numbers and not any(_is_missing(str(v)) for v in value) else value
    return text


def _quoted_texts(bare: str) -> list[str]:
    return [_unquoted(quoted) for quoted in re.findall(_QUOTED, bare, re.DOTALL)]


def _unquoted(quoted: str) -> str:
    # Doubled backslashes are how repr writes LaTeX; single ones were never escapes.
    return ast.literal_eval(quoted) if "\\\\" in quoted else quoted[1:-1].replace("\\" + quoted[0], quoted[0])


def _read(value: Any) -> Any:
    """The value without what cannot be an answer; what was written as text as what was meant."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        written = written_value(value)
        return value if written is value else _read(written)
    if isinstance(value, Mapping):
        return {key: _read(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_read(item) for item in value]
    # pandas stores a missing number as NaN
    return None if isinstance(value, bytes) or isinstance(value, float) and not math.isfinite(value) else value


def _is_missing(text: str) -> bool:
    bare = re.fullmatch(r"[\[({](.*)[\])}]", text, re.DOTALL)
    words = re.split(r"[\s,'\"]+", (bare[1] if bare else text).casefold())
    return all(not word or word in _MISSING for word in words)


def _is_verifiable(text: str) -> bool:
    """Whether the verifier finds and accepts this very text in a box; no algebra is ever needed for that."""
    boxed = extract_answer(rf"\boxed{{{text}}}")
    return boxed is not None and compare(boxed, text) is True
