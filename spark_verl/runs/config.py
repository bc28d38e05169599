"""What a run was started with, and how that differs from its recipe.

A run writes its resolved ``config.yaml`` and ``run.json`` (recipe, overrides, versions) into
``trainer.default_local_dir``, which is the run folder or its ``checkpoints``; where these are absent, what Hydra itself
writes is read.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

CHECKOUT = Path(__file__).resolve().parents[2]

_SECRET = re.compile(
    r"(^|[._])(\w*password|\w*secret|\w*(api|access|private|secret)_key|\w*(access|auth|hf|bearer)_token|token)$", re.I
)

FROM_VERL = "not in the recipe"
ABSENT = "absent"


class UnreadableFile(ValueError):
    """A file of the run folder is not what a run writes."""


@dataclass(frozen=True)
class Difference:
    """One key in which a run and its recipe (or two runs) differ.

    Attributes:
        key: Dotted key.
        left, right: The values as YAML on one line.
        why: "command line", "not on the command line" (the recipe was edited, or the platform set it) or "".
    """

    key: str
    left: str
    right: str
    why: str = ""


@dataclass
class RunConfig:
    """A run's config, flat.

    Attributes:
        values: ``{dotted key: value}``. Empty when no config was found.
        overrides: Of the command line, as given.
        recipe_name: ``--config-name``.
        recipe: The recipe's own values, flat, those of recipes that it inherits from included; None when it is no
            longer there.
        versions: ``{package: version}`` that the run noted.
    """

    values: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    recipe_name: str | None = None
    recipe: dict[str, Any] | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def differences(self) -> list[Difference]:
        """Every key whose value in the run is not the recipe's, and every key that the command line sets."""
        recipe = self.recipe or {}
        found: dict[str, Difference] = {}
        for key, value in recipe.items():
            if key in self.values and not self._is_as_in_recipe(key, value):
                found[key] = Difference(key, _text(key, value), _text(key, self.values[key]), "not on the command line")
        for text in self.overrides:
            if (key := _override_key(text)) is None:
                continue
            members = [name for name in self.values if name == key or name.startswith(f"{key}.")]
            # A choice of a config group (platform=cpu) is no key of the composed config.
            for name in members or [key]:
                right = _text(name, self.values[name]) if members else _text(key, text.partition("=")[2])
                left = _text(name, recipe[name]) if name in recipe else FROM_VERL
                as_in_recipe = name in recipe and name in self.values and self._is_as_in_recipe(name, recipe[name])
                if left != right and not as_in_recipe:
                    found[name] = Difference(name, left, right, "command line")
        return [found[key] for key in sorted(found)]

    def _is_as_in_recipe(self, key: str, value: Any) -> bool:
        """Whether the run has what the recipe says, or the absolute form of a path in it."""
        mine, resolved = self.values[key], self._resolved(key, value)
        same_path = _is_same_path(value if isinstance(value, list) else resolved, mine)
        return same_path or _text(key, mine) in (_text(key, value), resolved)

    def _resolved(self, key: str, value: Any) -> str:
        """A recipe's value as text, references to other keys replaced by what the run has there."""

        def look_up(match: re.Match[str]) -> str:
            return _text(match[1], self.values[match[1]]) if match[1] in self.values else match[0]

        return re.sub(r"\$\{([\w.]+)\}", look_up, _text(key, value))


def compare(one: RunConfig, other: RunConfig) -> list[Difference]:
    """Keys in which two runs' configs differ."""
    keys = sorted(one.values.keys() | other.values.keys())
    texts = [[_text(key, run.values[key]) if key in run.values else ABSENT for run in (one, other)] for key in keys]
    return [Difference(key, left, right) for key, (left, right) in zip(keys, texts, strict=True) if left != right]


def load(folder: Path) -> RunConfig:
    """Find and read the config of a run folder; empty where there is none.

    Raises:
        UnreadableFile: A file is no YAML.
    """
    places = (folder, folder / "checkpoints")
    for place in places:
        if (place / "config.yaml").is_file():
            about = read_object(place / "run.json")
            return RunConfig(
                values=flatten(_load(place / "config.yaml")),
                overrides=about.get("overrides", []),
                recipe_name=about.get("recipe"),
                recipe=_find_recipe(about.get("recipe"), []),
                versions=about.get("versions", {}),
            )
    for place in (place / "hydra" / ".hydra" for place in places):
        if (place / "config.yaml").is_file():
            hydra = _load(place / "hydra.yaml")["hydra"]
            folders = [Path(source["path"]) for source in hydra["runtime"]["config_sources"] if source["path"]]
            return RunConfig(
                values=flatten(_load(place / "config.yaml")),
                overrides=_load(place / "overrides.yaml"),
                recipe_name=hydra["job"]["config_name"],
                recipe=_find_recipe(hydra["job"]["config_name"], folders),
            )
    return RunConfig()


def _find_recipe(name: str | None, folders: list[Path]) -> dict[str, Any] | None:
    """The recipe of this name (a name, not a path) from the first folder that has it."""
    if name and re.fullmatch(r"[\w.-]+", name):
        for path in (place / f"{name.removesuffix('.yaml')}.yaml" for place in [*folders, CHECKOUT / "recipes"]):
            if path.is_file():
                return _read_recipe(path)
    return None


def _read_recipe(path: Path) -> dict[str, Any]:
    """A recipe over those beside it that it inherits from, with its choices of config groups."""
    recipe = _load(path)
    values: dict[str, Any] = {}
    for item in recipe.pop("defaults", []):
        if isinstance(item, dict):
            values |= {group.removeprefix("override ").lstrip("/"): choice for group, choice in item.items()}
        elif (base := path.parent / f"{item}.yaml").is_file():
            values |= _read_recipe(base)
    recipe.pop("hydra", None)
    return values | flatten(recipe)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object; empty when it is absent.

    Raises:
        UnreadableFile: It is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UnreadableFile(f"{path} is no JSON: {error}") from error


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """``{dotted key: value}`` of nested dicts; lists and empty dicts are values."""
    if not isinstance(values, dict) or not values:
        return {prefix: values} if prefix else {}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _load(path: Path) -> Any:
    """A YAML file as plain objects, interpolations left as they are."""
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (YAMLError, OmegaConfBaseException) as error:
        raise UnreadableFile(f"{path} is no YAML: {error}") from error


def _override_key(text: str) -> str | None:
    try:
        return OverridesParser.create().parse_override(text).key_or_group
    except HydraException:
        return None


def _is_same_path(left: Any, right: Any) -> bool:
    """Whether a run has the absolute form of the relative path (or of each in the list) that its recipe has."""
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return all(one == other or _is_same_path(one, other) for one, other in zip(left, right, strict=True))
    if not isinstance(left, str) or not isinstance(right, str) or not right.startswith("/"):
        return False
    tail = left.removeprefix("~").removeprefix("./").strip("/")
    is_path = "/" in tail or left.startswith("~")
    return is_path and not left.startswith("/") and right.rstrip("/").endswith(f"/{tail}")


def _text(key: str, value: Any) -> str:
    if _SECRET.search(key) and value not in (None, ""):
        return "(not shown)"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(_text("", item) for item in value) + "]"
    return json.dumps(value, default=str)
