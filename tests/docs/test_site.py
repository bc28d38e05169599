"""The docs as a site: it builds without a warning, a dead link is one, and it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("mkdocs.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")


def build(checkout: Path, site: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
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


def checkout(folder: Path, **appended: str) -> Path:
    """A copy of what the site is made of, with text at the end of some pages (``docs__gpu`` is docs/gpu.md)."""
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    for name, text in appended.items():
        with (folder / f"{name.replace('__', '/')}.md").open("a", encoding="utf-8") as file:
            file.write(f"\n{text}\n")
    return folder


def test_what_is_broken_is_named(tmp_path):
    broken = checkout(
        tmp_path,
        README="[x](docs/quickstarts.md) ![x](docs/pictures/nothing.png)",
        docs__gpu="[x](nowhere.md) [x](method.md#no-such-heading) [x](../spark_verl/nowhere.py)",
        docs__lost="# A page that nothing leads to",
    )
    done = build(broken, tmp_path / "site")
    assert done.returncode != 0
    for name in ("quickstarts.md", "nothing.png", "nowhere.md", "#no-such-heading", "nowhere.py", "lost.md"):
        assert re.search(rf"WARNING .*{re.escape(name)}|^ *- {re.escape(name)}", done.stderr, re.M), name


def test_links_to_source_files_are_for_github(tmp_path):
    (tmp_path / "Dockerfile").touch()
    text = "see [the `Dockerfile`](../Dockerfile), as in\n\n```\n[x](../Dockerfile)\n```"
    done = build(checkout(tmp_path, docs__gpu=text), tmp_path / "site")
    assert done.returncode == 0, done.stderr
    shown = (tmp_path / "site" / "gpu.html").read_text(encoding="utf-8")
    assert "see the <code>Dockerfile</code>, as in" in shown and "[x](../Dockerfile)" in shown


def test_the_readme_stays_short_and_its_pictures_small():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 170
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()) <= 300_000
