"""Reads the tables of ``test_kinds_*.py``."""

from __future__ import annotations

import re

import pytest


def cases(tables: str) -> list[pytest.param]:
    """Parameters (answer, truth, right), named by the heading that they stand under.

    Args:
        tables: Lines of cases with `` | `` between them: ``answer == truth``, ``wrong answer != truth``. A line with
            ``#`` is a heading; its cases are named by it.
    """
    found, heading = [], ""
    for line in tables.strip().splitlines():
        if line.startswith("# "):
            heading = line.removeprefix("# ").lower()
        elif line.strip():
            for case in line.split(" | "):
                answer, sign, truth = re.split(" (==|!=) ", case)
                found.append(pytest.param(answer, truth, sign == "==", id=f"{heading}: {case}"))
    return found
