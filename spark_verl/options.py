"""How an option of the config is described: once, where its field stands.

    n: int | None = option(None, at_least(2, "(or null for rollout.n)"))
    \"\"\"Samples per prompt.\"\"\"

From this come the check of what a user writes (:func:`load`), and the commented yaml and the table of the docs
(:mod:`spark_verl.config.describe`). Light: imports OmegaConf only.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Block = TypeVar("Block", bound="DataclassInstance")


class RunEnded(RuntimeError):
    """A run cannot go on; the message is one line that says why, and what to do."""

    code = 1


@dataclass(frozen=True)
class Allowed:
    """The values that an option may have; whether null is one is said by its type.

    Attributes:
        words: What follows "must".
        holds: Whether a value is one of them.
    """

    words: str
    holds: Callable[[Any], bool]


LONGEST_VALUE = 80
"""Characters of a user's value that a message shows."""

LONGEST_REASON = 240
"""Characters of what a library says about it."""


def brief(value: Any, limit: int = LONGEST_VALUE) -> str:
    """A value on one line of what can be shown, its middle left out where it has more characters than the limit."""
    if isinstance(value, bytes | bytearray | str):
        # A cell may hold a megabyte, and there may be a million of them.
        value = value if len(value) <= 4 * limit else value[: 2 * limit] + value[-2 * limit :]
    text = " ".join(str(value).split())
    text = text if len(text) <= 2 * limit else text[:limit] + text[-limit:]
    text = "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
    half = limit // 2 - 1
    return text if len(text) <= limit else f"{text[:half]}…{text[-half:]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: which known one is nearly the same; "" where none is."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def refuse(problems: Iterable[str]) -> None:
    """Raise one error with a line for each problem; do nothing where there is none.

    Raises:
        ValueError: There is a problem.
    """
    if found := list(problems):
        raise ValueError("\n".join(found))


SHARE = Allowed("lie between 0 and 1", lambda value: 0 <= value <= 1)
POSITIVE = Allowed("be positive", lambda value: value > 0)
NOT_NEGATIVE = Allowed("not be negative", lambda value: value >= 0)


def at_least(least: float, remark: str = "") -> Allowed:
    """Numbers from ``least`` on."""
    return Allowed(f"be at least {least} {remark}".rstrip(), lambda value: value >= least)


def one_of(names: Collection[str]) -> Allowed:
    """One of these names."""
    return Allowed(f"be one of {', '.join(names)}", lambda value: value in names)


def some_of(names: Collection[str], least: int = 0) -> Allowed:
    """Lists of at least so many of these names."""
    return Allowed(f"name some of {', '.join(names)}", lambda value: len(value) >= least and set(value) <= set(names))


def option(default: Any, allowed: Allowed) -> Any:
    """A dataclass field whose values are limited.

    Args:
        default: Its default, or a function that makes it.
        allowed: Values that it may have.
    """
    kind = "default_factory" if callable(default) else "default"
    return field(**{kind: default}, metadata={"allowed": allowed})


def check(block: Block, name: str) -> Block:
    """Check every value of a block and of the blocks in it; return the block.

    Raises:
        ValueError: A value is none of those allowed; the message has the key, what is allowed, and the value.
    """
    for one in fields(block):
        key, value, allowed = f"{name}.{one.name}", getattr(block, one.name), one.metadata.get("allowed")
        if is_dataclass(value):
            check(value, key)
        elif allowed and value is not None and not allowed.holds(value):
            raise ValueError(f"{key} must {allowed.words}, got {value}")
    return block


def load(kind: type[Block], values: Mapping[str, Any], name: str) -> Block:
    """Read a block from a config, and check it.

    Args:
        kind: Its dataclass.
        values: What the user set, a dictionary or a DictConfig; the rest keeps its defaults.
        name: The block's key in the whole config, for messages.

    Raises:
        ValueError: An unknown key, a value of the wrong type, or one that is not allowed. One line.
    """
    try:
        block: Any = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, ConfigKeyError):
            reason += f": choose from {', '.join(one.name for one in fields(error.object_type))}"  # ty: ignore[invalid-argument-type]
        raise ValueError(f"{'.'.join(filter(None, (name, error.full_key)))}: {reason}") from error
    return check(block, name)
