"""What is wrong in one row of a user's own file, said by field: what verl, the tokenizer or the verifier stumble over.

What is not foreseen here, :mod:`spark_verl.data.verl_class` finds by having verl read the row.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from spark_verl.data.errors import RowError
from spark_verl.data.images import decoder_error, encoded_image, shape_problem, shown_otherwise
from spark_verl.data.prompts import SPECIAL_TOKEN
from spark_verl.data.stores import Images
from spark_verl.data.truth import check_truth
from spark_verl.options import brief

MEDIA = ("image", "video", "audio")

_SHAPES = {
    "tiny_image": "too small to show anything",
    "extreme_ratio": "the model takes sides in proportions up to 1:200",
}
_REMADE = "store it as spark_verl.data.images.prepare_image makes it (see docs/data.md)"
_FORMS = 'write {"bytes": .., "path": null}, its path or a data URI'
_PLAIN_CONTENT = "write content as a text with one <image> for each image"


@dataclass(frozen=True)
class Columns:
    """What of a row is read.

    Attributes:
        prompt: ``data.prompt_key``.
        media: Kind of media to its column: ``data.image_key`` and its like.
        truths: Whether the verifier scores the rows, so that each needs a ground truth that it can use.
        unlabelled: Whether rows without any ground truth (null) are wanted.
    """

    prompt: str = "prompt"
    media: Mapping[str, str] = field(default_factory=lambda: {kind: f"{kind}s" for kind in MEDIA})
    truths: bool = True
    unlabelled: bool = False

    def check_schema(self, schema: pa.Schema) -> None:
        """Check a file's columns and the types that need no look into rows.

        Raises:
            ValueError: A column is missing, or one of media is no list.
        """
        if twice := [name for name in schema.names if schema.names.count(name) > 1]:
            raise ValueError(f"it has the column {brief(twice[0])} twice: leave one out")
        for name in ("data_source", self.prompt, "reward_model", "extra_info"):
            if name not in schema.names:
                key = " (data.prompt_key)" if name == self.prompt else ""
                raise ValueError(
                    f"it has no column {name!r}{key}, only {brief(', '.join(schema.names))}"
                    " (data_preprocess/ writes verl's columns)"
                )
        for kind, name in self.media.items():
            kept = schema.field(name).type if name in schema.names else pa.null()
            if not (pa.types.is_null(kept) or pa.types.is_list(kept) or pa.types.is_large_list(kept)):
                raise ValueError(
                    f"column {name!r} must be a list of {kind}s, is {_kind(kept)}: put it into a list, and for each"
                    f" {kind} {_FORMS}"
                )


@dataclass(frozen=True)
class Looked:
    """What was found in a row that is fine.

    Attributes:
        images: Its images, as PIL opens them; None for one that only a network has.
        labelled: Whether it has a ground truth.
    """

    images: tuple[Image.Image | None, ...]
    labelled: bool

    @property
    def pixels(self) -> int:
        """Pixels of all images."""
        return sum(image.width * image.height for image in self.images if image)


def look(row: Mapping[str, Any], columns: Columns) -> Looked:
    """Look at one row.

    Raises:
        RowError: Something is wrong with it; the detail names the field and says what to do.
    """
    texts = _texts(row[columns.prompt], columns.prompt)
    cells = {kind: row.get(name) or [] for kind, name in columns.media.items()}
    for kind, name in columns.media.items():
        marks = sum(text.count(f"<{kind}>") for text in texts)
        if marks != len(cells[kind]):
            absent = "" if name in row else f" (data.{kind}_key; the file has no such column)"
            raise RowError(
                "placeholder_mismatch",
                f"{columns.prompt}: {marks} <{kind}> in the prompt, but {len(cells[kind])} {kind}(s) in column"
                f" {name!r}{absent}",
            )
    labelled = _look_at_truth(row, columns)
    if not isinstance(row["extra_info"], Mapping | None):
        raise RowError("missing_field", f"extra_info must be a struct with index, is {_kind(row['extra_info'])}")
    images = []
    for i, cell in enumerate(cells["image"]):
        try:
            images.append(_open(cell))
        except RowError as error:
            raise RowError(error.reason, f"{columns.media['image']}: image {i} {error.detail}") from error
    return Looked(tuple(images), labelled)


def compare_images(name: str, images: Iterable[Image.Image | None], seen: Iterable[Image.Image]) -> None:
    """Compare a row's images with what verl made of them.

    Args:
        name: Their column.
        images: As PIL opens them.
        seen: From verl, in the same order.

    Raises:
        RowError: The model would see something else than a file holds.
    """
    for i, (image, shown_image) in enumerate(zip(images, seen, strict=False)):
        if image and (problem := shown_otherwise(image, shown_image)):
            raise RowError("distorted_image", f"{name}: image {i} {problem}: {_REMADE}")


def _texts(messages: Any, name: str) -> list[str]:
    """The texts of all messages."""
    if not isinstance(messages, list) or not messages:
        raise RowError(
            "bad_message", f"{name} must be a list of messages with role and content, is {_kind(messages, empty=True)}"
        )
    texts, asked = [], False
    for i, message in enumerate(messages):
        where = f"{name}[{i}]"
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise RowError("bad_message", f"{where} must be a message with role and content, is {brief(message)}")
        content = message.get("content")
        if isinstance(content, str):
            found = [content]
        elif isinstance(content, list):
            found = [text for j, part in enumerate(content) for text in _part(part, f"{where}.content[{j}]")]
        else:
            raise RowError("bad_message", f"{where}.content must be a text, is {_kind(content)}")
        asked = asked or (message["role"] == "user" and any(_without_marks(text).strip() for text in found))
        for text in found:
            if token := SPECIAL_TOKEN.search(text):
                raise RowError(
                    "special_token",
                    f"{where}.content has {token[0]}, which the tokenizer does not take for text: remove it (verl"
                    " writes the chat format, and <image> stands for an image)",
                )
        texts += found
    if not asked:
        raise RowError("empty_question", f"{name} has no user message with text")
    if messages[-1]["role"] == "assistant":  # as in data for fine-tuning, whose last message is the answer
        raise RowError(
            "bad_message", f"{name}[{len(messages) - 1}] is an assistant's, and nothing is asked after it: leave it out"
        )
    return texts


def _without_marks(text: str) -> str:
    for kind in MEDIA:
        text = text.replace(f"<{kind}>", "")
    return text


def _part(part: Any, where: str) -> Iterator[str]:
    """The text of a part of a message's content, if it has one."""
    if not isinstance(part, Mapping):
        raise RowError("bad_message", f"{where} must be a struct with type, is {_kind(part)}: {_PLAIN_CONTENT}")
    for key in (*MEDIA, "image_url"):
        # verl and the chat templates only ask whether the key is there.
        if key in part and part[key] is None:
            raise RowError(
                "bad_message",
                f"{where}.{key} is null (Arrow gives every part the keys that any part has), which verl takes for"
                f" an image: {_PLAIN_CONTENT}",
            )
    if part.get("type") == "text":
        if not isinstance(part.get("text"), str):
            raise RowError("bad_message", f"{where}.text must be a text, is {_kind(part.get('text'))}")
        yield part["text"]


