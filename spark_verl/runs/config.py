"""What a run was started with, and how that differs from its recipe.

A run writes its resolved ``config.yaml`` and ``run.json`` (recipe, overrides, versions) into
``trainer.default_local_dir``; where these are absent, what Hydra itself writes is read.
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

_SECRET = re.compile(r"(^|[._])(\w*password|\w*secret|\w*api_key|\w*(access|auth|hf|bearer)_token|token)$", re.I)

FROM_VERL = "not in the recipe"


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
        source: The file they come from; None without one.
        overrides: Of the command line, as given.
        recipe_name: ``--config-name``.
        recipe_path: The recipe's file; None when it is no longer there.
        recipe: Its own values, flat.
        versions: ``{package: version}`` that the run noted.
    """

    values: dict[str, Any] = field(default_factory=dict)
    source: Path | None = None
    overrides: list[str] = field(default_factory=list)
    recipe_name: str | None = None
    recipe_path: Path | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def differences(self) -> list[Difference]:
        """Every key whose value in the run is not the recipe's, and every key that the command line sets."""
        overridden = {key: text for text in self.overrides for key in [_override_key(text)] if key}
        found: dict[str, Difference] = {}
        for key, text in overridden.items():
            members = [name for name in self.values if name == key or name.startswith(f"{key}.")]
            # A choice of a config group (platform=cpu) is no key of the composed config.
            for name in members or [key]:
                right = _text(name, self.values[name]) if members else _text(key, text.partition("=")[2])
                left = _text(name, self.recipe[name]) if name in self.recipe else FROM_VERL
                if left != right:
                    found[name] = Difference(name, left, right, "command line")
        for key, value in self.recipe.items():
            if key not in found and key in self.values:
                right = _text(key, self.values[key])
                if right not in (_text(key, value), _text(key, self._resolved(value))):
                    found[key] = Difference(key, _text(key, value), right, "not on the command line")
        return [found[key] for key in sorted(found)]

    def _resolved(self, value: Any) -> Any:
        """A recipe's value with references to other keys replaced by what the run has there."""
        if not isinstance(value, str) or "${" not in value:
            return value

        def look_up(match: re.Match[str]) -> str:
            return str(self.values.get(match[1], match[0]))

        text = re.sub(r"\$\{([\w.]+)\}", look_up, value)
        whole = re.fullmatch(r"\$\{([\w.]+)\}", value)
        return self.values.get(whole[1], value) if whole else text


def compare(one: RunConfig, other: RunConfig) -> list[Difference]:
    """Keys in which two runs' configs differ."""
    absent = "absent"
    found = []
    for key in sorted(one.values.keys() | other.values.keys()):
        left = _text(key, one.values[key]) if key in one.values else absent
        right = _text(key, other.values[key]) if key in other.values else absent
        if left != right:
            found.append(Difference(key, left, right))
    return found


def load(folder: Path) -> RunConfig:
    """Find and read the config of a run folder; parts that are absent or broken stay empty.

    ``config.yaml`` and ``run.json`` are in ``trainer.default_local_dir``, which is the run folder or its
    ``checkpoints``; a run without them may have Hydra's own ``hydra/.hydra`` there.
    """
    config = RunConfig()
    for place in (folder, folder / "checkpoints"):
        if isinstance(loaded := _load(place / "config.yaml"), dict):
            config.values, config.source = flatten(loaded), place / "config.yaml"
            about = read_object(place / "run.json")
            config.recipe_name = about["recipe"] if isinstance(about.get("recipe"), str) else None
            config.overrides = _strings(about.get("overrides"))
            versions = about.get("versions")
            config.versions = {str(k): str(v) for k, v in versions.items()} if isinstance(versions, dict) else {}
            _find_recipe(config, [])
            return config
    for place in (folder / "hydra" / ".hydra", folder / "checkpoints" / "hydra" / ".hydra"):
        if isinstance(loaded := _load(place / "config.yaml"), dict):
            config.values, config.source = flatten(loaded), place / "config.yaml"
            config.overrides = _strings(_load(place / "overrides.yaml"))
            about = flatten(_load(place / "hydra.yaml"))
            name = about.get("hydra.job.config_name")
            config.recipe_name = name if isinstance(name, str) else None
            sources = about.get("hydra.runtime.config_sources")
            _find_recipe(
                config,
                [
                    Path(str(source["path"]))
                    for source in (sources if isinstance(sources, list) else [])
                    if isinstance(source, dict) and source.get("schema") == "file" and source.get("path")
                ],
            )
            return config
    return config


def _find_recipe(config: RunConfig, folders: list[Path]) -> None:
    """Fill in the recipe by its name from the first folder that has it."""
    if not config.recipe_name or not re.fullmatch(r"[\w.-]+", config.recipe_name):
        return
    for recipes in [*folders, CHECKOUT / "recipes"]:
        path = recipes / f"{config.recipe_name.removesuffix('.yaml')}.yaml"
        if isinstance(recipe := _load(path), dict):
            own = {key: value for key, value in recipe.items() if key not in ("hydra", "defaults")}
            config.recipe_path, config.recipe = path, {**_group_choices(recipe.get("defaults")), **flatten(own)}
            return


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object; empty when it is absent or holds something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _strings(values: Any) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list) else []


def flatten(values: Any, prefix: str = "") -> dict[str, Any]:
    """``{dotted key: value}`` of nested dicts; lists and empty dicts are values."""
    if not isinstance(values, dict) or not values:
        return {prefix: values} if prefix else {}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def _group_choices(defaults: Any) -> dict[str, Any]:
    return {str(k): v for item in defaults or [] if isinstance(item, dict) for k, v in item.items()}


def _load(path: Path) -> Any:
    """A YAML file as plain objects with interpolations left as they are; None when absent or broken."""
    try:
        loaded = OmegaConf.load(path)
        return OmegaConf.to_container(loaded, resolve=False)
    except (OSError, YAMLError, OmegaConfBaseException, UnicodeDecodeError):
        return None


def _override_key(text: str) -> str | None:
    try:
        return OverridesParser.create().parse_override(text).key_or_group
    except HydraException:
        return None


def _text(key: str, value: Any) -> str:
    if _SECRET.search(key) and value not in (None, ""):
        return "(not shown)"
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "[" + ", ".join(_text("", item) for item in value) + "]"
    return json.dumps(value, default=str)
