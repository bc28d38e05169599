"""The cache of warm-started models: found again, never half there, never damaged."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from spark_verl.digits.cache import cache_folder, copy_or_build, key_of


@pytest.fixture
def builds(tmp_path, monkeypatch):
    """A cache of its own, and what was built: ``build(name)`` fills a folder and returns whether the cache had it."""
    monkeypatch.setenv("SPARK_CACHE", str(tmp_path / "cache"))
    made: list[str] = []

    def build(description: str, target: Path | None = None) -> bool:
        def write(folder: Path) -> None:
            made.append(description)
            (folder / "sub").mkdir()
            (folder / "weights").write_text(description * 100)
            (folder / "sub" / "tokenizer").write_text("t")

        return copy_or_build(target or tmp_path / "model", description, write)

    build.made = made
    return build


def entries(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache" / "warm_start").iterdir() if path.is_dir()]


def test_the_second_time_nothing_is_built(builds, tmp_path):
    assert builds("a") is False and builds("a") is True and builds.made == ["a"]
    assert (tmp_path / "model" / "weights").read_text() == "a" * 100
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["sub", "weights"]


def test_another_description_is_another_entry(builds, tmp_path):
    assert [builds("a"), builds("b"), builds("a")] == [False, False, True]
    assert len(entries(tmp_path)) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "weights").write_text("torn"),
        lambda entry: (entry / "weights").unlink(),
        lambda entry: (entry / "sub" / "more").write_text("not ours"),
        lambda entry: (entry / "checksums.json").write_text("{"),
        lambda entry: (entry / "checksums.json").unlink(),
    ],
    ids=["torn file", "missing file", "foreign file", "torn checksums", "no checksums"],
)
def test_a_damaged_entry_is_built_again(builds, tmp_path, damage, caplog):
    builds("a")
    damage(entries(tmp_path)[0])
    assert builds("a") is False and "damaged" in caplog.text
    assert builds("a") is True
    assert (tmp_path / "model" / "weights").read_text() == "a" * 100


def test_a_build_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARK_CACHE", str(tmp_path / "cache"))

    def fail(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_or_build(tmp_path / "model", "a", fail)
    assert entries(tmp_path) == [] and not (tmp_path / "model").exists()


def test_two_at_the_same_time_build_once(builds, tmp_path):
    threads = [threading.Thread(target=builds, args=("a", tmp_path / f"model{i}")) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds.made == ["a"]
    assert all((tmp_path / f"model{i}" / "weights").is_file() for i in range(4))


def test_an_empty_name_keeps_nothing(builds, tmp_path, monkeypatch):
    monkeypatch.setenv("SPARK_CACHE", "")
    assert [builds("a"), builds("a", tmp_path / "other")] == [False, False]
    assert not (tmp_path / "cache").exists() and cache_folder() is None


def test_by_default_it_is_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("SPARK_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "spark_verl"


def test_the_key_follows_what_builds_it(monkeypatch, tmp_path):
    import spark_verl.digits.cache as cache

    assert key_of(("a", 1)) == key_of(("a", 1)) != key_of(("a", 2))
    before = key_of("a")
    source = tmp_path / "digits" / "model.py"
    source.parent.mkdir()
    source.write_text("x = 1")
    monkeypatch.setattr(cache, "_PACKAGE", tmp_path)
    with_source = key_of("a")
    source.write_text("x = 2")
    assert len({before, with_source, key_of("a")}) == 3
