"""What a runtime says that a model takes counts for the limit of memory, instead of the sizes of files."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlbuffet import Runtimes, hookimpl
from mlbuffet.repository import ModelRepository, Residency, State
from mlbuffet.repository.sources import Sources
from small_runtimes import HalfPlusTwo, write_models


class Large(HalfPlusTwo):
    """Takes as many bytes as its file says, if it says so."""

    def __init__(self) -> None:
        self.asked = 0

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> int | None:  # type: ignore[override]
        return int(path.read_text()) if path.read_text().strip() else None

    @hookimpl
    def memory(self, model: int | None) -> int | None:
        self.asked += 1
        return model


@pytest.fixture
def plugin() -> Large:
    return Large()


@pytest.fixture
def repository(tmp_path: Path, plugin: Large) -> Iterator[ModelRepository]:
    """Of 250 bytes: ``a`` to ``c`` take 100, ``d`` says nothing and has a file of 200, ``e`` takes 300."""
    runtimes = Runtimes()
    runtimes.register(plugin, name="large")
    files = {"a.half": "100", "b.half": "100", "c.half": "100", "d.half": " " * 200, "e.half": "300"}
    repository = ModelRepository(runtimes, residency=Residency(max_memory=250))
    repository.update(Sources([write_models(tmp_path, files)], runtimes).find())
    repository.load_all()
    yield repository
    repository.close()


def use(repository: ModelRepository, name: str) -> None:
    """Load the model, if need be, and call it."""
    version = repository.get(name)
    if version.state is not State.READY:
        loading = repository.demand(version)
        assert loading is not None
        loading.result(20)
    repository.get(name).use().release()


def loaded(repository: ModelRepository) -> str:
    return "".join(version.name for version in repository if version.state is State.READY)


def test_models_are_evicted_by_what_they_take(repository: ModelRepository, plugin: Large) -> None:
    for name, left in ("a", "a"), ("b", "ab"), ("c", "bc"), ("d", "d"), ("a", "a"):
        use(repository, name)
        assert loaded(repository) == left, name
    assert plugin.asked == 5


def test_a_model_that_takes_more_than_its_file_let_expect_makes_room_once_it_is_loaded(
    repository: ModelRepository,
) -> None:
    for name in "abe":
        use(repository, name)
    assert loaded(repository) == "e"


def test_what_a_model_took_is_known_when_it_is_loaded_again(repository: ModelRepository) -> None:
    for name in "ecab":
        use(repository, name)
    assert repository.get("e").state is State.UNAVAILABLE
    assert repository.get("e").size == 300
