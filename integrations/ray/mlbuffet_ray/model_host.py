"""The models of one process: loaded, followed on disk, and reported to the directory."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from mlbuffet.errors import MLBuffetError, ModelNotFound
from mlbuffet.inference import ModelSelector, State
from mlbuffet.inference.local import LocalService
from mlbuffet.repository import (
    Catalog,
    ModelRepository,
    ModelVersion,
    RepositorySettings,
    Sources,
    StoredModel,
    Watcher,
)
from mlbuffet.runtimes import Runtimes
from mlbuffet.scheduling import Scheduling
from mlbuffet_ray.model_places import place_from
from mlbuffet_ray.reports import Fulfilment, ModelReport, Order, Report, VersionReport, portable
from mlbuffet_ray.statistics import Counts

INTERVAL = 2.0
"""Seconds after which a process that has nothing new to say says that it lives."""
PAUSE = 0.25
"""Seconds after which a directory that does not answer is asked again."""


class ModelHost:
    """The models at ``places`` for which ``wanted`` holds; ``files`` is told of all that are on disk."""

    def __init__(
        self,
        process: str,
        places: tuple[str, ...],
        runtimes: Runtimes,
        settings: RepositorySettings,
        *,
        wanted: Callable[[str], bool] = lambda _: True,
        files: ModelRepository | None = None,
    ) -> None:
        self.process = process
        self._is_front = files is not None
        self._settings = settings
        self._wanted = wanted
        self._files = files
        sources = Sources([place_from(one) for one in places], runtimes, settings.preference)
        models = sources.find(may_be_empty=True)
        scheduling = Scheduling(batching=settings.batching, limits=settings.limits)
        self.repository = ModelRepository(
            runtimes, settings.preference, settings.residency, scheduling, settings.make_cache()
        )
        self.catalog = Catalog(sources, models, self._update)
        self.service = LocalService(self.repository)
        self._watcher = Watcher(self.catalog) if settings.watch else None
        self._fulfilments: dict[str, Fulfilment] = {}
        self._changed = asyncio.Event()
        self._update(models)

    async def start(self, *, load_first: bool) -> None:
        """Load the models, on the event loop that runs; with ``load_first`` each was tried when this returns."""
        loop = asyncio.get_running_loop()

        def note(_: ModelVersion) -> None:
            loop.call_soon_threadsafe(self._changed.set)

        self.repository.listen(note)
        self.repository.cache.start()
        loading = asyncio.create_task(asyncio.to_thread(self._load))
        if load_first:
            await loading
        self._loading = loading

    async def stop(self) -> None:
        """Follow nothing more, and unload the models after the calls under way."""
        if self._watcher is not None:
            await asyncio.to_thread(self._watcher.stop)
        await self.repository.cache.close()
        await asyncio.to_thread(self.repository.close)

    async def report_forever(self, directory: Any, counts: Callable[[], Awaitable[Counts]] | None = None) -> None:
        """Tell the directory of every change, and do what it orders; ``counts`` are told too, if there are any."""
        known = 0
        while True:
            self._changed.clear()
            report = await self._report({} if counts is None else await counts())
            try:
                orders = await self._exchange(directory, report, known, INTERVAL)
            except Exception:  # noqa: BLE001  the directory is somewhere else, and may be starting anew
                await asyncio.sleep(PAUSE)
                continue
            for order in orders:
                known = order.number
                await self._fulfil(order)

    async def _exchange(self, directory: Any, report: Report, known: int, seconds: float) -> list[Order]:
        """What the directory orders, or nothing where something has changed here meanwhile."""
        asked = asyncio.ensure_future(directory.exchange.remote(report, known, seconds))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({asked, changed}, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return list(asked.result())
            return []
        finally:
            for one in (asked, changed):
                one.cancel()

    async def _fulfil(self, order: Order) -> None:
        if order.model not in {one.name for one in self.repository}:
            return
        error = None
        change = self.repository.load if order.is_load else self.repository.unload
        try:
            await asyncio.to_thread(change, order.model)
        except MLBuffetError as failed:
            error = portable(failed)
        self._fulfilments[order.model] = Fulfilment(order.number, order.is_load, error)

    async def _report(self, counts: Counts) -> Report:
        unready = {one[:2] for one in self.service.unready()}
        models: dict[str, ModelReport] = {}
        for one in self.service.versions():
            if one.model not in models:
                with suppress(ModelNotFound):  # it was removed meanwhile
                    models[one.model] = ModelReport({}, self.repository.get(one.model).version, self._labels(one.model))
            if (model := models.get(one.model)) is not None:
                description = None
                if one.state is State.READY:
                    with suppress(MLBuffetError):
                        description = await self.service.describe(ModelSelector(one.model, one.version))
                model.versions[one.version] = VersionReport(one, description, one[:2] in unready)  # type: ignore[index]
        return Report(self.process, self._is_front, self.repository.attempted, models, dict(self._fulfilments), counts)

    def _labels(self, name: str) -> dict[str, int]:
        labels = self.repository.stored(name).configuration.labels
        served = {one.version for one in self.repository.versions(name)}
        return {label: version for label, version in labels.items() if version in served}

    def _update(self, models: list[StoredModel]) -> None:
        if self._files is not None:
            self._files.update(models)
        self.repository.update([model for model in models if self._wanted(model.name)])

    def _load(self) -> None:
        self.repository.load_all()
        if self._watcher is not None:
            self._watcher.start()
