"""The models that a server answers for, and the state of each of their versions."""

from collections.abc import Callable, Iterator
from threading import Lock

from mlbuffet.errors import DuplicateModel, ModelNotFound
from mlbuffet.repository.layout import StoredVersion
from mlbuffet.repository.version import ModelVersion, State
from mlbuffet.runtimes import Runtimes


class ModelRepository:
    """Models by name, each with its versions; one is loaded or unloaded at a time, and answers are given meanwhile."""

    def __init__(self, runtimes: Runtimes, runtime: str | None = None) -> None:
        self._runtimes = runtimes
        self._runtime = runtime
        self._models: dict[str, dict[int, ModelVersion]] = {}
        self._closed = False
        self._changing = Lock()

    def add(self, stored: StoredVersion) -> None:
        """Take a version in, to be loaded by `load_all`. Raises `DuplicateModel`."""
        versions = self._models.setdefault(stored.name, {})
        if stored.version in versions:
            raise DuplicateModel(stored.name, stored.version, [versions[stored.version].path, stored.path])
        versions[stored.version] = ModelVersion(stored)

    def load_all(self, on_change: Callable[[ModelVersion], None]) -> None:
        """Load every version, one after the other; ``on_change`` hears of each when it begins and when it ends."""
        for version in list(self):
            if self._closed:
                return
            on_change(version)
            self._load(version)
            on_change(version)

    def load(self, name: str) -> None:
        """Load every version of a model that is not ready. Raises `ModelNotFound`, or why the latest one failed."""
        versions = self.versions(name)
        for version in versions:
            self._load(version)
        if (error := versions[-1].error) is not None:
            raise error

    def unload(self, name: str) -> None:
        """Release every version of a model, once no call uses it. Raises `ModelNotFound`."""
        for version in self.versions(name):
            with self._changing:
                version.unload()

    def get(self, name: str, version: int | None = None) -> ModelVersion:
        """That version, or the latest that is ready, or the latest. Raises `ModelNotFound`."""
        versions = self._models.get(name)
        if versions is None:
            raise ModelNotFound(name)
        if version is not None:
            if version not in versions:
                raise ModelNotFound(name, version, sorted(versions))
            return versions[version]
        latest_first = sorted(versions, reverse=True)
        ready = next((number for number in latest_first if versions[number].state is State.READY), latest_first[0])
        return versions[ready]

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, the oldest first. Raises `ModelNotFound`."""
        if name not in self._models:
            raise ModelNotFound(name)
        return [self._models[name][number] for number in sorted(self._models[name])]

    @property
    def attempted(self) -> bool:
        """Whether the loading of every version has ended, well or not."""
        return all(version.state is not State.LOADING for version in self)

    def close(self) -> None:
        """Release every model; what is not loaded yet will not be."""
        self._closed = True
        for version in list(self):
            version.unload()

    def _load(self, version: ModelVersion) -> None:
        with self._changing:
            if version.state is not State.READY:
                version.state = State.LOADING
                version.load(self._runtimes, self._runtime)

    def __iter__(self) -> Iterator[ModelVersion]:
        for name in sorted(self._models):
            yield from self.versions(name)
