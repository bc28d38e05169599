"""The docs as a site: it builds without a warning, a dead link is one, and it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")


def build(checkout: Path, site: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(site)]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder


def test_every_page_is_there(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    pages = {page.with_name("index.html") if page.stem == "README" else page for page in pages}
    pages |= {Path("index.html"), Path("contributing.html"), Path("changes.html")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site):
    loaded = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"?(?:https?:)?//([^\"> ]+)")
    for page in site.rglob("*.html"):
        assert not loaded.findall(page.read_text(encoding="utf-8")), page


def test_formulas_are_shown_without_a_script(site):
    text = (site / "method.html").read_text(encoding="utf-8")
    assert text.count("<math") >= 20 and "arithmatex" not in text


def test_the_readme_is_the_first_page_and_its_links_lead_to_pages(site):
    text = (site / "index.html").read_text(encoding="utf-8")
    assert 'href="quickstart.html"' in text and 'href="contributing.html"' in text
    assert 'src="pictures/loop.svg"' in text and "docs/" not in "".join(re.findall(r'href="([^"]*)"', text))


def _append(page: str, text: str) -> Callable[[Path], None]:
    def change(checkout: Path) -> None:
        with (checkout / page).open("a", encoding="utf-8") as file:
            file.write(f"\n{text}\n")

    return change


BROKEN = {
    "a page that is not there": (_append("docs/gpu.md", "[x](nowhere.md)"), "nowhere.md"),
    "a page that the README misspells": (_append("README.md", "[x](docs/quickstarts.md)"), "quickstarts.md"),
    "a heading that is not there": (_append("docs/gpu.md", "[x](method.md#no-such-heading)"), "no-such-heading"),
    "a source file that is not there": (_append("docs/gpu.md", "[x](../spark_verl/nowhere.py)"), "nowhere.py"),
    "a picture that is not there": (_append("README.md", "![x](docs/pictures/nothing.png)"), "nothing.png"),
    "a page that nothing leads to": (
        lambda checkout: (checkout / "docs" / "lost.md").write_text("# Lost\n"),
        "lost.md",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_named(case, tmp_path):
    change, name = BROKEN[case]
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    change(tmp_path)
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0 and name in done.stderr, done.stderr


def test_links_to_source_files_are_for_github(tmp_path):
    for part in (*PARTS, "Dockerfile"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    _append("docs/gpu.md", "see [the `Dockerfile`](../Dockerfile), as in\n\n```\n[x](../Dockerfile)\n```")(tmp_path)
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "site" / "gpu.html").read_text(encoding="utf-8")
    assert "see the <code>Dockerfile</code>, as in" in text and "[x](../Dockerfile)" in text
