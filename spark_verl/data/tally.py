"""What became of every record: counts, which end up in ``report.json`` and as a table on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from spark_verl.data.errors import REASONS, RowError

EXAMPLES = 5
"""Dropped records that are named for each reason."""


@dataclass
class Tally:
    """Counts of one output file.

    Attributes:
        split: ``train`` or ``test``.
        read: Records of the source that could have gone into it.
        filtered: Records that an option left out, such as the difficulty filter.
        not_drawn: Records that ``--subset`` or the other file left out.
        written: Rows of the file.
        text_only: Those of them that have no image.
        unlabelled: Those of them whose truth is hidden from training.
        dropped: Reason to the records that were dropped for it, each with what is wrong.
        images: What was done to images.
    """

    split: str
    read: int = 0
    filtered: int = 0
    not_drawn: int = 0
    written: int = 0
    text_only: int = 0
    unlabelled: int = 0
    dropped: dict[str, list[str]] = field(default_factory=dict)
    images: Counter[str] = field(default_factory=Counter)

    def drop(self, where: str, error: RowError) -> None:
        """Count a dropped record."""
        self.dropped.setdefault(error.reason, []).append(f"{where}: {error.detail}" if error.detail else where)

    @property
    def reasons(self) -> list[tuple[str, list[str]]]:
        """Why records were dropped, the most frequent reason first, each with its records."""
        return sorted(self.dropped.items(), key=lambda item: len(item[1]), reverse=True)

    def as_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        dropped = {
            reason: {"count": len(records), "meaning": REASONS[reason], "examples": records[:EXAMPLES]}
            for reason, records in self.reasons
        }
        counts = {name: value for name, value in vars(self).items() if name != "split"}
        return counts | {"dropped": dropped, "images": dict(self.images)}

    def lines(self) -> list[str]:
        """A line for each reason."""
        return [
            f"{self.split}: {len(records):,} dropped: {REASONS[reason]} (e.g. {records[0]})"
            for reason, records in self.reasons
        ]


def format_table(tallies: Sequence[Tally]) -> str:
    """The counts of all files, a line each, and a line for each reason."""
    names = ("read", "filtered", "not drawn", "dropped", "written", "text-only", "images", "downscaled", "re-encoded")
    table = [("", *names)]
    for tally in tallies:
        dropped, images = sum(map(len, tally.dropped.values())), tally.images
        figures = [tally.read, tally.filtered, tally.not_drawn, dropped, tally.written, tally.text_only]
        figures += [images["kept"] + images["re-encoded"], images["downscaled"], images["re-encoded"]]
        table.append((tally.split, *(f"{figure:,}" for figure in figures)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    rows = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    hidden = [
        f"{tally.split}: the truth of {tally.unlabelled:,} rows is hidden" for tally in tallies if tally.unlabelled
    ]
    return "\n".join([*rows, *hidden, *(line for tally in tallies for line in tally.lines())])
