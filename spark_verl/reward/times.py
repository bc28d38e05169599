"""Times of day and dates: what else has numbers in it that are no arithmetic."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CLOCK = re.compile(
    r"(\d{1,2})(?::(\d{2}))?(?::(\d{2}))?\s*(?:o'?clock)?\s*(?:in the )?([ap])\s*\.?\s*m\s*\.?", re.IGNORECASE
)
_NAMED = {"noon": 43200, "12 noon": 43200, "12:00 noon": 43200, "midday": 43200, "midnight": 0, "12 midnight": 0,
          "12:00 midnight": 0}  # fmt: skip
_BARE = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?|(\d{1,2}) o'?clock", re.IGNORECASE)

_MONTHS: dict[str, int] = {
    name: number
    for number, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|september sept sep|october oct"
        "|november nov|december dec".split("|"),
        start=1,
    )
    for name in names.split()
}
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_WEEKDAY = r"(?:(?P<weekday>mon|tues|wednes|thurs|fri|satur|sun)day,? )?"
_DATES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_WEEKDAY}{_MONTH} (?:the )?{_DAY}(?:,? ?(?P<year>\d{{4}}))?",
        rf"{_WEEKDAY}(?:the )?{_DAY} (?:of )?{_MONTH}(?:,? (?P<year>\d{{4}}))?",
        r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})",
        r"(?P<year>\d{4}) ?年 ?(?P<month>\d{1,2}) ?月(?: ?(?P<day>\d{1,2}) ?[日号])?",
        rf"{_MONTH},? (?P<year>\d{{4}})",
    )
]


@dataclass(frozen=True)
class Time:
    """A time of day.

    Attributes:
        seconds: Since midnight; of the first half of the day when it is not known which.
        known: Whether it says in which half of the day it is.
    """

    seconds: int
    known: bool


@dataclass(frozen=True)
class Date:
    """A date; what it does not say is None."""

    year: int | None
    month: int
    day: int | None
    weekday: str | None = None


def read_time(text: str) -> Time | None:
    """``4:30 p.m.``, ``9 am``, ``noon``; None for anything else, ``16:30`` among it, which may be a ratio.

    >>> read_time("4:30 p.m") == read_time("4:30PM")
    True
    """
    if text.lower() in _NAMED:
        return Time(_NAMED[text.lower()], known=True)
    if "clock" in text and (bare := read_bare_time(text)):
        return bare
    match = _CLOCK.fullmatch(text) if text[:1].isdigit() else None
    if not match or not 1 <= int(match[1]) <= 12:
        return None
    hours = int(match[1]) % 12 + (12 if match[4].lower() == "p" else 0)
    return Time(3600 * hours + 60 * int(match[2] or 0) + int(match[3] or 0), known=True)


def read_bare_time(text: str) -> Time | None:
    """``16:30`` or ``4:30``, which may be a ratio as well, and ``9 o'clock``."""
    match = _BARE.fullmatch(text)
    hours = int(match[1] or match[4]) if match else 24
    if match is None or hours > 23:
        return None
    seconds = 3600 * hours + 60 * int(match[2] or 0) + int(match[3] or 0)
    return Time(seconds, known=hours > 12 or match[1] == "00")


def times_equal(answer: Time, truth: Time) -> bool:
    """Whether two times are one; an answer may say the half of the day that the truth leaves out, not the other way."""
    if answer.known and not truth.known:
        return (answer.seconds - truth.seconds) % 43200 == 0
    return answer == truth


def read_date(text: str) -> Date | None:
    """``July 4, 1776``, ``4 July 1776``, ``1776-07-04``; None for ``7/4/1776``, which people read in two ways.

    >>> read_date("July 4 1776") == read_date("the 4th of July, 1776")
    True
    """
    if len(text) > 40 or not any(char.isdigit() for char in text):
        return None
    for pattern in _DATES:
        if match := pattern.fullmatch(text):
            found = match.groupdict()
            month = found["month"].lower()
            number = int(month) if month.isdigit() else _MONTHS[month]
            year, day = found.get("year"), found.get("day")
            if not 1 <= number <= 12 or not 1 <= int(day or 1) <= 31:
                return None
            weekday = found.get("weekday")
            return Date(int(year) if year else None, number, int(day) if day else None, weekday and weekday.lower())
    return None