def _look_at_truth(row: Mapping[str, Any], columns: Columns) -> bool:
    """Whether the row has a ground truth; one that cannot be used is an error."""
    model = row["reward_model"]
    if not isinstance(model, Mapping) or "ground_truth" not in model:
        raise RowError("missing_field", f"reward_model must be a struct with ground_truth, is {brief(model)}")
    truth = model["ground_truth"]
    if not columns.truths or truth is None and columns.unlabelled:
        return truth is not None
    try:
        check_truth(truth)
    except RowError as error:
        raise RowError(
            error.reason, f"reward_model.ground_truth: {error}; nothing can be verified: mend it or leave the row out"
        ) from error
    return True


class _Disk(Images):
    """Files as verl finds them: by their path from where the run starts."""

    def read(self, path: str) -> bytes:
        """Content of the file."""
        file = path.removeprefix("file://")
        if not os.path.isfile(file):
            raise RowError(
                "missing_image", f"is the file {brief(file)}, which does not exist (from {brief(os.getcwd())})"
            )
        return Path(file).read_bytes()


def _open(cell: Any) -> Image.Image | None:
    """Decode one image; None for one that only a network has."""
    if isinstance(cell, bytes):
        raise RowError("missing_image", f"is bytes: {_FORMS}")
    address = (cell.get("image") or cell.get("image_url")) if isinstance(cell, Mapping) else cell
    if isinstance(address, str) and address.startswith(("http://", "https://")):
        return None
    try:
        source = encoded_image(cell, _Disk([]))
        if not source:
            empty = not cell or isinstance(cell, Mapping) and any(key in cell for key in ("bytes", "path", "image"))
            raise RowError("missing_image", "is empty" if empty else f"is {brief(cell)}: {_FORMS}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PIL about large images: the error comes at twice the size
            image = Image.open(io.BytesIO(source))
            # The header alone does not show that a file was cut off.
            image.load()
    except RowError:
        raise
    except Exception as error:  # PIL's decoders raise anything from SyntaxError to struct.error
        raise RowError("broken_image", f"cannot be read: {decoder_error(error)}") from error
    if problem := shape_problem(*image.size):
        raise RowError(problem, f"is {image.width}x{image.height} pixels: {_SHAPES[problem]}")
    return image


def _kind(value: Any, empty: bool = False) -> str:
    """What a value or a type of Arrow is, in words."""
    if isinstance(value, pa.DataType):
        names = {"struct": "a struct", "string": "text", "large_string": "text", "binary": "bytes"}
        return names.get(str(value).partition("<")[0], f"of type {brief(value)}")
    if empty and value == []:
        return "empty"
    names = {str: "text", bytes: "bytes", list: "a list", type(None): "null"}
    kind = next((name for kind, name in names.items() if isinstance(value, kind)), None)
    return kind or ("a struct" if isinstance(value, Mapping) else f"{type(value).__name__} {brief(value)}")
