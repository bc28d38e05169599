"""The one way in which a private part of another library is replaced."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

_MARK = "_replaced_by_spark_verl"


def replaces(module: str, name: str) -> Callable[[Callable[[Any], Any]], Callable[[], None]]:
    """Turn a function from the original to its replacement into one that puts the replacement into this process.

    What is called without arguments then imports ``module`` and replaces ``name`` in it (``"Class.method"`` in a
    class), once. Modules that took the name before keep the original.

    ``tests/test_contract.py`` finds every use of this decorator by its text and wants the pair in the table of
    ``tests/shared/contract_table.py``, so write both as plain strings.

    Example:
        >>> @replaces("statistics", "mean")
        ... def round_means(mean):
        ...     return lambda data: round(mean(data))
        >>> round_means()
    """

    def decorate(make: Callable[[Any], Any]) -> Callable[[], None]:
        @functools.wraps(make)
        def put_in_place() -> None:
            *path, last = name.split(".")
            owner: Any = functools.reduce(getattr, path, importlib.import_module(module))
            original = getattr(owner, last)
            if not getattr(original, _MARK, False):
                replacement = make(original)
                setattr(replacement, _MARK, True)
                setattr(owner, last, replacement)

        return put_in_place

    return decorate
