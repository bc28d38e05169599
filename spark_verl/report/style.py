"""One style for all charts: each is drawn wide and narrow, and shown in light and dark colours.

The dark version is the light one with its colours exchanged, so both show exactly the same. The objectives' colours are
at least 25 apart (CIE 1976) for normal, protan, deutan and tritan sight (Machado et al. 2009), and have
a contrast of at least 4.5 with the page; what a line means is also told by its shape or its label.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from spark_verl.vocabulary import Objective

Shown = TypeVar("Shown")

STYLE = matplotlib.rc_params_from_file(
    Path(__file__).with_name("templates") / "charts.mplstyle", use_default_template=False
)
INK, MUTED, GRID = (STYLE[name] for name in ("text.color", "axes.labelcolor", "grid.color"))
BAND = "#e6f0e9"
OTHER = "#7d8590"
"""The run that is compared with."""

COLOURS = {
    Objective.POLICY: "#0a67c4",
    Objective.POINTWISE: "#a84409",
    Objective.PAIRWISE: "#04492c",
    Objective.REFLECTION: "#8b4b7f",
}
STAGES = ("#0a67c4", "#e69f00", "#04492c", "#8b4b7f", "#56a9d9", "#a84409", "#8a7a1f", "#8d99a6")

DARK = {
    INK: "#e7e9ec",
    MUTED: "#a2acb8",
    GRID: "#333b45",
    BAND: "#1d3328",
    OTHER: "#98a2ae",
    "#0a67c4": "#609bef",
    "#a84409": "#f4844d",
    "#04492c": "#4fe0a2",
    "#8b4b7f": "#f2afe5",
    "#e69f00": "#f2bb3d",
    "#56a9d9": "#a9d8f5",
    "#8a7a1f": "#d8cb6a",
    "#8d99a6": "#77828e",
}
"""Light colour → dark colour."""

NAMES = {
    Objective.POLICY: "Policy",
    Objective.POINTWISE: "Judge, pointwise",
    Objective.PAIRWISE: "Judge, pairwise",
    Objective.REFLECTION: "Reflection",
}

DASHED = (0, (4, 2))
DOTTED = (0, (1, 2))

WIDE_INCHES = 9.6
NARROW_INCHES = 3.7


@dataclass(frozen=True)
class Table:
    """The numbers behind a chart: ``header`` and rows of the same length."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def without(self, name: str) -> Table:
        """The table without its first column, if that is called ``name``."""
        if self.header[0] != name:
            return self
        return Table(self.header[1:], [row[1:] for row in self.rows])


@dataclass(frozen=True)
class Chart:
    """A chart before it is drawn.

    Attributes:
        name: Name of its PNG file; letters, digits, "-".
        alt: What it shows, for who does not see it.
        caption: Under it: how to read it.
        draw: Draws into an empty figure; told whether it is the narrow one.
        wide, narrow: Height in inches of either version.
        table: Its numbers.
    """

    name: str
    alt: str
    caption: str
    draw: Callable[[Figure, bool], None]
    wide: float
    narrow: float
    table: Table


@dataclass(frozen=True)
class Drawn:
    """A drawn chart: four ``data:`` URIs, and the PNG for slides and papers."""

    chart: Chart
    uris: dict[str, str] = field(repr=False)
    png: bytes = field(repr=False)


def render(chart: Chart) -> Drawn:
    """Draw both versions in both colour schemes, and the wide one as a PNG on white."""
    uris: dict[str, str] = {}
    png = b""
    with matplotlib.rc_context(STYLE):
        for version, width, height in (("wide", WIDE_INCHES, chart.wide), ("narrow", NARROW_INCHES, chart.narrow)):
            figure = Figure(figsize=(width, height))
            chart.draw(figure, version == "narrow")
            svg = _svg(figure)
            uris[f"{version}_light"] = _uri(svg)
            uris[f"{version}_dark"] = _uri(darken(svg))
            if version == "wide":
                buffer = io.BytesIO()
                # Everything has its place already; to find it again would take as long as drawing.
                figure.set_layout_engine("none")
                figure.savefig(buffer, format="png", dpi=160, facecolor="white")
                png = buffer.getvalue()
    return Drawn(chart, uris, png)


def darken(svg: str) -> str:
    """Exchange every colour of the style by its dark one."""
    return re.sub(r"#[0-9a-f]{6}\b", lambda match: DARK.get(match[0], match[0]), svg)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    # The document type names an address on the web; nothing of the page may.
    return svg[svg.index("<svg") :]


def _uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def panels(
    figure: Figure, shown: Collection[Shown], columns: int, legend: int = 0, **share: Any
) -> Iterator[tuple[Axes, Shown]]:
    """Panels, row by row in a grid of so many columns, each with the thing that it is to show.

    Args:
        figure: An empty one.
        shown: One thing a panel.
        columns: Of the grid.
        legend: Columns of the one legend that stands above the panels when all are drawn; 0 for none.
        share: sharex, sharey.
    """
    grid = figure.subplots(-(-len(shown) // columns), columns, squeeze=False, **share).ravel()
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    yield from zip(grid, shown, strict=False)
    if legend:
        found: dict[str, Any] = {}
        for axes in grid:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                # Each label once: a run that is compared may have what the first one lacks.
                found.setdefault(label, handle)
        figure.legend(list(found.values()), list(found), loc="outside upper left", ncols=legend)


def colour_of(objective: Objective, number: int) -> str:
    """The objective's colour in the first run, grey in the one that it is compared with."""
    return OTHER if number else COLOURS[objective]


def dash_of(number: int) -> str | tuple[int, tuple[int, int]]:
    """A line of the first run is solid, one of the run that it is compared with is dashed."""
    return DASHED if number else "-"


def told_apart(names: Sequence[str], other: str) -> str:
    """For a caption: which run is which; ``other``: how the second one looks."""
    return f" Colour: {names[0]}; {other}: {names[1]}." if len(names) > 1 else ""


def percent_axis(axes: Axes) -> None:
    """A y axis in percent with room above and below the extremes."""
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(percent_ticks)


percent_ticks = FuncFormatter(lambda value, _: f"{100 * value:.0f} %")


def step_axis(axes: Axes) -> None:
    """An x axis with whole training steps, named in the last row of panels."""
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if axes.get_subplotspec().is_last_row():  # ty: ignore[missing-union-attribute]
        axes.set_xlabel("training step")


def name_axis(axes: Axes, names: Sequence[str], narrow: bool) -> None:
    """A y axis with a name for each row, the first on top, and a grid of values."""
    axes.set_yticks(range(len(names)), [name.replace(", ", ",\n") if narrow else name for name in names])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(visible=True, axis="x")
    axes.grid(visible=False, axis="y")


def nothing(axes: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)


def percent(value: float | None, digits: int = 1) -> str:
    """A share as text; an en dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f}\u00a0%"


def points(value: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * value:+.1f}\u00a0points".replace("-", "\u2212")
