"""Command lines: what an argument may be, and errors of one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from spark_verl.data.errors import UsageError
from spark_verl.options import Allowed, at_least, brief

TEMPERATURE = Allowed("be between 0 and 2", lambda value: 0 <= value <= 2)
NUCLEUS = Allowed("be above 0 and at most 1", lambda value: 0 < value <= 1)


class Parser(argparse.ArgumentParser):
    """Its errors are raised instead of printed after the usage."""

    def error(self, message: str) -> NoReturn:
        """Raise an error of one line."""
        raise UsageError(f"{message} (--help lists the options)")


def number(kind: Callable[[str], float], allowed: Allowed) -> Callable[[str], float]:
    """The type of an argument that is a number of this kind within limits."""

    def read(text: str) -> float:
        value = kind(text)
        if not allowed.holds(value):
            raise argparse.ArgumentTypeError(f"must {allowed.words}, got {brief(text)}")
        return value

    read.__name__ = kind.__name__  # which argparse names where it is no number at all
    return read


COUNT = number(int, at_least(1))
