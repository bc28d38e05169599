"""Dividing rows among those that work on them at the same time, or one after the other."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence


def even_parts(rows: Sequence[int], size: int, cost: Callable[[list[int]], int]) -> list[list[int]]:
    """Cut a sequence of rows into consecutive parts, so that the dearest of them costs as little as possible.

    Args:
        rows: In the order in which they stay; at least one.
        size: Number of parts at most.
        cost: Of the rows of a part; never less for more of them.

    Returns:
        The parts, none of them empty.
    """

    def parts(limit: int) -> list[list[int]]:
        found: list[list[int]] = []
        for row in rows:
            if found and cost([*found[-1], row]) <= limit:
                found[-1].append(row)
            else:
                found.append([row])
        return found

    least, most = max(cost([row]) for row in rows), cost(list(rows))
    more = bisect_left(range(most - least + 1), True, key=lambda more: len(parts(least + more)) <= size)
    return parts(least + more)
