"""docs/troubleshooting.md quotes messages as the source has them."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"

QUOTED = re.findall(r"^### `([^`]+)`\n(?:<!-- (\S+) -->\n)?", PAGE.read_text(encoding="utf-8"), re.M)


def source(name: str) -> Path:
    """A file of the checkout or of an installed package."""
    if (ROOT / name).is_file():
        return ROOT / name
    package, _, rest = name.partition("/")
    spec = importlib.util.find_spec(package)
    assert spec and spec.origin, name
    return Path(spec.origin).parent / rest


def texts(path: Path) -> list[str]:
    """Every text of a source file; what is put in when it runs is a NUL. A shell script is one text."""
    code = path.read_text(encoding="utf-8")
    if path.suffix == ".sh":
        # Arguments that are continued on the next line are one message.
        return [re.sub(r"\$\{?\w+(?:[:#%][^}]*\})?\}?", "\0", re.sub(r"\"\s*\\\n\s*\"", " ", code))]
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(p.value) if isinstance(p, ast.Constant) else "\0" for p in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(re.sub(r"\{[^{}]*\}", "\0", node.value))
    return found


def says(text: str, message: str) -> bool:
    """Whether a text has the parts of a message in their order, and nothing but what differs between them."""
    parts = [re.escape(part.strip()) for part in message.split("…")]
    return re.search(r"\0?.*?\0?".join(parts), text, re.S) is not None


def test_there_are_at_least_twenty():
    assert len(QUOTED) >= 20 and len(dict(QUOTED)) == len(QUOTED)


@pytest.mark.parametrize(("message", "file"), QUOTED, ids=[message[:40] for message, _ in QUOTED])
def test_a_quoted_message_is_in_the_source(message, file):
    assert file, "say in a comment below the heading which file it is from"
    assert max(map(len, message.split("…"))) >= 15, "too little is quoted to be found again"
    assert any(says(text, message) for text in texts(source(file))), f"{file} does not say {message!r}"


def test_a_message_that_nobody_says_is_found_out():
    path = source("spark_verl/compat/ready.py")
    assert any(says(text, "spark_verl is written for …, found …") for text in texts(path))
    assert not any(says(text, "spark_verl is made for …, found …") for text in texts(path))
