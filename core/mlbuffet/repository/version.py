"""One version of a model: what became of it, and who is using it."""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from enum import Enum
from pathlib import Path
from threading import RLock, Thread
from types import TracebackType
from typing import Literal, TypeAlias

from mlbuffet.caching import PredictionCache
from mlbuffet.errors import LoadFailed, MLBuffetError, ModelClosed, ModelNotReady, may_pass, reason_of
from mlbuffet.hookspecs import import_seconds
from mlbuffet.model import Model, load_artifact
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.content import load_with_content
from mlbuffet.repository.layout import StoredVersion
from mlbuffet.repository.retries import retry_delay
from mlbuffet.repository.warmup import prepared
from mlbuffet.runtimes import Runtimes
from mlbuffet.scheduling import Scheduler, Scheduling

_SOON = 1.0

logger = logging.getLogger(__name__)


ReportedState: TypeAlias = Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]
"""The states of a version that users are shown, which are those of Triton's model repository extension."""


class State(Enum):
    """Where a version stands."""

    UNAVAILABLE = "UNAVAILABLE"
    """It is not loaded: not yet, or not any more."""
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    """It takes no new calls, and waits for those under way."""
    FAILED = "FAILED"
    """It is not loaded, because loading it failed."""

    @property
    def reported(self) -> ReportedState:
        """The state that users are shown; of a version that failed, the reason says so."""
        return _REPORTED[self]


_REPORTED: dict[State, ReportedState] = {
    State.UNAVAILABLE: "UNAVAILABLE",
    State.LOADING: "LOADING",
    State.READY: "READY",
    State.UNLOADING: "UNLOADING",
    State.FAILED: "UNAVAILABLE",
}
_NEXT = {
    State.UNAVAILABLE: {State.LOADING},
    State.LOADING: {State.READY, State.FAILED},
    State.READY: {State.UNLOADING},
    State.UNLOADING: {State.UNAVAILABLE},
    State.FAILED: {State.LOADING, State.UNAVAILABLE},
}


