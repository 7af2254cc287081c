"""The inference service over the models of this process."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter_ns

from anyio.to_thread import run_sync

from mlbuffet.errors import ModelNotFound, ModelNotReady, Overloaded
from mlbuffet.inference.gauges import measure
from mlbuffet.inference.local_model import LocalModel
from mlbuffet.inference.request import ModelSelector
from mlbuffet.inference.service import InferenceService, ModelDescription, VersionStatus
from mlbuffet.repository import Handle, ModelRepository, ModelVersion, State
from mlbuffet.telemetry.version_statistics import VersionCounts, VersionStatistics
from mlbuffet.telemetry.worker import Version, WorkerTelemetry


class LocalService(InferenceService):
    """An `InferenceService`, which counts in ``telemetry``, if any other than its own is given."""

    def __init__(self, repository: ModelRepository, telemetry: WorkerTelemetry | None = None) -> None:
        self._repository = repository
        self._telemetry = telemetry or WorkerTelemetry(partial(measure, repository))
        self._statistics: dict[Version, VersionStatistics] = {}

    def admit(self, selector: ModelSelector, *, counted: bool = True) -> tuple[str, int]:
        version = self._version(selector)
        _check_room(version, self._counts(version, counted=counted))
        return version.name, version.version

    def status(self, selector: ModelSelector) -> VersionStatus:
        return self._status(self._version(selector))

    async def serve(self, selector: ModelSelector, *, counted: bool = True) -> LocalModel:
        handle = await self._loaded(selector)
        return self._served(handle, self._counts(handle.version, counted=counted))

    def serve_now(self, selector: ModelSelector, *, counted: bool = True) -> LocalModel | None:
        version = self._version(selector)
        counts = self._counts(version, counted=counted)
        scheduler = version.scheduler
        if scheduler is None or version.configuration.cache is not None or not scheduler.may_run_now:
            _check_room(version, counts)
            return None
        try:
            return self._served(version.use(), counts)
        except ModelNotReady:
            return None

    async def describe(self, selector: ModelSelector) -> ModelDescription:
        with await self._loaded(selector) as handle:
            version, model = handle.version, handle.model
            ready = [one.version for one in self._repository.versions(version.name) if one.state is State.READY]
            batching = handle.scheduler.batching(model.signatures.default)
            return ModelDescription(
                model=version.name,
                version=version.version,
                runtime=model.runtime.name,
                platform=model.runtime.platform,
                signatures=model.signatures,
                ready_versions=ready,
                batching=batching,
            )

    def check_ready(self, selector: ModelSelector) -> VersionStatus:
        version = self._version(selector)
        self._repository.check_ready(version)
        return self._status(version)

    def versions(self, model: str | None = None) -> Sequence[VersionStatus]:
        return [self._status(one) for one in (self._repository if model is None else self._repository.versions(model))]

    @property
    def has_started(self) -> bool:
        return self._repository.attempted

    def unready(self) -> Sequence[VersionStatus]:
        return [self._status(one) for one in self._repository.unready()]

    async def load(self, model: str) -> None:
        await run_sync(self._repository.load, model)

    async def unload(self, model: str) -> None:
        await run_sync(self._repository.unload, model)

    async def statistics(self) -> Mapping[Version, VersionCounts]:
        return (await self._telemetry.totals()).statistics()

    def _status(self, one: ModelVersion) -> VersionStatus:
        error = self._repository.why_outdated(one)
        if error is not None:
            return VersionStatus(one.name, one.version, State.FAILED, error.public, one.retired, one.retry_after)
        return VersionStatus(one.name, one.version, one.state, one.reason, one.retired, one.retry_after)

    def _version(self, selector: ModelSelector) -> ModelVersion:
        """The version that ``selector`` means now. Raises `ModelNotFound`."""
        if selector.label is not None:
            return self._repository.labelled(selector.model, selector.label)
        try:
            return self._repository.get(selector.model, selector.version)
        except ModelNotFound:
            if selector.or_default:
                return self._repository.get(selector.model)
            raise

    async def _loaded(self, selector: ModelSelector) -> Handle:
        """A handle of the version, once it is loaded where that is done on demand. Raises `ModelNotReady`."""
        while True:
            version = self._version(selector)
            try:
                return version.use()
            except ModelNotReady:
                loading = self._repository.demand(version)
                if loading is None:
                    raise
            await asyncio.shield(asyncio.wrap_future(loading))  # others wait for it too

    def _served(self, handle: Handle, counts: VersionStatistics | None) -> LocalModel:
        version, signatures = handle.version, handle.model.signatures
        begun = perf_counter_ns()
        return LocalModel(version.name, version.version, signatures, handle, self._repository.cache, counts, begun)

    def _counts(self, version: ModelVersion, *, counted: bool) -> VersionStatistics | None:
        if not counted:
            return None
        key = version.name, version.version
        found = self._statistics.get(key)
        if found is None:
            found = self._statistics[key] = VersionStatistics(self._telemetry.table, *key)
        return found


def _check_room(version: ModelVersion, counts: VersionStatistics | None) -> None:
    """Raises `Overloaded`, which is counted, where a call could not even wait; a cached response needs no room."""
    scheduler = version.scheduler
    if scheduler is not None and version.configuration.cache is None:
        try:
            scheduler.check_room()
        except Overloaded:
            if counts is not None:
                counts.failure(0)
            raise
