"""The models that a server answers for, and the state of each of their versions."""

import logging
import time
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

from mlbuffet.errors import DuplicateModel, MLBuffetError, ModelNotFound, ModelNotReady
from mlbuffet.model import Model, load
from mlbuffet.repository.layout import StoredVersion
from mlbuffet.runtimes import Runtimes

logger = logging.getLogger(__name__)


class State(Enum):
    """Where a version stands."""

    WAITING = "WAITING"
    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"


class ModelVersion:
    """One version of a model and what became of it."""

    def __init__(self, stored: StoredVersion) -> None:
        self.name = stored.name
        self.version = stored.version
        self.path: Path = stored.path
        self.state = State.WAITING
        self.error: MLBuffetError | None = None
        self.seconds = 0.0
        """How long loading took."""
        self._model: Model | None = None

    @property
    def model(self) -> Model:
        """The loaded model, or `ModelNotReady` with the reason."""
        if self._model is None:
            reason = self.error.public if self.error else "it is being loaded"
            raise ModelNotReady(self.name, self.version, reason)
        return self._model

    def load(self, runtimes: Runtimes, runtime: str | None) -> None:
        """Load the model, or note why it cannot be."""
        started = time.perf_counter()
        try:
            self._model = load(self.path, runtime=runtime, runtimes=runtimes)
            self.state = State.READY
        except MLBuffetError as error:
            self.error = error
            self.state = State.FAILED
            logger.info("version %d of the model %r failed to load", self.version, self.name, exc_info=error)
        self.seconds = time.perf_counter() - started

    def close(self) -> None:
        """Release the model."""
        if self._model is not None:
            self._model.close()


class ModelRepository:
    """Models by name, each with its versions; loading happens in one thread, answers are given from any."""

    def __init__(self, runtimes: Runtimes, runtime: str | None = None) -> None:
        self._runtimes = runtimes
        self._runtime = runtime
        self._models: dict[str, dict[int, ModelVersion]] = {}
        self._closed = False

    def add(self, stored: StoredVersion) -> None:
        """Take a version in, to be loaded by `load_all`. Raises `DuplicateModel`."""
        versions = self._models.setdefault(stored.name, {})
        if stored.version in versions:
            raise DuplicateModel(stored.name, stored.version, [versions[stored.version].path, stored.path])
        versions[stored.version] = ModelVersion(stored)

    def load_all(self, on_change: Callable[[ModelVersion], None]) -> None:
        """Load every version, one after the other; ``on_change`` hears of each when it begins and when it ends."""
        for version in self:
            if self._closed:
                return
            version.state = State.LOADING
            on_change(version)
            version.load(self._runtimes, self._runtime)
            on_change(version)

    def get(self, name: str, version: int | None = None) -> ModelVersion:
        """That version, or the latest that is ready. Raises `ModelNotFound` or `ModelNotReady`."""
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

    def ready_versions(self, name: str) -> list[int]:
        """The versions of a model that answer, the oldest first."""
        return sorted(number for number, version in self._models[name].items() if version.state is State.READY)

    @property
    def attempted(self) -> bool:
        """Whether the loading of every version has ended, well or not."""
        return all(version.state in (State.READY, State.FAILED) for version in self)

    def close(self) -> None:
        """Release every model; what is not loaded yet will not be."""
        self._closed = True
        for version in self:
            version.close()

    def __iter__(self) -> Iterator[ModelVersion]:
        for name in sorted(self._models):
            for number in sorted(self._models[name]):
                yield self._models[name][number]
