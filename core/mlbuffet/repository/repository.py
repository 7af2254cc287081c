"""The models of a server: which versions are loaded, and which version answers a request."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager
from functools import partial
from itertools import groupby
from threading import RLock
from typing import Any

from mlbuffet.caching import MemoryCache, PredictionCache
from mlbuffet.errors import MLBuffetError, ModelNotFound, ModelNotReady, reason_of
from mlbuffet.isolation.process_settings import Isolation
from mlbuffet.load_context import OtherModels
from mlbuffet.repository.callable_models import REMOVED, CallableModels, calls_unready
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.eviction import Residency, to_evict
from mlbuffet.repository.layout import StoredModel, StoredVersion
from mlbuffet.repository.load_queue import LoadQueue, end_request
from mlbuffet.repository.model_versions import ModelVersions
from mlbuffet.repository.version_lifecycle import ModelVersion, State
from mlbuffet.runtime_choice import Preference, Wanted
from mlbuffet.runtimes import Runtimes
from mlbuffet.scheduling import Scheduling
from mlbuffet.scheduling.limit_settings import available_cores
from mlbuffet.tensors import Signatures

AT_START = 2
"""How many models are loaded at once at the start; the other threads are for loads on demand meanwhile."""

logger = logging.getLogger(__name__)


class ModelRepository:
    """Models by name, each with its versions; they are loaded and unloaded in the background.

    `update` says what is to be served. A version whose content changed, or that a newer one replaces,
    is retired when its successor is ready, and stays while that fails. A failed load is tried again, after 1, 2, 4...
    seconds. ``runtime`` is taken, or those of a sequence, where several accept a model whose ``model.toml`` names none.
    """

    def __init__(
        self,
        runtimes: Runtimes,
        runtime: Wanted = None,
        residency: Residency | None = None,
        scheduling: Scheduling | None = None,
        cache: PredictionCache | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        self.cache = cache or PredictionCache(MemoryCache())
        """The responses of the models whose ``model.toml`` has them cached."""
        self.options = options or {}
        """By model, the options that go before those of its ``model.toml``."""
        self._isolation = isolation
        self._residency = residency or Residency()
        self._scheduling = scheduling or Scheduling()
        self._models: dict[str, ModelVersions] = {}
        self._lock = RLock()
        preference = Preference.of(runtime)
        self._new_load_queue = partial(
            LoadQueue,
            self._lock,
            runtimes,
            preference,
            begins=self._make_room,
            ended=self._loaded,
            others=self._others,
        )
        self._loading = self._new_load_queue()
        self._retiring: set[Future[None]] = set()
        self._listeners: list[Callable[[ModelVersion], None]] = []
        self._started = False
        self._attempted = False
        self._closed = False

    @property
    def batches(self) -> Mapping[tuple[str, int], Mapping[int, int]]:
        """By model and version: by rows, how many batches were run, also of versions that are unloaded."""
        return self._scheduling.batches

    def update(self, models: Iterable[StoredModel]) -> None:
        """Serve these models and no others; what they replace is retired when it can be."""
        models = list(models)
        with self._lock:
            if self._closed:
                return
            for name in self._models.keys() - {model.name for model in models}:
                self._drop(self._models.pop(name).all_versions, "it was removed", final=True)
            for model in models:
                self._take(model)

    def listen(self, on_change: Callable[[ModelVersion], None]) -> None:
        """Call ``on_change`` with each version whose state has changed, in the thread that changed it."""
        self._listeners.append(on_change)

    def load_all(self, on_change: Callable[[ModelVersion], None] = lambda _: None) -> None:
        """Load every version, two models at a time, each model's versions one after the other.

        ``on_change`` is called with each when its load begins and ends, in the thread that loads it.
        """
        with self._lock:
            self._started = True
            self._listeners.append(on_change)
            versions = [] if self._residency.on_demand else list(self)
        under_way: set[Future[None]] = set()
        try:
            for _, of_one in groupby(versions, key=lambda version: version.name):
                if len(under_way) >= min(AT_START, available_cores()):
                    under_way = wait(under_way, return_when=FIRST_COMPLETED).not_done
                under_way.add([self._loading.request(version) for version in of_one][-1])
            wait(under_way)
        finally:
            self._listeners.remove(on_change)

    def wait_for_loads(self) -> None:
        """Wait until each load that was requested by now has ended, well or not."""
        with self._lock:
            versions = [version for model in self._models.values() for version in model.all_versions]
            requests = [version.loading for version in versions if version.loading is not None]
        wait(requests)

    def load(self, name: str) -> None:
        """Load every version of a model that is not ready. Raises `ModelNotFound`, or why the latest one failed."""
        with self._lock:
            model = self._known(name)
            model.unloaded = False
            self._take(model.stored)
            versions = model.all_versions
            requests = [self._loading.request(version) for version in versions if version.state is not State.READY]
        for request in requests:
            request.result()
        latest = max(versions, key=lambda version: (version.version, version in model.successors.values()))
        if latest.error is not None:
            raise latest.error

    def unload(self, name: str) -> None:
        """Unload every version of a model, once no call uses it. Raises `ModelNotFound`."""
        with self._lock:
            model = self._known(name)
            model.unloaded = True
            ended = [version.retire(final=True) for version in model.all_versions]
            model.successors.clear()
        for one in ended:
            one.result()

    def get(self, name: str, version: int | None = None) -> ModelVersion:
        """That version, or else the default: the chosen one, or the latest that is ready, or the latest.

        A version that would be loaded on demand counts as ready. Raises `ModelNotFound`.
        """
        with self._lock:
            model = self._known(name)
            version = model.default if version is None else version
            if version is not None:
                if version not in model.versions:
                    raise ModelNotFound(name, version, sorted(model.versions))
                return model.versions[version]
            if not model.versions:  # its configuration selects none of those there are
                raise ModelNotFound(name)
            if len(model.versions) == 1:
                return next(iter(model.versions.values()))
            latest_first = [model.versions[number] for number in sorted(model.versions, reverse=True)]
            return next(filter(self._answers, latest_first), latest_first[0])

    def labelled(self, name: str, label: str) -> ModelVersion:
        """The version that ``model.toml`` calls ``label``. Raises `ModelNotFound`, also where no version has it."""
        with self._lock:
            model = self._known(name)
            labels = model.stored.configuration.labels
            served = {one: model.versions[number] for one, number in labels.items() if number in model.versions}
            if label not in served:
                raise ModelNotFound(name, label=label, labels=sorted(served))
            return served[label]

    def stored(self, name: str) -> StoredModel:
        """What is on disk of a model, also versions that are not served. Raises `ModelNotFound`."""
        return self._known(name).stored

    def stored_version(self, name: str, version: int | None = None) -> StoredVersion:
        """What is on disk of that version, or of the default. Raises `ModelNotFound`."""
        with self._lock:
            number = self.get(name).version if version is None else version
            versions = {one.version: one for one in self.stored(name).versions}
            if number not in versions:
                raise ModelNotFound(name, number, sorted(versions))
            return versions[number]

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, the oldest first. Raises `ModelNotFound`."""
        with self._lock:
            model = self._known(name)
            return [model.versions[number] for number in sorted(model.versions)]

    def demand(self, version: ModelVersion) -> Future[None] | None:
        """The load of a version that is not ready, one for all callers; ``None`` where waiting is of no use."""
        with self._lock:
            model = self._models.get(version.name)
            current = model.versions.get(version.version) if model else None
            if current is None or current.retired or self._closed or not self._residency.on_demand:
                return None
            failed = current.loading is None and current.state is State.FAILED
            return None if failed and time.monotonic() < current.retry_at else self._loading.request(current)

    def needed(self, version: ModelVersion) -> Future[None] | None:
        """The load of a version that one which is being loaded calls; ``None`` where waiting is of no use."""
        with self._lock:
            if version.state is State.READY or version.retired or self._closed:
                return None
            if self._residency.on_demand:
                return self.demand(version)
            is_due = version.loading is not None or version.state is State.UNAVAILABLE
            return self._loading.request(version) if is_due else None

    def called(self, name: str) -> set[str]:
        """The names of the models that those called ``name`` call."""
        with self._lock:
            model = self._models.get(name)
            return {other for version in model.all_versions for other in version.called} if model else set()

    def waiting(self) -> AbstractContextManager[None]:
        """While a model waits for another that it calls to be loaded, be it in a load itself."""
        return self._loading.waiting()

    def is_dormant(self, version: ModelVersion) -> bool:
        """Whether the version is not loaded, and would be on demand."""
        on_demand = self._residency.on_demand and not version.retired
        return on_demand and version.state is State.UNAVAILABLE and version.loading is None

    def check_ready(self, version: ModelVersion) -> None:
        """Raises `ModelNotReady` where it, or a model that it calls, cannot answer; what is dormant can."""
        with self._lock:
            if self.is_dormant(version):
                return
            version.check_ready()
            for name in version.called:
                try:
                    other = self.get(name)
                    if not self._is_awaited(other):
                        self.check_ready(other)
                except ModelNotFound as error:
                    raise calls_unready(version, name, REMOVED) from error
                except ModelNotReady as error:
                    raise calls_unready(version, name, error.reason, error.retry_after) from error
            if (outdated := self.why_outdated(version)) is not None:
                raise ModelNotReady(version.name, version.version, outdated.public)

    def why_outdated(self, version: ModelVersion) -> MLBuffetError | None:
        """Why a version could not be loaded again after a model that it calls changed; it answers no more."""
        return version.error if version.state is State.READY and self._is_outdated(version) else None

    @property
    def attempted(self) -> bool:
        """Whether the loading of every version that was there at the start has ended, well or not."""
        if not self._attempted:
            through = (State.READY, State.FAILED)
            self._attempted = self._residency.on_demand or all(one.state in through or one.retired for one in self)
        return self._attempted

    def unready(self) -> list[ModelVersion]:
        """The default versions of models that are to be served and cannot answer, by the model's name.

        A model that a client unloaded is not to be. One with another version that is ready, until a new one is loaded,
        and one that is loaded on demand, can answer; one that calls a model that cannot, cannot either.
        """
        with self._lock:
            defaults = [self.get(name) for name, model in sorted(self._models.items()) if not model.unloaded]
            return [one for one in defaults if not self._is_awaited(one) and not self._is_ready(one)]

    def close(self) -> None:
        """Unload every model; what is not loaded yet will not be."""
        with self._lock:
            self._closed = True
            self._loading.close()
            versions = [version for model in self._models.values() for version in model.all_versions]
            # a load cannot be interrupted, and ends when it does
            idle = [version for version in versions if version.state is not State.LOADING]
            retired = {version: version.retire() for version in versions}
            ended = [*(retired[version] for version in idle), *self._retiring]
        for one in ended:
            one.result()
        self._scheduling.close()
        for version in idle:
            if version.loading is not None:
                end_request(version.loading)

    def reopen(self) -> None:
        """Serve the same models again after `close`; `load_all` loads them."""
        with self._lock:
            self._closed = self._started = self._attempted = False
            self._loading = self._new_load_queue()
            self._scheduling.reopen()
            self.update([model.stored for model in self._models.values()])

    def __iter__(self) -> Iterator[ModelVersion]:
        with self._lock:
            found = [version for name in sorted(self._models) for version in self.versions(name)]
        return iter(found)

    def _known(self, name: str) -> ModelVersions:
        if name not in self._models:
            raise ModelNotFound(name)
        return self._models[name]

    def _is_awaited(self, version: ModelVersion) -> bool:
        """Whether calls wait for its load."""
        return self._residency.on_demand and version.state is State.LOADING

    def _is_ready(self, version: ModelVersion) -> bool:
        try:
            self.check_ready(version)
        except ModelNotReady:
            return False
        return True

    def _answers(self, version: ModelVersion) -> bool:
        return version.state is State.READY or self.is_dormant(version)

    def _take(self, stored: StoredModel) -> None:
        """Make a model's versions those of ``stored``, and request the loads that it takes."""
        model = self._models.setdefault(stored.name, ModelVersions(stored))
        if stored.error and model.has(State.READY):
            logger.warning("the model %r stays as it was: %s", stored.name, stored.error)
            for served in model.versions.values():
                if served.state is State.READY:
                    served.error = stored.error
            return
        model.stored = stored
        self._drop(model.take_removed(), "it was removed", final=True)
        active = model.has(State.READY, State.LOADING)
        for number, version in stored.wanted.items():
            self._want(model, number, version, active=active)
        self._settle(model)

    def _want(self, model: ModelVersions, number: int, stored: StoredVersion, *, active: bool) -> None:
        """Make one version what is on disk; ``active`` is whether the model is in use."""
        current = model.successors.get(number) or model.versions.get(number)
        configuration, fault = model.stored.configuration, model.stored.error
        same = current is not None and current.is_same(stored, configuration, fault)
        if current is not None and same and (model.unloaded or not current.retired):
            if current.state is State.READY:
                current.error = None  # what was wrong on disk is as it was again
            return
        version = self._version(stored, configuration, fault)
        if self._residency.on_demand:
            version.idle_reason = "it is loaded when it is first used"
        if model.unloaded:
            version.retire(final=True)
        if (replaced := model.place(version)) is not None:
            self._drop([replaced], "it was replaced")
        if self._started and not model.unloaded and (active or not self._residency.on_demand):
            self._loading.request(version)

    def _version(
        self, stored: StoredVersion, configuration: Configuration, fault: MLBuffetError | None
    ) -> ModelVersion:
        options = self.options.get(stored.name)
        return ModelVersion(stored, self._scheduling, configuration, fault, self._notify, options, self._isolation)

    def _settle(self, model: ModelVersions) -> None:
        """Choose its default, and retire what that or a newer version has replaced."""
        model.choose_default(self._answers)
        self._drop(model.take_superseded(), "a newer version replaced it")
        self._reload_outdated()

    def _reload_outdated(self) -> None:
        """Load again what calls models that take or give something else by now; until then it stays as it is."""
        for model in self._models.values():
            for number, current in list(model.versions.items()):
                latest = model.successors.get(number, current)
                if latest.state not in (State.READY, State.FAILED) or not self._is_outdated(latest):
                    continue
                if latest.state is State.READY:
                    latest = self._version(current.stored, current.configuration, None)
                    model.place(latest)
                self._loading.request(latest)

    def _is_outdated(self, version: ModelVersion) -> bool:
        """Whether a model that it calls takes or gives something else than when this one was loaded."""
        return any(seen is not None and self._differs(name, seen) for name, seen in version.called.items())

    def _differs(self, name: str, seen: Signatures) -> bool:
        model = self._models.get(name)
        scheduler = self.get(name).scheduler if model and model.versions else None
        now = seen if scheduler is None else scheduler.model.signatures
        return now is not seen and (now != seen or now.default != seen.default)

    def _drop(self, versions: Iterable[ModelVersion], reason: str, *, final: bool = False) -> None:
        for version in versions:
            ended = version.retire(reason, final=final)
            self._retiring.add(ended)
            ended.add_done_callback(self._retiring.discard)

    def _loaded(self, version: ModelVersion) -> None:
        model = self._models.get(version.name)
        if model is None or version not in model.all_versions:
            return
        if version.state is State.FAILED:
            version.retry_at = time.monotonic() + version.retry_delay
            if not self._residency.on_demand:
                self._loading.request_later(version, version.retry_delay)
        number = version.version
        is_successor = model.successors.get(number) is version
        if is_successor and version.state is State.READY:
            replaced, model.versions[number] = model.versions[number], model.successors.pop(number)
            self._drop([replaced], "new content replaced it")
        elif is_successor and version.error is not None:
            current = model.versions[number]
            if str(current.error) != str(version.error):
                ends = "answers no more" if self._is_outdated(current) else "stays as it was"
                what = f"version {number} of the model {version.name!r} {ends}"
                new = (
                    "it cannot be loaded again"
                    if version.stored == current.stored
                    else "its new content cannot be loaded"
                )
                logger.warning("%s: %s: %s", what, new, reason_of(version.error))
            current.error = version.error
        if version.state is State.READY and version.memory is not None:
            self._make_room(version)  # it may take more than its files let expect
        self._settle(model)

    def _make_room(self, version: ModelVersion) -> None:
        with self._lock:
            for one in to_evict(self._residency, version, self):
                fresh = self._version(one.stored, one.configuration, None)
                fresh.idle_reason = "it is loaded when it is used again"
                fresh.memory = one.memory
                self._models[one.name].versions[one.version] = fresh
                self._drop([one], fresh.idle_reason)

    def _others(self, version: ModelVersion) -> AbstractContextManager[OtherModels]:
        return CallableModels(self, version)

    def _notify(self, version: ModelVersion) -> None:
        for listener in list(self._listeners):
            listener(version)
