"""Where images lie: a folder, a zip archive or a tar archive. One image at a time is read, nothing is unpacked."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from spark_verl.data.errors import RowError, UsageError
from spark_verl.options import brief

MAX_FILE_BYTES = 256 * 2**20
"""A larger file is not read: no real image of these data sets is near it, and an archive can claim any size."""


@dataclass(frozen=True)
class ImageStore:
    """Image files by path.

    Attributes:
        name: Name of the folder or archive, with which a data set's paths may begin.
        open: The file at a path, which is relative to the store and has no ``..``; None when there is none.
    """

    name: str
    open: Callable[[str], IO[bytes] | None]


def open_store(path: str | Path) -> ImageStore:
    """Open a folder, a ``.zip`` or an uncompressed ``.tar``. Of an archive, only the directory is held in memory.

    Raises:
        UsageError: It does not exist or is not one of these.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return ImageStore(path.resolve().name, lambda name: _open_file(path / name))
    if not path.is_file():
        raise UsageError(f"images: {path} does not exist")
    try:
        if zipfile.is_zipfile(path):
            archive = zipfile.ZipFile(path)
            return ImageStore(path.stem, lambda name: archive.open(name) if name in archive.NameToInfo else None)
        # Mode "r:" refuses compression: in a compressed archive each image would mean reading from the start again.
        tar = tarfile.open(path, "r:")
        members = {str(PurePosixPath(member.name)): member for member in tar if member.isfile()}
        return ImageStore(path.stem, lambda name: tar.extractfile(members[name]) if name in members else None)
    except (zipfile.BadZipFile, tarfile.TarError, OSError) as error:
        raise UsageError(
            f"images: {path} is neither a folder nor a zip or uncompressed tar archive ({error});"
            " unpack it and name the folder"
        ) from error


def _open_file(file: Path) -> IO[bytes] | None:
    # os.path also takes what no file can be called, such as an image as base64, for a file that does not exist.
    return file.open("rb") if os.path.isfile(file) else None


class Images:
    """Finds an image by the path that a data set gives for it.

    - A relative path is looked up in each store, from the store's top or, where the path begins with the store's own
      name (``images/1.png`` in ``images.zip``), from there.
    - An absolute path comes from someone else's machine: its longest end that exists in a store counts, as long as
      that end has a folder in it. A bare file name such as ``1.png`` would match the wrong image of another data set.

    Args:
        stores: Where to look; the first one that has the image wins, unless a longer end matches in another one.
    """

    def __init__(self, stores: Sequence[ImageStore]) -> None:
        self._stores = stores

    def read(self, path: str) -> bytes:
        """Content of the image file.

        Raises:
            RowError: It does not exist, or cannot be read.
        """
        for store, inside in self._places(path):
            try:
                file = store.open(inside)
                if file is None:
                    continue
                with file:
                    content = file.read(MAX_FILE_BYTES + 1)
            except Exception as error:  # archives are untrusted: zipfile, zlib, tarfile raise a dozen kinds of errors
                raise RowError("broken_image", f"{brief(path)} cannot be read: {error}") from error
            if len(content) > MAX_FILE_BYTES:
                raise RowError("broken_image", f"{brief(path)} has more than {MAX_FILE_BYTES} bytes")
            return content
        raise RowError("missing_image", f"{brief(path)} is in none of {[store.name for store in self._stores]}")

    def _places(self, path: str) -> Iterator[tuple[ImageStore, str]]:
        """Where the image may be, the likeliest place first."""
        pure = PurePosixPath(path.strip().removeprefix("file://").replace("\\", "/"))
        parts = tuple(part for part in pure.parts if part != "/")
        if not parts or ".." in parts:
            raise RowError("missing_image", f"{brief(path)} is not a path inside the data set")
        absolute = pure.is_absolute()
        for start in range(len(parts) if absolute else 1):
            end = parts[start:]
            for store in self._stores:
                if end[0] == store.name and len(end) > 1:
                    yield store, "/".join(end[1:])
                if not absolute or len(end) > 1:
                    yield store, "/".join(end)
