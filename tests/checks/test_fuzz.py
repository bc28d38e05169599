"""Whatever a config holds: a dry run passes, or it ends in lines that say why, never in a traceback.

``SPARK_FUZZ_EXAMPLES=5000`` looks longer.
"""

from __future__ import annotations

import os
import sys

import pytest
from checked_configs import load, write_files
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spark_verl import main
from spark_verl.checks import keys

EXAMPLES = int(os.environ.get("SPARK_FUZZ_EXAMPLES", "25"))

IN_PROCESS = ("trainer.device", "ray_kwargs", "global_profiler", "critic", "distillation", "transfer_queue")
"""What settles a process's device for good, and what a dry run only hands on."""

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([7, 28, 100_000, 2**63])
    | st.sampled_from([0.5, -1.0, 1.5, float("nan"), float("inf")])
    | st.sampled_from(["", "abc", "1e-5", "auto", "null", "/nowhere", ".", "~", "${trainer.nnodes}", "${x}", "a" * 300])
    | st.text(max_size=5)
)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.sampled_from(["a", "path", "enable"]), SCALARS)


class Sound:
    """A config that passes, and its keys; shorter than they are where a test that failed shows it."""

    def __init__(self, config: DictConfig) -> None:
        names = [key for key in keys.flat_keys(keys.plain(config)) if not key.startswith(IN_PROCESS)]
        self.config, self.names = config, st.sampled_from(sorted(name for name in names if "_target_" not in name))

    def __repr__(self) -> str:
        return "Sound()"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Sound(load(write_files(tmp_path_factory.mktemp("fuzz")), "quickstart_gpu"))


@pytest.fixture(autouse=True)
def dry_run(monkeypatch, tmp_path):
    for name, value in (("DRY_RUN", "1"), ("HYDRA_FULL_ERROR", "0"), ("VERL_FILE_LOGGER_PATH", f"{tmp_path}/m.jsonl")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])


def outcome(config) -> str | None:
    """What the command would end with; None where it passes."""
    try:
        main.main.__wrapped__(config)
    except SystemExit as ended:
        return str(ended.code)
    return None


def test_the_config_before_the_changes_passes(sound):
    assert outcome(sound.config.copy()) is None


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_config_is_a_traceback(sound, data):
    changed = sound.config.copy()
    for key in data.draw(st.lists(sound.names, min_size=1, max_size=2, unique=True)):
        value = data.draw(VALUES, label=key)
        try:
            OmegaConf.update(changed, key, value, merge=False, force_add=True)
        except (OmegaConfBaseException, TypeError, ValueError):
            return  # what Hydra refuses while it composes, and keys of a section that is a list by now
    message = outcome(changed)
    if message is not None:
        lines = message.splitlines()
        assert all(line.startswith("spark_verl: ") and len(line) < 700 for line in lines[:-1]), message
        assert lines[-1].startswith("(HYDRA_FULL_ERROR=1")
