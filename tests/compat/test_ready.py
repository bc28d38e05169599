"""What cannot run says so in one line, before Ray starts."""

from __future__ import annotations

import importlib.metadata

import pytest

from spark_verl.compat import ready


def pretend(monkeypatch, versions: dict[str, str | None]) -> None:
    """Let importlib.metadata report these versions (None: not installed)."""
    real = importlib.metadata.version

    def version(name):
        if name not in versions:
            return real(name)
        if versions[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_right_versions_pass():
    ready.assert_versions()


@pytest.mark.parametrize("version", ["0.9.0", "0.9.1.dev1", "0.10.0", "1.0", None])
def test_wrong_verl_is_one_clear_line(monkeypatch, version):
    pretend(monkeypatch, {"verl": version})
    with pytest.raises(ready.NotReadyError, match=r"pip install verl==0\.9\.1") as caught:
        ready.assert_versions()
    assert "\n" not in str(caught.value)
    assert version is None or version in str(caught.value)


READY = """
from spark_verl.compat import NotReadyError, assert_ready
try:
    {before}
    assert_ready()
    result = "ready"
except NotReadyError as error:
    result = str(error)
"""


@pytest.mark.parametrize(
    ("before", "environment", "expected"),
    [
        ("pass", {"VERL_PLATFORM": "cpu"}, "ready"),
        ("pass", {"VERL_PLATFORM": "cpu", "VERL_USE_EXTERNAL_PLUGINS": "spark_verl"}, "ready"),
        ("pass", {"VERL_USE_EXTERNAL_PLUGINS": "none"}, "VERL_USE_EXTERNAL_PLUGINS=none"),
        ("pass", {"VERL_USE_EXTERNAL_PLUGINS": "other"}, "add spark_verl to it"),
        # A plugin that raises: verl logs that at DEBUG and goes on without it.
        (
            "import spark_verl.compat.torch_cpu as p; p.never_pin_offloaded_memory = lambda: 1 / 0",
            {"VERL_PLATFORM": "cpu"},
            "could not load spark_verl.plugin: ZeroDivisionError",
        ),
        # The variable set by hand, but only after verl had already looked for it.
        (
            "import os, verl.plugin.platform as p; p.get_platform(); os.environ['VERL_PLATFORM'] = 'cpu'",
            {},
            "came too late",
        ),
    ],
)
def test_plugin_that_verl_did_not_load_is_noticed(run_python, before, environment, expected):
    assert expected in run_python(READY.format(before=before), **environment)


def test_missing_engine_names_the_extra(run_python):
    # Without VERL_PLATFORM=cpu the GPU build is wanted, which this environment lacks (or has, on a GPU machine).
    try:
        importlib.metadata.distribution("vllm")  # no alias of ours, which another test may have put here
    except importlib.metadata.PackageNotFoundError:
        assert "vllm is not installed: run_scripts/setup_gpu.sh" in run_python(READY.format(before="pass"))
    else:
        assert run_python(READY.format(before="pass")) == "ready"
