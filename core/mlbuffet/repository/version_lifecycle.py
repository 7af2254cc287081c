"""One version of a model: its state, and the handles that keep it loaded."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from enum import Enum
from functools import partial
from threading import RLock, Thread
from typing import Any, Literal, TypeAlias, cast

import msgspec

from mlbuffet.errors import LoadFailed, MLBuffetError, ModelClosed, ModelNotReady, ProcessCrashed, may_pass, reason_of
from mlbuffet.hookspecs import import_seconds
from mlbuffet.isolation.process_settings import Isolation
from mlbuffet.isolation.runtime import IsolatedRuntime
from mlbuffet.load_context import LoadContext, NoOtherModels, OtherModels
from mlbuffet.model import Model
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.content import load_with_content
from mlbuffet.repository.layout import StoredVersion
from mlbuffet.repository.load_settings import load_settings
from mlbuffet.repository.warmup import prepared
from mlbuffet.running_calls import VersionCalls
from mlbuffet.runtime_choice import Preference
from mlbuffet.runtimes import Runtime, Runtimes
from mlbuffet.scheduling import Scheduler, Scheduling
from mlbuffet.tensors import Signatures

_SOON = 1.0
_LONGEST_RETRY = 300.0
_DOUBLINGS = 9
"""After so many it is the longest; a power of two that is much larger is no float any more."""

logger = logging.getLogger("mlbuffet.repository.version")


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
        return "UNAVAILABLE" if self is State.FAILED else cast("ReportedState", self.value)


class Handle:
    """A version that stays loaded until this is released."""

    def __init__(self, version: "ModelVersion", scheduler: Scheduler) -> None:
        self.version = version
        self.scheduler = scheduler
        self.model = scheduler.model
        self._released = False

    def again(self) -> "Handle":
        """Another handle, for work that may outlive this one. Raises `ModelClosed` once this one is released."""
        with self.version._lock:
            if self._released:
                raise ModelClosed(self.version.path)
            self.version.users += 1
        return Handle(self.version, self.scheduler)

    def release(self) -> None:
        """Let the version be unloaded; the second time does nothing."""
        if not self._released:
            self._released = True
            self.version._release()

    def __enter__(self) -> "Handle":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class ModelVersion:
    """One life of a version: it is loaded once, perhaps after failures, used, and retired after the last call."""

    def __init__(
        self,
        stored: StoredVersion,
        scheduling: Scheduling,
        configuration: Configuration,
        fault: MLBuffetError | None,
        on_change: Callable[["ModelVersion"], None],
        options: Mapping[str, Any] | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        self.name = stored.name
        self.version = stored.version
        self.path = stored.path
        self.stored = stored
        self.configuration = configuration
        self.options = options or {}
        """Those of the command line for this model."""
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
        """The load that was requested and has not ended."""
        self.idle_reason = "it is not loaded yet"
        self.last_used = 0.0
        self.loaded_at = 0.0
        self.content = b""
        """A digest of all that its responses depend on but for the inputs, where they are cached."""
        self.called: Mapping[str, Signatures | None] = {}
        """The models that it calls, in the order in which it asked for them, with what they took and gave then."""
        self.memory: int | None = None
        """How many bytes its runtime says that it takes, or that the life before it took."""
        self._fault = fault
        self._on_change = on_change
        self._scheduling = scheduling
        self._isolation = isolation or Isolation()
        self._calls = VersionCalls(scheduling.running, stored.name, stored.version)
        self.scheduler: Scheduler | None = None
        """Through which the model is called, while it is loaded."""
        self.users = 0
        """How many handles are held."""
        self.retired = False
        """Whether it was unloaded for good, or will be after its last call."""
        self._unloaded = Future[None]()
        self._is_final = False
        self._lock = RLock()

    @property
    def model(self) -> Model:
        """The loaded model, or `ModelNotReady` with the reason."""
        return self.check_ready().model

    def check_ready(self) -> Scheduler:
        """Through which the model is called. Raises `ModelNotReady` where it cannot be."""
        scheduler = self.scheduler
        if scheduler is None or self.state is not State.READY:
            raise ModelNotReady(self.name, self.version, self.reason, self.retry_after)
        return scheduler

    @property
    def reason(self) -> str:
        """Why the version cannot be called, or is older than what is on disk, fit for a client; else empty."""
        match self.state:
            case State.READY:
                return f"its older content is served, and not the new one: {self.error.public}" if self.error else ""
            case State.LOADING:
                return "it is being loaded"
            case State.UNLOADING:
                return "it is being unloaded"
            case State.UNAVAILABLE:
                return self.idle_reason
            case State.FAILED:
                if isinstance(self.error, ProcessCrashed):
                    return self.error.reason
                return self.error.public if self.error else ""

    @property
    def retry_after(self) -> float | None:
        """In how many seconds the version, or what replaces it, may be ready; ``None`` where waiting is of no use."""
        if self._is_final or (self.state is State.FAILED and not may_pass(self.error)):
            return None
        return max(self.retry_at - time.monotonic(), _SOON) if self.state is State.FAILED else _SOON

    @property
    def retry_delay(self) -> float:
        """How many seconds after a failed load the next is due: 1, 2, 4... after so many in a row, 300 at most."""
        return min(2.0 ** min(self.failures - 1, _DOUBLINGS), _LONGEST_RETRY)

    @property
    def size(self) -> int:
        """The bytes that it takes in memory: what its runtime says, else the bytes of its files."""
        if self.memory is not None:
            return self.memory
        return self.stored.fingerprint.size if self.stored.fingerprint else 0

    def is_same(self, stored: StoredVersion, configuration: Configuration, fault: MLBuffetError | None) -> bool:
        """Whether loading these would give what this is."""
        # what else a configuration says takes no effect where a model is loaded
        others: dict[str, Any] = {"description": "", "versions": "all", "labels": {}, "replicas": None}
        this, that = (msgspec.structs.replace(one, **others) for one in (self.configuration, configuration))
        return stored == self.stored and this == that and str(fault) == str(self._fault)

    def use(self) -> Handle:
        """The model for a call, during which it is not unloaded. Raises `ModelNotReady`."""
        with self._lock:
            scheduler = self.check_ready()
            self.users += 1
            self.last_used = time.monotonic()
        return Handle(self, scheduler)

    def load(self, runtimes: Runtimes, preference: Preference | None, others: OtherModels | None = None) -> None:
        """Load and warm the model, which may call ``others``, or note why it cannot be."""
        with self._lock:
            if self.state not in (State.UNAVAILABLE, State.FAILED) or self.retired:
                return
            self.state = State.LOADING
            self.called = {}
        self._on_change(self)
        started = time.perf_counter()
        loaded: Scheduler | MLBuffetError = LoadFailed("it was given up")
        try:
            with import_seconds() as self.imports:
                others = others or NoOtherModels()
                loaded = self._calls.run("load", lambda: self._load(runtimes, preference, others))
        except MLBuffetError as error:
            loaded = error
        except OSError as error:
            loaded = LoadFailed("it cannot be read", path=self.path, detail=str(error))
            loaded.__cause__ = error
        finally:
            self.seconds = time.perf_counter() - started - sum(self.imports.values())
            self._loaded(loaded)
        self._on_change(self)

    def retire(self, reason: str = "it was unloaded", *, final: bool = False) -> Future[None]:
        """Take no new calls, and unload the model after those under way; the result is there once that is done.

        ``final`` says that nothing takes its place.
        """
        with self._lock:
            self.idle_reason = reason
            self._is_final = self._is_final or final
            if not self.retired:
                self.retired = True
                if self.state is State.READY:
                    self.state = State.UNLOADING
                elif self.state is not State.LOADING:  # else it ends when loading has
                    self._end()
            idle = self.state is State.UNLOADING and not self.users
        if idle:
            self._close()
        return self._unloaded

    def _load(self, runtimes: Runtimes, preference: Preference | None, others: OtherModels) -> Scheduler:
        if self._fault is not None:
            raise self._fault
        configuration, stored = self.configuration, self.stored
        settings = load_settings(stored.folder, configuration, stored.upload, self.options, preference)
        context = LoadContext(name=self.name, version=self.version, models=others)
        load = partial(settings.load, self.path, runtimes, context, partial(self._reached, runtimes))
        if configuration.cache is None:
            model = load()
        else:
            model, self.content = load_with_content(load, stored, settings)
        try:
            if configuration.cache is not None and self.called:
                raise LoadFailed(f"[cache]: its answers follow from other models too: {', '.join(self.called)}")
            prepared(model, configuration).end_of_warmup()
            samples = {}
            if (warmup := configuration.warmup) is not None and warmup.inputs is not None:
                samples[model.signatures.resolve(warmup.signature)] = warmup.inputs
            limits, batching = configuration.scheduling, configuration.batching
            # a call of another model may wait for its load, which would hold up the event loop
            in_threads = bool(self.called)
            return self._scheduling.scheduler(model, limits, batching, samples, self._calls, in_threads=in_threads)
        except MLBuffetError:
            model.close()
            raise

    def _reached(self, runtimes: Runtimes, runtime: Runtime) -> Runtime:
        """``runtime``, or what reaches it in processes of the model's own."""
        settings = self._isolation.settings(self.configuration.process)
        if settings is None:
            return runtime
        return IsolatedRuntime(runtime, runtimes, settings, self._isolation, self._lose)

    def _lose(self, error: ProcessCrashed) -> None:
        """Be not ready any more, for good: the model can answer no more."""
        with self._lock:
            if self.state is not State.READY:
                return
            self.state, self.error, self.scheduler = State.FAILED, error, None
            self.retry_at = math.inf
        logger.error("version %d of the model %r answers no more: %s", self.version, self.name, error.reason)
        self._on_change(self)

    def _loaded(self, loaded: Scheduler | MLBuffetError) -> None:
        with self._lock:
            ended = self.retired and isinstance(loaded, Scheduler)
            if isinstance(loaded, Scheduler):
                if self.error is not None:
                    logger.warning("version %d of the model %r can be loaded again", self.version, self.name)
                self.scheduler, self.error, self.failures = loaded, None, 0
                self.memory = loaded.model.memory
                self.loaded_at = time.monotonic()
                self.state = State.UNLOADING if ended else State.READY
            else:
                known, self.error = self.error, loaded
                self.failures += 1
                self.state = State.FAILED
                if self.retired:
                    self._end()
                what = f"version {self.version} of the model {self.name!r}"
                if str(known) == str(loaded):  # its reason was logged before
                    logger.warning("%s still cannot be loaded; next try in %g s", what, self.retry_delay)
                else:
                    logger.warning("%s cannot be loaded: %s", what, reason_of(loaded))
                logger.debug("%s cannot be loaded", what, exc_info=loaded)
        if ended:
            self._close()

    def _release(self) -> None:
        with self._lock:
            self.users -= 1
            idle = self.state is State.UNLOADING and not self.users
        if idle:  # it may have been released on an event loop, and a runtime may take its time
            Thread(target=self._close, name="mlbuffet-unload").start()

    def _close(self) -> None:
        with self._lock:
            scheduler, self.scheduler = self.scheduler, None
        if scheduler is not None:
            self._calls.run("unload", scheduler.model.close)
            self.state = State.UNAVAILABLE
            self._on_change(self)
            self._unloaded.set_result(None)

    def _end(self) -> None:
        self.state = State.UNAVAILABLE
        self._unloaded.set_result(None)
