"""docs/metrics.md as a list of patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def patterns() -> dict[str, re.Pattern[str]]:
    """``{entry: pattern}`` of the first column of every table with metrics."""
    entries = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {entry: re.compile(_regex(entry)) for entry in entries}


def _regex(entry: str) -> str:
    text = re.escape(entry).replace(r"<objective>", "(?:pointwise|pairwise|reflection)").replace("<source>", ".+")
    text = text.replace(r"\*", ".+").replace(r"\{", "(?:").replace(r"\}", ")").replace(",", "|")
    return f"{text}$"


def undocumented(names: Iterable[str]) -> list[str]:
    """The names that no entry matches."""
    known = patterns().values()
    return sorted(name for name in names if not any(pattern.match(name) for pattern in known))
