"""Warm-started models are kept, so that the second quickstart, the tests and the ablation do not build them again.

An entry is a folder named after everything that decides its contents: seed, schedule, the source files that build it,
and the versions of the libraries they call. A change of any of them is another entry, so nothing is ever out of date.
``SPARK_CACHE`` names the folder of all entries; it is ``spark_verl`` in the user's cache folder where unset, and
nothing is kept where it is empty.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

logger = logging.getLogger(__name__)

VARIABLE = "SPARK_CACHE"
CHECKSUMS = "checksums.json"
LIBRARIES = ("torch", "transformers", "tokenizers", "scikit-learn")

_PACKAGE = Path(__file__).resolve().parents[1]
_SOURCES = (
    "digits/**/*.py",
    "digits/**/*.jinja",
    "judge/templates.py",
    "judge/text.py",
    "vocabulary.py",
    "division.py",
)


def cache_folder() -> Path | None:
    """The folder of all entries; None when nothing is to be kept."""
    named = os.environ.get(VARIABLE)
    if named is None:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spark_verl"
    return Path(named).expanduser() if named else None


def key_of(description: object) -> str:
    """A digest of what is built (anything whose ``repr`` says it all) and of what builds it."""
    digest = hashlib.sha256(repr(description).encode())
    for path in sorted(path for pattern in _SOURCES for path in _PACKAGE.glob(pattern)):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library} {importlib.metadata.version(library)}".encode())
    return digest.hexdigest()[:24]


def copy_or_build(target: Path, description: object, build: Callable[[Path], object]) -> bool:
    """Fill ``target`` from the cache; build the entry first where there is none, or a damaged one.

    Processes that want the same entry at the same time wait for the first of them.

    Args:
        target: Folder to fill; created when missing, its files of the same names are overwritten.
        description: What is built, see :func:`key_of`.
        build: Writes the files into the folder that it is given.

    Returns:
        Whether the cache had the entry.
    """
    folder = cache_folder()
    if folder is None:
        target.mkdir(parents=True, exist_ok=True)
        build(target)
        return False
    entry = folder / "warm_start" / key_of(description)
    entry.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{entry}.lock"):
        found = entry.is_dir() and is_whole(entry)
        if not found:
            if entry.exists():
                logger.warning(f"{entry} is damaged: built again")
                shutil.rmtree(entry)
            made = Path(tempfile.mkdtemp(prefix="building_", dir=entry.parent))
            try:
                build(made)
                (made / CHECKSUMS).write_text(json.dumps(_checksums(made), indent=1), encoding="utf-8")
                made.rename(entry)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(entry, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(CHECKSUMS))
    return found


def is_whole(entry: Path) -> bool:
    """Whether every file of an entry is there as it was written, and no other."""
    try:
        expected = json.loads((entry / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return _checksums(entry) == expected


def _checksums(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != CHECKSUMS)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
