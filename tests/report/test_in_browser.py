"""The page in a real browser, as wide as a phone, a tablet and a screen."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from spark_verl.report.frame import Run
from spark_verl.report.page import Chart, Drawn, build

WIDTHS = (420, 800, 1400)
LONG = "a_path/of/many.parts," * 8 + "x" * 300
FAULTS = """() => {
  const faults = [], wide = document.documentElement.clientWidth;
  for (const element of document.querySelectorAll("body *")) {
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    if (!box.width || element.closest(".unseen, .skip")) continue;
    const what = `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 40)}`;
    const scrolls = element.parentElement.closest(".scroll, pre");
    if (!scrolls && (box.left < -0.5 || box.right > wide + 0.5)) faults.push(`outside the page: ${what}`);
    const cut = style.overflowX !== "visible" && style.overflowX !== "auto" && style.textOverflow !== "ellipsis";
    if (cut && style.webkitLineClamp === "none" && element.scrollWidth > element.clientWidth + 1)
      faults.push(`cut without a sign: ${what}`);
  }
  return faults;
}"""
"""What sticks out of the page, or is cut where neither a scroll bar's shadow nor an ellipsis says so."""


def drawn(chart: Chart) -> Drawn:
    """A chart of one pixel: it fills its place."""
    pixel = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
    return Drawn(chart, dict.fromkeys(("wide_light", "wide_dark", "narrow_light", "narrow_dark"), pixel), b"")


@pytest.fixture
def opened(browser):
    """``opened(html, width)``: the page with everything unfolded."""

    def go(html: str, width: int):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_content(html)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        return page

    return go


@pytest.mark.parametrize("word", ["ordinary", LONG])
def test_nothing_sticks_out_or_is_cut_without_a_sign(make_run, opened, word):
    runs = [Run(make_run(name, word=word, text=lambda number: word * number)) for name in ("one", "other")]
    for html in (build(runs[:1], drawn).html, build(runs, drawn).html):
        for width in WIDTHS:
            page = opened(html, width)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(FAULTS) == []
            page.close()


def test_a_table_that_goes_on_says_so_and_one_that_ends_does_not(make_run, opened):
    """By the shadow at its right edge."""
    page = opened(build([Run(make_run(), name="run")], drawn).html, 420)
    table = page.locator("#config .scroll").last  # versions: it fits
    assert table.evaluate("one => one.scrollWidth - one.clientWidth") == 0 and not shadow(table)
    table.locator("table").evaluate("one => one.style.width = '60rem'")
    assert shadow(table)
    table.evaluate("one => one.scrollLeft = one.scrollWidth")
    assert not shadow(table)
    page.close()


def shadow(table) -> bool:
    """Whether the table's right edge, in a line without text or rule, is darker than the paper."""
    picture = Image.open(io.BytesIO(table.screenshot())).convert("L")
    edge = picture.crop((picture.width - 4, 2, picture.width, 8))
    return edge.getextrema()[0] < 235


def test_words_and_numbers_stay_whole(make_run, opened):
    """On a phone names are broken between their parts."""
    page = opened(build([Run(make_run(), name="run")], drawn).html, 420)
    lines = """cell => {
      const range = document.createRange(), broken = [];
      const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
      for (let node; (node = walker.nextNode()); )
        for (const match of node.data.matchAll(/[A-Za-z0-9.]+/g)) {
          range.setStart(node, match.index);
          range.setEnd(node, match.index + match[0].length);
          if (range.getClientRects().length > 1) broken.push(match[0]);
        }
      return broken;
    }"""
    cells = page.locator("#config td, #config th").all()
    assert len(cells) > 20
    assert [word for cell in cells for word in cell.evaluate(lines)] == []
    page.close()
