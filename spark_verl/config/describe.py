"""``python -m spark_verl.config.describe``: what ``schema.py`` says, as commented yaml and as a table for the docs."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from spark_verl.config.schema import SparkConfig

YAML = Path(__file__).parent / "spark_options.yaml"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"

_YAML_HEAD = """\
# The spark: block with its defaults.
# Written by `python -m spark_verl.config.describe` from schema.py: change it there.

spark:
"""
_DOCS_HEAD = """\
# Configuration

The options of the `spark:` block, which stands beside verl's own configuration. Any of them can be set in a recipe, or
after the command as `spark.KEY=VALUE`. `bash run_scripts/train.sh RECIPE --cfg job` shows the whole composed
configuration.

<!-- Written by `python -m spark_verl.config.describe` from spark_verl/config/schema.py: change it there. -->

| key | default | must | meaning |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Option:
    """An option, or a block of them.

    Attributes:
        path: Its key in the ``spark:`` block, split at the dots.
        default: A plain value, or an instance of the block's class.
        meaning: What is written under the field; of a block the first line of its class.
        must: What values it may have; empty for all of its type.
    """

    path: tuple[str, ...]
    default: Any
    meaning: str
    must: str


def options(block: Any, path: tuple[str, ...] = ()) -> Iterator[Option]:
    """Every option of a block, each block in it before what is in that."""
    meanings = _meanings(type(block))
    for one in fields(block):
        here, default, allowed = (*path, one.name), getattr(block, one.name), one.metadata.get("allowed")
        if is_dataclass(default):
            yield Option(here, default, _phrase((inspect.getdoc(default) or "").partition("\n")[0]), "")
            yield from options(default, here)
        else:
            yield Option(here, default, meanings[one.name], allowed.words if allowed else "")


def _meanings(kind: type) -> dict[str, str]:
    """The strings under a class's fields, inherited ones included. Python does not keep them, its source does."""
    found = {}
    for base in reversed(kind.__mro__[:-1]):
        for one, text in pairwise(ast.parse(inspect.getsource(base)).body[0].body):  # ty: ignore[missing-attribute]
            if isinstance(one, ast.AnnAssign) and isinstance(text, ast.Expr):
                found[one.target.id] = _phrase(text.value.value)
    return found


def _phrase(sentence: str) -> str:
    return " ".join(sentence.split()).removesuffix(".")


def as_yaml() -> str:
    """The block, each option under its meaning."""
    lines = []
    for one in options(SparkConfig()):
        indent = "  " * len(one.path)
        comment = f"{one.meaning}; must {one.must}" if one.must else one.meaning
        lines += textwrap.wrap(comment, 120, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        value = "" if is_dataclass(one.default) else f" {json.dumps(one.default)}"
        lines.append(f"{indent}{one.path[-1]}:{value}")
    return _YAML_HEAD + "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The page of the docs."""
    rows = [
        f"| `{'.'.join(one.path)}` | `{json.dumps(one.default)}` | {one.must} | {one.meaning} |"
        for one in options(SparkConfig())
        if not is_dataclass(one.default)
    ]
    return _DOCS_HEAD + "\n".join(rows) + "\n"


def main() -> None:
    """Write both files."""
    for path, text in ((YAML, as_yaml()), (DOCS, as_markdown())):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
