"""``python -m spark_verl.config.describe``: what ``schema.py`` says, as commented yaml and as a table for the docs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
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


def options(block: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Field[Any], Any]]:
    """(path, field, default) of every option of a block, each sub-block before what is in it."""
    for one in fields(block):
        here, default = (*path, one.name), getattr(block, one.name)
        yield here, one, default
        if is_dataclass(default):
            yield from options(default, here)


def as_yaml() -> str:
    """The block with its meanings as comments."""
    lines = []
    for path, one, default in options(SparkConfig()):
        indent = "  " * len(path)
        comment = textwrap.wrap(one.metadata["meaning"], 118 - len(indent))
        lines += [f"{indent}# {line}" for line in comment]
        lines.append(f"{indent}{one.name}:" + ("" if is_dataclass(default) else f" {json.dumps(default)}"))
    return _YAML_HEAD + "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The page of the docs."""
    rows = []
    for path, one, default in options(SparkConfig()):
        if not is_dataclass(default):
            allowed = one.metadata["allowed"].words if one.metadata["allowed"] else ""
            cells = (f"`{'.'.join(path)}`", f"`{json.dumps(default)}`", allowed, one.metadata["meaning"])
            rows.append(f"| {' | '.join(cells)} |")
    return _DOCS_HEAD + "\n".join(rows) + "\n"


def main() -> None:
    """Write both files."""
    for path, text in ((YAML, as_yaml()), (DOCS, as_markdown())):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
