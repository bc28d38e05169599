"""Keys of a config that mean nothing to verl, and values of another kind than verl's own defaults.

Both are asked of the config that verl ships (``verl.trainer.config``), without importing verl.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spark_verl.config import SparkConfig
from spark_verl.options import brief

_OWN = ("hydra", "spark", "trainer.v1.spark")
"""Sections that verl does not know: ``spark`` has a check of its own."""

_OPEN = ("ray_kwargs.ray_init", "transfer_queue")
"""Sections whose options are another library's."""


INSTANTIATED = (
    "actor_rollout_ref.actor",
    "actor_rollout_ref.ref",
    "actor_rollout_ref.rollout",
    "actor_rollout_ref.model",
)
"""Sections of which verl makes dataclasses, which refuse what they do not know (:mod:`spark_verl.checks.with_verl`)."""


@functools.cache
def verl_defaults() -> dict[str, Any]:
    """verl's config for PPO with FSDP, as plain nested dictionaries, references resolved."""
    config = OmegaConf.load(_verl() / "trainer" / "config" / "_generated_ppo_trainer.yaml")
    return OmegaConf.to_container(config, resolve=True)  # ty: ignore[invalid-explicit-return]


def plain(config: DictConfig, resolve: bool = True) -> dict[str, Any]:
    """A composed config as plain nested dictionaries.

    Args:
        config: The whole config.
        resolve: Whether references (``${...}``) are replaced by what they lead to.

    Raises:
        ValueError: A reference leads nowhere.
    """
    try:
        return OmegaConf.to_container(config, resolve=resolve)  # ty: ignore[invalid-explicit-return]
    except OmegaConfBaseException as error:
        raise ValueError(f"{error.full_key}: {brief(str(error).splitlines()[0])}") from error


def wrong_kinds(config: DictConfig) -> Iterator[str]:
    """A message for each value that is of another kind than verl's default, or null where verl looks for keys."""
    yield from _wrong_kinds(plain(config, resolve=False), verl_defaults(), "")


def unknown_keys(config: DictConfig) -> Iterator[str]:
    """A message for each key that verl neither has in its config nor asks for in its code: it has no effect."""
    known = flat_keys(verl_defaults())
    for key in _unknown(plain(config, resolve=False), verl_defaults(), ""):
        yield f"{key} has no effect, verl has no such option{suggestion(key, known)}"


def unknown_override(key: str) -> str:
    """A message about a key that was set on the command line and that no config has."""
    ours = flat_keys(OmegaConf.to_container(OmegaConf.structured(SparkConfig)), "spark.")  # ty: ignore[invalid-argument-type]
    meant = suggestion(key, [*flat_keys(verl_defaults()), *ours])
    if not meant and _is_asked_for(key.rpartition(".")[2]):
        meant = f": verl's code may look for it all the same, +{brief(key)}=... sets it"
    return f"{brief(key)}: there is no such option{meant}"


def suggestion(key: str, known: list[str]) -> str:
    """The end of a message about an unknown dotted key: the known one that was probably meant.

    The same last part elsewhere comes before another spelling in the same place.
    """
    parent, _, name = key.rpartition(".")
    beside = [one for one in known if one.rpartition(".")[0] == parent]
    for candidates, cutoff in ((beside, 0.6), (known, 0.8)):
        names = [one.rpartition(".")[2] for one in candidates]
        if close := difflib.get_close_matches(name, names, n=1, cutoff=cutoff):
            meant = [one for one in candidates if one.rpartition(".")[2] == close[0]]
            return f": did you mean {min(meant, key=functools.partial(_distance, key))}?"
    return ""


def _distance(key: str, other: str) -> tuple[bool, bool, float]:
    """How far another place in the config is: another section, one that SPARK has no use for, another name."""
    section = other.partition(".")[0]
    alike = difflib.SequenceMatcher(None, key, other).ratio()
    return section != key.partition(".")[0], section in ("critic", "distillation", "reward"), -alike


def flat_keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every dotted key, sections included."""
    found = []
    for key, value in values.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            found += flat_keys(value, f"{prefix}{key}.")
    return found


def _wrong_kinds(mine: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, default in theirs.items():
        here = f"{prefix}{key}"
        if key not in mine or here in _OWN:
            continue
        value = mine[key]
        if isinstance(value, str) and "${" in value:  # what a reference leads to is looked at where it stands
            continue
        if isinstance(default, dict) and default:
            if isinstance(value, dict):
                yield from _wrong_kinds(value, default, f"{here}.")
            else:
                yield f"{here} is a section of options, got {brief(value)}"
        elif None not in (value, default) and _kind(value) != _kind(default):
            yield f"{here} must be {_kind(default)} (verl's default: {brief(default)}), got {brief(value)}"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    # Where one name may stand, several may, and the other way round.
    return "a section of options" if isinstance(value, dict) else "a text or a list"


def _unknown(mine: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in mine.items():
        here = f"{prefix}{key}"
        if here in (*_OWN, *_OPEN, *INSTANTIATED):
            continue
        if key not in theirs:
            if key in _names() or not _is_asked_for(str(key)):
                yield here
        elif isinstance(value, dict) and isinstance(theirs[key], dict) and theirs[key]:
            yield from _unknown(value, theirs[key], f"{here}.")


@functools.cache
def _names() -> frozenset[str]:
    """Last parts of the keys of verl's config: one that stands elsewhere was put into the wrong section."""
    return frozenset(key.rpartition(".")[2] for key in flat_keys(verl_defaults()))


@functools.cache
def _is_asked_for(name: str) -> bool:
    """Whether verl's code has this word as a key: many options are read without standing in its config."""
    word = re.compile(rf"""["']{re.escape(name)}["']|\.{re.escape(name)}\b""")
    return any(word.search(text) for text in _sources())


@functools.cache
def _sources() -> list[str]:
    return [file.read_text(encoding="utf-8") for file in sorted(_verl().rglob("*.py"))]


def _verl() -> Path:
    spec = importlib.util.find_spec("verl")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("verl is not installed")
    return Path(spec.origin).parent
