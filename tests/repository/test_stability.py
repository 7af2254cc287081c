"""A version counts once it is still for a second, or was renamed into place."""

import os
from pathlib import Path

import pytest

from mlbuffet import Runtimes
from mlbuffet.repository import StoredModel, find_models
from mlbuffet.repository.catalog import StabilityCheck
from mlbuffet.repository.fingerprint import fingerprint


class Watched:
    """A folder of models, and what has settled in it."""

    def __init__(self, root: Path, runtimes: Runtimes) -> None:
        self.root = root
        self._runtimes = runtimes
        self.write("a/1/x.half")
        self._stability = StabilityCheck(self._found())

    def write(self, name: str, text: str = "half") -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def at(self, now: float) -> list[str] | None:
        """The versions that are at rest; ``None`` if nothing changed."""
        models = self._stability.observe(self._found(), now)
        if models is None:
            return None
        return [f"{stored.name}/{stored.version}" for model in models for stored in model.versions]

    def _found(self) -> list[StoredModel]:
        return find_models(self.root, self._runtimes)


@pytest.fixture
def watched(tmp_path: Path, runtimes: Runtimes) -> Watched:
    return Watched(tmp_path, runtimes)


def test_a_version_that_grows_byte_by_byte_is_none_until_it_is_still(watched: Watched) -> None:
    for now in range(4):
        watched.write("a/2/x.half", "half"[: now + 1])
        assert watched.at(now * 0.9) is None
    assert watched.at(3.6) is None
    assert watched.at(3.8) == ["a/1", "a/2"]
    assert watched.at(9) is None


@pytest.mark.parametrize("place", ["a/2", "b"])
def test_what_was_renamed_into_place_counts_at_once(watched: Watched, place: str) -> None:
    watched.write(f".new/{'1/' if place == 'b' else ''}x.half")
    (watched.root / ".new").rename(watched.root / place)
    assert watched.at(0) == ["a/1", "a/2" if place == "a/2" else "b/1"]


def test_a_folder_that_is_written_to_after_it_was_renamed_is_not_whole(tmp_path: Path) -> None:
    (tmp_path / ".new").mkdir()
    (tmp_path / ".new").rename(tmp_path / "1")
    (tmp_path / "1/x").write_text("")
    assert not fingerprint(tmp_path / "1").renamed


def test_a_removal_has_to_last_a_second(watched: Watched) -> None:
    watched.write("b.half")
    watched.at(0)
    assert watched.at(1) == ["a/1", "b/1"]
    (watched.root / "a/1").rename(watched.root / ".old")
    assert watched.at(2) is None
    (watched.root / ".old").rename(watched.root / "a/1")
    assert watched.at(3) is None
    (watched.root / "a/1/x.half").unlink()
    assert watched.at(4) is None
    assert watched.at(5) == ["b/1"]


def test_hidden_files_and_the_configuration_are_no_part_of_a_version(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    before = fingerprint(tmp_path)
    (tmp_path / "model.toml").write_text("")
    (tmp_path / ".part").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/x").write_text("")
    assert fingerprint(tmp_path) == before
    assert before.size == 1
    (tmp_path / "x").write_text("2")
    os.utime(tmp_path / "x", (0, 0))
    assert fingerprint(tmp_path) != before
