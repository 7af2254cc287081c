"""The inference service of a front: its own models, and those that have deployments of their own."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mlbuffet.errors import ModelNotFound, ModelNotReady
from mlbuffet.inference import InferenceService, ModelDescription, ModelSelector, ServedModel, State, VersionStatus
from mlbuffet.inference.local import LocalService
from mlbuffet.repository import ModelRepository
from mlbuffet.telemetry.version_statistics import VersionCounts, VersionStatistics
from mlbuffet.telemetry.worker import WorkerTelemetry
from mlbuffet_ray.cluster_model import Asking, ClusterModel
from mlbuffet_ray.cluster_view import ClusterView
from mlbuffet_ray.directory import Reports
from mlbuffet_ray.model_host import ModelHost
from mlbuffet_ray.statistics import added

INTERVAL = 2.0
PAUSE = 0.05
PATIENCE = 600.0
"""Seconds in which every process has loaded or unloaded a model."""


class ClusterService(InferenceService):
    """An `InferenceService` over the ``handles`` of models, by name, and the models of the ``host`` itself.

    ``files`` are those of all models. Requests are counted in ``telemetry``.
    """

    def __init__(
        self,
        host: ModelHost,
        files: ModelRepository,
        handles: Mapping[str, Any],
        directory: Any,
        telemetry: WorkerTelemetry,
    ) -> None:
        self._local = LocalService(host.repository, telemetry)
        self._process = host.process
        self._view = ClusterView(frozenset(handles), self._on_disk)
        self._files = files
        self._directory = directory
        self._telemetry = telemetry
        self._statistics: dict[tuple[str, int], VersionStatistics] = {}
        self._asking = {name: Asking(handle, self._is_ready) for name, handle in handles.items()}
        self._seen = asyncio.Event()

    async def known(self) -> None:
        """Wait until the directory has said which models there are."""
        while not self._view.is_known:
            await self._seen.wait()

    async def follow_forever(self) -> None:
        """Take what the directory knows, whenever that changes."""
        known = 0
        while True:
            try:
                found: Reports | None = await self._directory.reports.remote(known, INTERVAL)
            except Exception:  # noqa: BLE001  the directory is elsewhere, and may be starting anew
                found = None
            if found is None:
                await asyncio.sleep(0.1)
                continue
            known = found.number
            self._view.update(found.reports)
            self._seen.set()
            self._seen = asyncio.Event()

    def admit(self, selector: ModelSelector, *, counted: bool = True) -> tuple[str, int]:
        if not self._is_own(selector.model):
            return self._local.admit(selector, counted=counted)
        status = self._view.find(selector).status
        return status.model, status.version

    def status(self, selector: ModelSelector) -> VersionStatus:
        return self._view.find(selector).status if self._is_own(selector.model) else self._local.status(selector)

    async def serve(self, selector: ModelSelector, *, counted: bool = True) -> ServedModel:
        if not self._is_own(selector.model):
            return await self._local.serve(selector, counted=counted)
        found = self._view.ready(selector)
        statistics = self._counted(found.model, found.version) if counted else None
        return ClusterModel(found, selector, self._asking[found.model], statistics)

    def serve_now(self, selector: ModelSelector, *, counted: bool = True) -> ServedModel | None:
        return None if self._is_own(selector.model) else self._local.serve_now(selector, counted=counted)

    async def describe(self, selector: ModelSelector) -> ModelDescription:
        if not self._is_own(selector.model):
            return await self._local.describe(selector)
        found = self._view.ready(selector)
        versions = [one.status for one in self._view.versions(selector.model)]
        return found._replace(ready_versions=[one.version for one in versions if one.state is State.READY])

    def check_ready(self, selector: ModelSelector) -> VersionStatus:
        if not self._is_own(selector.model):
            return self._local.check_ready(selector)
        self._view.ready(selector)
        return self._view.find(selector).status

    def versions(self, model: str | None = None) -> Sequence[VersionStatus]:
        if model is not None:
            return self._of_cluster(model) if self._is_own(model) else self._local.versions(model)
        found = [*self._local.versions(), *(one for name in self._view.names() for one in self._of_cluster(name))]
        return sorted(found, key=lambda one: one[:2])

    @property
    def has_started(self) -> bool:
        return self._local.has_started and self._view.attempted

    def unready(self) -> Sequence[VersionStatus]:
        found = list(self._local.unready())
        for name in self._view.names():
            report = self._view.find(ModelSelector(name))
            if report.is_unready:
                found.append(report.status)
        return sorted(found, key=lambda one: one[:2])

    async def load(self, model: str) -> None:
        await self._order(model, is_load=True)

    async def unload(self, model: str) -> None:
        await self._order(model, is_load=False)

    async def statistics(self) -> Mapping[tuple[str, int], VersionCounts]:
        return added([await self.own_statistics(), *self._view.counts(without=self._process)])

    async def own_statistics(self) -> Mapping[tuple[str, int], VersionCounts]:
        """The counts of this process."""
        return await self._local.statistics()

    def _counted(self, model: str, version: int) -> VersionStatistics:
        key = model, version
        if key not in self._statistics:
            self._statistics[key] = VersionStatistics(self._telemetry.table, *key)
        return self._statistics[key]

    def wait_until_loaded(self, model: str, version: int) -> None:
        """Until every process that is to have the version has it, in any thread but that of the event loop.

        Raises `UploadRefused` where one cannot load it, and `ModelNotReady` where one does not in ten minutes.
        """
        until = time.monotonic() + PATIENCE
        while not self._view.is_loaded(model, version, is_default=self._files.stored(model).default in (None, version)):
            if time.monotonic() > until:
                raise ModelNotReady(model, version, "not every replica has loaded it", 1.0)
            time.sleep(PAUSE)

    def _on_disk(self, model: str) -> int | None:
        try:
            return self._files.get(model).version
        except ModelNotFound:
            return None

    def _is_own(self, model: str) -> bool:
        return model in self._view.own

    def _is_ready(self, selector: ModelSelector) -> bool:
        with suppress(ModelNotFound, ModelNotReady):
            self._view.ready(selector)
            return True
        return False

    def _of_cluster(self, model: str) -> list[VersionStatus]:
        return [one.status for one in self._view.versions(model)]

    async def _order(self, model: str, *, is_load: bool) -> None:
        """Have every process load or unload a model, and wait until all have. Raises why one could not."""
        self.versions(model)
        number = await self._directory.order.remote(model, is_load=is_load)
        async with asyncio.timeout(PATIENCE):
            while (done := self._view.fulfilment(model, number)) is None:
                await self._seen.wait()
        if done.error is not None:
            raise done.error
