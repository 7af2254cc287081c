"""Models that are elsewhere: an inference service that asks another, in a thread with an event loop of its own.

What goes there and comes back are the values of `mlbuffet.inference` alone, as with the handles of a cluster.
"""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread
from types import TracebackType
from typing import Any, TypeVar

from mlbuffet.inference import (
    InferenceRequest,
    InferenceResult,
    InferenceService,
    ModelDescription,
    ModelSelector,
    VersionStatus,
)
from mlbuffet.inference.local import LocalService
from mlbuffet.repository import ModelRepository
from mlbuffet.tensors import Signatures

T = TypeVar("T")


class RemoteModel:
    """A `ServedModel`: nothing is held, for the other side holds it while it computes."""

    def __init__(self, service: "RemoteService", description: ModelDescription) -> None:
        self._service = service
        self.model = description.model
        self.version = description.version
        self.signatures: Signatures = description.signatures

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        return await self._service.infer(request)

    def infer_now(self, request: InferenceRequest) -> InferenceResult | None:
        return None

    def __enter__(self) -> "RemoteModel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""


class RemoteService:
    """An `InferenceService`."""

    def __init__(self, service: InferenceService, loop: asyncio.AbstractEventLoop) -> None:
        self._service = service
        self._loop = loop
        self.requests: list[InferenceRequest] = []

    async def _there(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def admit(self, selector: ModelSelector, *, counted: bool = True) -> tuple[str, int]:
        return self._service.admit(selector, counted=counted)

    def status(self, selector: ModelSelector) -> VersionStatus:
        return self._service.status(selector)

    async def serve(self, selector: ModelSelector, *, counted: bool = True) -> RemoteModel:
        return RemoteModel(self, await self.describe(selector))

    def serve_now(self, selector: ModelSelector, *, counted: bool = True) -> RemoteModel | None:
        return None

    async def infer(self, request: InferenceRequest) -> InferenceResult:
        self.requests.append(request)
        return await self._there(self._service.infer(request))

    def infer_now(self, request: InferenceRequest) -> InferenceResult | None:
        return None

    async def describe(self, selector: ModelSelector) -> ModelDescription:
        return await self._there(self._service.describe(selector))

    def check_ready(self, selector: ModelSelector) -> VersionStatus:
        return self._service.check_ready(selector)

    def versions(self, model: str | None = None) -> Sequence[VersionStatus]:
        return self._service.versions(model)

    @property
    def has_started(self) -> bool:
        return self._service.has_started

    def unready(self) -> Sequence[VersionStatus]:
        return self._service.unready()

    async def load(self, model: str) -> None:
        await self._there(self._service.load(model))

    async def unload(self, model: str) -> None:
        await self._there(self._service.unload(model))

    async def statistics(self) -> Mapping[tuple[str, int], Any]:
        return await self._there(self._service.statistics())


@contextmanager
def remote_service(repository: ModelRepository) -> Iterator[RemoteService]:
    """The models of ``repository``, loaded, behind a `RemoteService`."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    repository.load_all()
    try:
        yield RemoteService(LocalService(repository), loop)
    finally:
        repository.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
