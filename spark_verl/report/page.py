"""From a run (or two) to one HTML file that needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from spark_verl.report import cost, judging, learning, rewards
from spark_verl.report.attention import attention
from spark_verl.report.counters import counters
from spark_verl.report.frame import Run
from spark_verl.report.gallery import gallery
from spark_verl.report.head import head
from spark_verl.report.section import Missing
from spark_verl.report.self_reward import self_reward
from spark_verl.report.settings import settings
from spark_verl.report.style import Chart, Drawn, render

PARTS = (
    learning.before_after,
    attention,
    learning.curves,
    judging.balance,
    judging.self_confirmation,
    self_reward,
    rewards.rewards,
    rewards.lengths,
    cost.time,
    counters,
    gallery,
    settings,
)
"""What makes each section of the page of one or two runs, in order; None is no section."""

# What HTML does not allow in text, and marks that change the order in which neighbouring text is shown.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_DIRECTION = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Where a path or the name of an option or a metric may go on in the next line; a number stays whole.
_BREAK = re.compile(r"[/_]|(?<=[^\W\d])[.,=]")


@dataclass(frozen=True)
class Page:
    """A page that can be written.

    Attributes:
        name: Of the page's file and its folder of charts.
        html: The page.
        pngs: Its charts, ``{file name: PNG}``.
        missing: What could not be shown.
    """

    name: str
    html: str
    pngs: dict[str, bytes]
    missing: list[Missing]


def clean(text: Any) -> str:
    """Text that can be written and shown: control and direction marks become visible, lone surrogates U+FFFD."""
    text = _SURROGATE.sub("\ufffd", str(text).replace("\r\n", "\n"))
    text = _CONTROL.sub(lambda match: chr(0x2400 + ord(match[0])) if match[0] < " " else "\ufffd", text)
    return _DIRECTION.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def breakable(text: Any) -> Markup:
    """Text, cleaned and escaped, whose long names may be broken between their parts, not within words."""
    return Markup(_BREAK.sub(r"\g<0><wbr>", str(escape(clean(text)))))


def environment() -> Environment:
    """The template environment: everything that is put in is cleaned and escaped."""
    made = Environment(
        loader=PackageLoader("spark_verl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value) if isinstance(value, str) and not hasattr(value, "__html__") else value,
    )
    made.filters["breakable"] = breakable
    return made


def build(runs: Sequence[Run], draw: Callable[[Chart], Drawn] = render, name: str = "report") -> Page:
    """The page and its charts.

    Args:
        runs: The run, and maybe one to compare it with.
        draw: Draws a chart.
        name: See :class:`Page`.
    """
    parts = [made for part in PARTS if (made := part(runs))]
    drawn: dict[str, Drawn] = {}
    for part in parts:
        charts = [chart for chart in part.charts if chart]
        tables = [(title, table) for title, table in part.tables if table]
        part.findings = [(name, text) for name, text in part.findings if text]
        if len(runs) == 1:
            charts = [replace(chart, table=chart.table.without("run")) for chart in charts]
            tables = [(title, table.without("run")) for title, table in tables]
        part.charts, part.tables = charts, tables
        drawn |= {chart.name: draw(chart) for chart in charts}
    html = (
        environment()
        .get_template("report.html.jinja")
        .render(
            heads=[head(run) for run in runs],
            parts=parts,
            drawn=drawn,
            name=name,
            written=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        )
    )
    pngs = {f"{chart}.png": one.png for chart, one in drawn.items()}
    return Page(name, html, pngs, [note for part in parts for note in part.missing])


def write(page: Page, folder: Path) -> Path:
    """Write the page and its charts, ``report.html`` and ``report/*.png``, into a folder.

    Returns:
        Path of the HTML file.
    """
    (folder / page.name).mkdir(parents=True, exist_ok=True)
    for name, png in page.pngs.items():
        (folder / page.name / name).write_bytes(png)
    path = folder / f"{page.name}.html"
    path.write_text(page.html, encoding="utf-8")
    return path
