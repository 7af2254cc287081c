"""One version of a model: what became of it, and who is using it."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from threading import Condition

from mlbuffet.errors import MLBuffetError, ModelNotReady
from mlbuffet.model import Model, load
from mlbuffet.repository.layout import StoredVersion
from mlbuffet.runtimes import Runtimes

logger = logging.getLogger(__name__)


class State(Enum):
    """Where a version stands."""

    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"
    UNLOADED = "UNLOADED"


class ModelVersion:
    """One version of a model; it is unloaded only when no call uses it any more."""

    def __init__(self, stored: StoredVersion) -> None:
        self.name = stored.name
        self.version = stored.version
        self.path: Path = stored.path
        self.state = State.LOADING
        self.error: MLBuffetError | None = None
        self.seconds = 0.0
        """How long loading took."""
        self._model: Model | None = None
        self._users = 0
        self._unused = Condition()

    @property
    def model(self) -> Model:
        """The loaded model, or `ModelNotReady` with the reason."""
        if self._model is None:
            raise ModelNotReady(self.name, self.version, self.reason)
        return self._model

    @property
    def reason(self) -> str:
        """Why the version does not answer, fit for a client; empty where it does."""
        match self.state:
            case State.READY:
                return ""
            case State.LOADING:
                return "it is being loaded"
            case State.UNLOADED:
                return "it was unloaded"
            case State.FAILED:
                return self.error.public if self.error else ""

    @contextmanager
    def in_use(self) -> Iterator[Model]:
        """The model for the length of a call, during which it is not unloaded. Raises `ModelNotReady`."""
        with self._unused:
            model = self.model
            self._users += 1
        try:
            yield model
        finally:
            with self._unused:
                self._users -= 1
                if not self._users:
                    self._unused.notify_all()

    def load(self, runtimes: Runtimes, runtime: str | None) -> None:
        """Load the model, or note why it cannot be."""
        started = time.perf_counter()
        try:
            self._model = load(self.path, runtime=runtime, runtimes=runtimes)
            self.error = None
            self.state = State.READY
        except MLBuffetError as error:
            self.error = error
            self.state = State.FAILED
            logger.info("version %d of the model %r failed to load", self.version, self.name, exc_info=error)
        self.seconds = time.perf_counter() - started

    def unload(self) -> None:
        """Answer no new calls, wait for those under way, and release the model."""
        with self._unused:
            model, self._model = self._model, None
            self.state = State.UNLOADED
            self._unused.wait_for(lambda: not self._users)
        if model is not None:
            model.close()
