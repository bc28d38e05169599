"""What `mkdocs build` needs besides its own: the pages that lie outside docs/, links out of it, and formulas.

On GitHub a page may link to any file of the repository, by its path. The site has only pages, so a link to a page leads
to the page, and one to another file becomes its text. A link to nothing is left alone: mkdocs then refuses it.
"""

from __future__ import annotations

import html
import os
import re
from pathlib import Path, PurePosixPath

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changes.md"}
"""Files at the top that are pages, and what they are called on the site."""

FENCED = re.compile(r"^(```.*?^```)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for name, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the repository into links between pages; what stands in a code block stays."""
    here = page.file.src_uri
    source = next((name for name, uri in OUTSIDE.items() if uri == here), f"docs/{here}")
    parts = FENCED.split(markdown)
    return "".join(part if i % 2 else _relink(part, source, here) for i, part in enumerate(parts))


def _relink(markdown: str, source: str, here: str) -> str:
    def relinked(match: re.Match[str]) -> str:
        image, text, target, anchor = match[1], match[2], match[3], match[4] or ""
        path = os.path.normpath(PurePosixPath(source).parent / target)
        if path in OUTSIDE or path.startswith("docs/"):
            uri = OUTSIDE.get(path, path.removeprefix("docs/"))
            return f"{image}[{text}]({os.path.relpath(uri, PurePosixPath(here).parent)}{anchor})"
        return text if (ROOT / path).exists() and not path.startswith("..") else match[0]

    return LINK.sub(relinked, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write formulas as MathML, which browsers show without a script."""

    def formula(match: re.Match[str]) -> str:
        display = "block" if match[1] == "div" else "inline"
        return f"<{match[1]}>{convert(html.unescape(match[2]).strip(), display=display)}</{match[1]}>"

    return FORMULA.sub(formula, content)
