"""Versions are loaded, found by name and number, and released together."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from mlbuffet import (
    DuplicateModel,
    LoadFailed,
    ModelClosed,
    ModelNotFound,
    ModelNotReady,
    Runtimes,
    Signature,
    Signatures,
    Tensors,
    hookimpl,
)
from mlbuffet.hookspecs import import_seconds, importing
from mlbuffet.repository import ModelRepository, ModelVersion, State, StoredModel, StoredVersion
from mlbuffet.repository import repository as repository_module
from mlbuffet.repository.layout import Finder
from small_runtimes import HalfPlusTwo, repository_of


@pytest.fixture
def repository(tmp_path: Path, runtimes: Runtimes) -> Iterator[ModelRepository]:
    """Versions 1, 2 and 10 of the model ``m``, of which the last is corrupt, and the corrupt model ``bad``."""
    repository = ModelRepository(runtimes)
    versions = []
    for name, version, text in (("m", 1, "half"), ("m", 2, "half"), ("m", 10, "corrupt"), ("bad", 1, "corrupt")):
        path = tmp_path / f"{name}-{version}.half"
        path.write_text(text)
        versions.append(StoredVersion(name, version, path))
    repository.update([StoredModel("m", tuple(versions[:3])), StoredModel("bad", tuple(versions[3:]))])
    yield repository
    repository.close()  # or it would try again to load what is corrupt


@pytest.fixture
def loaded(repository: ModelRepository) -> ModelRepository:
    repository.load_all(lambda _: None)
    return repository


def test_each_version_is_announced_when_its_loading_begins_and_ends(repository: ModelRepository) -> None:
    heard: list[tuple[str, int, State]] = []
    repository.load_all(lambda version: heard.append((version.name, version.version, version.state)))
    assert [one for one in heard if one[0] == "bad"] == [("bad", 1, State.LOADING), ("bad", 1, State.FAILED)]
    assert [one for one in heard if one[0] == "m"] == [
        ("m", 1, State.LOADING),
        ("m", 1, State.READY),
        ("m", 2, State.LOADING),
        ("m", 2, State.READY),
        ("m", 10, State.LOADING),
        ("m", 10, State.FAILED),
    ]


def test_the_latest_version_that_is_ready_answers(loaded: ModelRepository) -> None:
    assert loaded.get("m").version == 2
    assert loaded.get("m", 1).version == 1
    assert loaded.get("m").model.predict({"x": [2]})["y"].tolist() == [3]


def test_a_version_that_failed_gives_its_reason_without_its_path(loaded: ModelRepository, tmp_path: Path) -> None:
    for version in (loaded.get("bad"), loaded.get("m", 10)):
        with pytest.raises(ModelNotReady, match="the model cannot be loaded") as caught:
            assert version.model
        assert str(tmp_path) not in str(caught.value)
        assert str(tmp_path) in str(version.error)


def test_a_version_that_is_not_loaded_yet_is_not_ready(repository: ModelRepository) -> None:
    with pytest.raises(ModelNotReady, match="version 10 of the model 'm' is not ready: it is not loaded yet"):
        assert repository.get("m").model


def test_names_and_versions_that_are_not_there_are_not_found(loaded: ModelRepository) -> None:
    with pytest.raises(ModelNotFound, match="there is no model 'x'"):
        loaded.get("x")
    with pytest.raises(ModelNotFound, match="no version 3 of the model 'm'; there are: 1, 2, 10"):
        loaded.get("m", 3)


def test_loading_counts_as_attempted_when_the_last_version_is_through(repository: ModelRepository) -> None:
    heard: list[tuple[str, int, bool]] = []
    repository.load_all(lambda version: heard.append((version.name, version.version, repository.attempted)))
    assert heard[-1][2]
    assert not any(attempted for name, number, attempted in heard if name == "m" and number < 10)


class Meeting:
    """A runtime whose loads wait until so many are under way, and that counts how many are."""

    concurrent_loads = True

    def __init__(self, at_once: int) -> None:
        self.barrier = Barrier(at_once)
        self.under_way = self.most = 0

    @hookimpl
    def accepts(self, path: Path) -> bool:
        return True

    @hookimpl
    def load(self, path: Path, options: Any) -> object:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.barrier.wait(10)
        time.sleep(0.01)
        self.under_way -= 1
        return object()

    @hookimpl
    def signature(self, model: object) -> Signatures:
        return Signatures({"serving_default": Signature([], [])})

    @hookimpl
    def predict(self, model: object, signature: str, inputs: Tensors) -> Tensors:
        return {}


@pytest.mark.parametrize(("cores", "at_once"), [(8, 2), (2, 2), (1, 1)])
def test_two_models_are_loaded_at_once_at_the_start_where_there_are_two_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, at_once: int
) -> None:
    monkeypatch.setattr(repository_module, "available_cores", lambda: cores)
    plugin, runtimes = Meeting(at_once), Runtimes()
    runtimes.register(plugin, name="meeting")
    repository = ModelRepository(runtimes)
    repository.update(StoredModel(name, (StoredVersion(name, 1, tmp_path),)) for name in "abcdef")
    repository.load_all()
    assert [version.state for version in repository] == [State.READY] * 6
    assert plugin.most == at_once
    repository.close()


def test_two_artifacts_for_one_version_are_refused(repository: ModelRepository, tmp_path: Path) -> None:
    again = StoredModel("m", (StoredVersion("m", 1, tmp_path / "again.half"),))
    [model] = Finder(Runtimes(), None).merged([repository.stored("m"), again])
    repository.update([model])
    with pytest.raises(DuplicateModel, match=r"m-1\.half' and '.*again\.half"):
        repository.load("m")


def test_a_closed_repository_has_released_its_models_and_loads_no_more(repository: ModelRepository) -> None:
    def close_after_the_first(version: ModelVersion) -> None:
        if version.state is State.READY:
            repository.close()

    repository.load_all(close_after_the_first)
    assert [version.state for version in repository] == [State.UNAVAILABLE] * 4
    with pytest.raises(ModelNotReady, match="it was unloaded"):
        assert repository.get("m", 1).model


def test_a_model_is_unloaded_and_loaded_again(loaded: ModelRepository) -> None:
    model = loaded.get("m", 1).model
    loaded.unload("m")
    with pytest.raises(ModelClosed):
        model.predict({"x": [2]})
    assert [version.state for version in loaded.versions("m")] == [State.UNAVAILABLE] * 3
    with pytest.raises(LoadFailed, match=r"m-10\.half"):
        loaded.load("m")
    assert [version.state for version in loaded.versions("m")] == [State.READY, State.READY, State.FAILED]
    again = loaded.get("m").model
    with pytest.raises(LoadFailed):
        loaded.load("m")
    assert loaded.get("m").model is again


def test_a_version_is_unloaded_after_the_last_call_that_uses_it(loaded: ModelRepository) -> None:
    version = loaded.get("m", 1)
    with version.use() as handle:
        unloading = Thread(target=loaded.unload, args=["m"])
        unloading.start()
        while version.state is State.READY:
            time.sleep(0.001)
        assert version.reason == "it is being unloaded"
        with pytest.raises(ModelNotReady, match="it is being unloaded"):
            version.use()
        longer = handle.again()
        assert handle.model.predict({"x": [2]})["y"].tolist() == [3]
    assert longer.model.predict({"x": [2]})["y"].tolist() == [3]
    longer.release()
    longer.release()
    unloading.join(10)
    assert version.state is State.UNAVAILABLE
    for stale in (lambda: longer.model.predict({"x": [2]}), handle.again):
        with pytest.raises(ModelClosed):
            stale()


class Importing(HalfPlusTwo):
    """It imports its framework for 50 ms, and then loads what its file says, for none."""

    @hookimpl
    def load(self, path: Path, options: Mapping[str, Any]) -> float:
        with importing("heavy"):
            time.sleep(0.05)
        return super().load(path, options)


@pytest.mark.parametrize("text", ["half", "corrupt"])
def test_the_import_of_a_framework_is_not_counted_as_loading(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.half").write_text(text)
    runtimes = Runtimes()
    runtimes.register(Importing, name="half")
    repository = repository_of(tmp_path, runtimes)
    begin = time.perf_counter()
    repository.load_all(lambda _: None)
    elapsed = time.perf_counter() - begin
    repository.close()
    (version,) = repository
    assert version.imports["heavy"] >= 0.05
    assert version.seconds + version.imports["heavy"] <= elapsed


def test_a_framework_is_imported_by_one_thread_at_a_time() -> None:
    order = []

    def import_it(name: str) -> None:
        with importing("heavy"):
            order.append(name)
            time.sleep(0.02)
            order.append(name)

    with ThreadPoolExecutor() as threads:
        list(threads.map(import_it, "ab"))
    assert order in (list("aabb"), list("bbaa"))


def test_a_plugin_may_import_its_framework_where_nobody_counts() -> None:
    with importing("heavy"):
        pass
    with import_seconds() as seconds, importing("heavy"):
        pass
    assert seconds.keys() == {"heavy"}
