"""Command lines: options as tables, and errors of one line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from spark_verl.data.errors import UsageError
from spark_verl.options import Allowed, at_least, brief

Options = Sequence[tuple[str, Callable[[str], Any] | tuple[str, ...], Any, str]]
"""Name (or names, with a space between), type or choices, default, and what it is."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are raised, in one line, instead of printed after the usage."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, formatter_class=argparse.ArgumentDefaultsHelpFormatter)

    def error(self, message: str) -> NoReturn:
        """Raise an error of one line."""
        raise UsageError(f"{message} (--help lists the options)")

    def add_options(self, title: str, options: Options, **defaults: Any) -> None:
        """Add a group of options; ``defaults`` stand in for those of the table."""
        group = self.add_argument_group(title)
        for names, kind, default, text in options:
            allowed = {"choices": kind} if isinstance(kind, tuple) else {"type": kind}
            group.add_argument(*names.split(), default=default, help=text, **allowed)
        self.set_defaults(**defaults)


def number(kind: Callable[[str], float], allowed: Allowed) -> Callable[[str], float]:
    """The type of an option that is a number of this kind within limits."""

    def read(text: str) -> float:
        value = kind(text)
        if not allowed.holds(value):
            raise argparse.ArgumentTypeError(f"must {allowed.words}, got {brief(text)}")
        return value

    read.__name__ = kind.__name__  # which argparse names where it is no number at all
    return read


COUNT = number(int, at_least(1))
