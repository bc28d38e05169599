"""What several comparisons say together: each is certain (True or False), or open (None)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def any_of(results: Iterable[bool | None]) -> bool | None:
    """Whether one is certain to hold; None when it may be one that is open."""
    found = list(results)
    return True if True in found else None if None in found else False


def all_of(results: Iterable[bool | None]) -> bool | None:
    """Whether all are certain to hold; None when none fails and some are open."""
    found = list(results)
    return False if False in found else None if None in found else True


def one_to_one(items: Sequence[T], wanted: Sequence[T], same: Callable[[T, T], bool | None]) -> bool | None:
    """Whether two collections are one in some order."""
    if len(items) != len(wanted):
        return False
    remaining, undecided = list(items), False
    for one in wanted:
        results = [same(item, one) for item in remaining]
        if True in results:
            remaining.pop(results.index(True))
        elif None in results:
            undecided = True
        else:
            return False
    return None if undecided else True