class Handle:
    """A version that stays loaded until this is released."""

    def __init__(self, version: "ModelVersion", scheduler: Scheduler, done: Callable[[], None]) -> None:
        self.version = version
        self.scheduler = scheduler
        self.model = scheduler.model
        self._done: Callable[[], None] | None = done

    def again(self) -> "Handle":
        """Another handle, for someone who may outlive this one. Raises `ModelClosed` once this one is released."""
        return self.version._shared(self)

    @property
    def released(self) -> bool:
        """Whether it was given back."""
        return self._done is None

    def release(self) -> None:
        """Give the version back; the second time does nothing."""
        done, self._done = self._done, None
        if done is not None:
            done()

    def __enter__(self) -> "Handle":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class ModelVersion:
    """One life of a version: it is loaded once, perhaps after failures, used, and retired after the last call."""

    def __init__(
        self,
        stored: StoredVersion,
        scheduling: Scheduling,
        cache: PredictionCache,
        configuration: Configuration | None = None,
        fault: MLBuffetError | None = None,
        on_change: Callable[["ModelVersion"], None] = lambda _: None,
    ) -> None:
        self.name = stored.name
        self.version = stored.version
        self.path: Path = stored.path
        self.stored = stored
        self.configuration = configuration or Configuration()
        self.state = State.UNAVAILABLE
        self.error: MLBuffetError | None = None
        """Why it failed; of one that is ready, why its new content does not replace it."""
        self.seconds = 0.0
        """How long loading took, without what its framework was imported in."""
        self.imports: Mapping[str, float] = {}
        """The seconds that each framework was imported in meanwhile."""
        self.failures = 0
        self.retry_at = 0.0
        self.loading: Future[None] | None = None
        """The load that was asked for and has not ended."""
        self.idle_reason = "it is not loaded yet"
        self.last_used = 0.0
        self.loaded_at = 0.0
        self.cache = cache
        """Where its answers are kept, if its configuration says so."""
        self.content = b""
        """A digest of all that its answers depend on but for the inputs, if they are kept."""
        self._fault = fault
        self._on_change = on_change
        self._scheduling = scheduling
        self._calls = scheduling.running.of(stored.name, stored.version)
        self._scheduler: Scheduler | None = None
        self._users = 0
        self._retired: Future[None] | None = None
        self._gone = False
        self._lock = RLock()

    @property
    def model(self) -> Model:
        """The loaded model, or `ModelNotReady` with the reason."""
        return self._ready.model

    @property
    def scheduler(self) -> Scheduler | None:
        """Through which the model is called, while it is loaded."""
        return self._scheduler

    @property
    def _ready(self) -> Scheduler:
        scheduler = self._scheduler
        if scheduler is None or self.state is not State.READY:
            raise ModelNotReady(self.name, self.version, self.reason, self.retry_after)
        return scheduler

    @property
    def reason(self) -> str:
        """Why the version does not answer, fit for a client; empty where it does."""
        match self.state:
            case State.READY:
                return ""
            case State.LOADING:
                return "it is being loaded"
            case State.UNLOADING:
                return "it is being unloaded"
            case State.UNAVAILABLE:
                return self.idle_reason
            case State.FAILED:
                return self.error.public if self.error else ""

    @property
    def retry_after(self) -> float | None:
        """In how many seconds the version, or what replaces it, may answer; ``None`` where waiting is of no use."""
        if self._gone or (self.state is State.FAILED and not may_pass(self.error)):
            return None
        return max(self.retry_at - time.monotonic(), _SOON) if self.state is State.FAILED else _SOON

    @property
    def retired(self) -> bool:
        """Whether its life has ended, or will when its last call has."""
        return self._retired is not None

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return self.stored.fingerprint.size if self.stored.fingerprint else 0

    @property
    def users(self) -> int:
        """How many handles are held."""
        return self._users

    def is_same(self, stored: StoredVersion, configuration: Configuration, fault: MLBuffetError | None) -> bool:
        """Whether loading these would give what this is."""
        return (stored, _of_loading(configuration)) == (self.stored, _of_loading(self.configuration)) and (
            str(fault) == str(self._fault)
        )

    def check_ready(self) -> None:
        """Raises `ModelNotReady` where the model cannot be called."""
        assert self._ready

    def use(self) -> Handle:
        """The model for a call, during which it is not unloaded. Raises `ModelNotReady`."""
        with self._lock:
            scheduler = self._ready
            self._users += 1
            self.last_used = time.monotonic()
        return Handle(self, scheduler, self._release)

    def load(self, runtimes: Runtimes, runtime: str | None) -> None:
        """Load and warm the model, or note why it cannot be."""
        with self._lock:
            if self.state not in (State.UNAVAILABLE, State.FAILED) or self.retired:
                return
            self._enter(State.LOADING)
        self._on_change(self)
        started = time.perf_counter()
        loaded: Scheduler | MLBuffetError = LoadFailed("it was given up")
        try:
            with import_seconds() as self.imports:
                loaded = self._calls.run("load", lambda: self._load(runtimes, runtime))
        except MLBuffetError as error:
            loaded = error
        except OSError as error:
            loaded = LoadFailed("it cannot be read", path=self.path, runtime=runtime, detail=str(error))
            loaded.__cause__ = error
        finally:
            self.seconds = time.perf_counter() - started - sum(self.imports.values())
            self._loaded(loaded)
        self._on_change(self)

    def retire(self, reason: str = "it was unloaded", *, gone: bool = False) -> Future[None]:
        """Answer no new calls and release the model after those under way; the result is there once that is done.

        ``gone`` says that nothing takes its place.
        """
        with self._lock:
            self.idle_reason = reason
            self._gone = self._gone or gone
            if self._retired is None:
                self._retired = Future()
                match self.state:
                    case State.UNAVAILABLE:
                        self._retired.set_result(None)
                    case State.FAILED:
                        self._enter(State.UNAVAILABLE)
                        self._retired.set_result(None)
                    case State.READY:
                        self._enter(State.UNLOADING)
                    case _:  # it ends when loading has
                        pass
            idle = self.state is State.UNLOADING and not self._users
        if idle:
            self._close()
        return self._retired

    def _load(self, runtimes: Runtimes, runtime: str | None) -> Scheduler:
        if self._fault is not None:
            raise self._fault
        chosen = self.configuration.runtime or runtime

        def loaded() -> Model:
            return load_artifact(self.path, runtimes, chosen, self.configuration.options, confined=self.stored.folder)

        if self.configuration.cache is None:
            model = loaded()
        else:
            model, self.content = load_with_content(loaded, self.stored, self.configuration)
        try:
            return self._scheduler_for(prepared(model, self.configuration))
        except MLBuffetError:
            model.close()
            raise

    def _scheduler_for(self, model: Model) -> Scheduler:
        configuration, samples = self.configuration, {}
        if (warmup := configuration.warmup) is not None and warmup.inputs is not None:
            samples[model.signatures.resolve(warmup.signature)] = warmup.inputs
        return self._scheduling.scheduler(model, configuration.scheduling, configuration.batching, samples, self._calls)

    def _loaded(self, loaded: Scheduler | MLBuffetError) -> None:
        with self._lock:
            if isinstance(loaded, Scheduler):
                if self.error is not None:
                    logger.warning("version %d of the model %r can be loaded again", self.version, self.name)
                self._scheduler, self.error, self.failures = loaded, None, 0
                self.loaded_at = time.monotonic()
                self._enter(State.READY)
                ended = self.retired
                if ended:
                    self._enter(State.UNLOADING)
            else:
                known, self.error = self.error, loaded
                self.failures += 1
                self._enter(State.FAILED)
                ended = False
                if self._retired is not None:
                    self._enter(State.UNAVAILABLE)
                    self._retired.set_result(None)
                self._log_failure(loaded, is_known=str(known) == str(loaded))
        if ended:
            self._close()

    def _log_failure(self, error: MLBuffetError, *, is_known: bool) -> None:
        """Say why it cannot be loaded, and where that is known already, only that it is so still."""
        what = f"version {self.version} of the model {self.name!r}"
        if is_known:
            logger.warning("%s still cannot be loaded; next try in %g s", what, retry_delay(self.failures))
        else:
            logger.warning("%s cannot be loaded: %s", what, reason_of(error))
        logger.debug("%s cannot be loaded", what, exc_info=error)

    def _shared(self, handle: Handle) -> Handle:
        with self._lock:
            if handle.released:
                raise ModelClosed(self.path)
            self._users += 1
        return Handle(self, handle.scheduler, self._release)

    def _release(self) -> None:
        with self._lock:
            self._users -= 1
            idle = self.state is State.UNLOADING and not self._users
        if idle:  # who gave it back may be an event loop, and a runtime may take its time
            Thread(target=self._close, name="mlbuffet-unload").start()

    def _close(self) -> None:
        with self._lock:
            scheduler, self._scheduler = self._scheduler, None
        if scheduler is None or self._retired is None:
            return
        self._calls.run("unload", scheduler.model.close)
        with self._lock:
            self._enter(State.UNAVAILABLE)
        self._on_change(self)
        self._retired.set_result(None)

    def _enter(self, state: State) -> None:
        assert state in _NEXT[self.state], f"{self.state} -> {state}"
        self.state = state


def _of_loading(configuration: Configuration) -> tuple[object, ...]:
    """All of it that takes effect where a model is loaded."""
    return (
        configuration.runtime,
        configuration.signature,
        configuration.options,
        configuration.warmup,
        configuration.scheduling,
        configuration.cache,
        configuration.batching,
    )
