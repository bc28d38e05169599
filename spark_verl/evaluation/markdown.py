"""Figures as text: tables in Markdown, rates in per cent, and JSON without NaN."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

MISSING = "–"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table with even columns; the first one is its head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def number(value: float | None, form: str = ".3f") -> str:
    """A number in this format; a dash where there is none."""
    return MISSING if value is None else f"{value:{form}}"


def percent(value: float | None, sign: str = "") -> str:
    """A share in per cent."""
    return number(None if value is None else 100 * value, f"{sign}.1f")


def spread(interval: Mapping[str, Any], sign: str = "") -> str:
    """A share in per cent with its interval."""
    value, low, high = (percent(interval[name], sign) for name in ("value", "low", "high"))
    return MISSING if interval["value"] is None else f"{value} [{low}, {high}]"


def without_nan(value: Any) -> Any:
    """The same figures with None in place of NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
