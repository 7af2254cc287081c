"""The beginning and the end of an application's models."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread

from anyio.to_thread import current_default_thread_limiter

from mlbuffet.repository import ModelRepository, ModelVersion, Publisher
from mlbuffet.telemetry.worker import WorkerTelemetry


class Lifecycle:
    """Loads the models of ``repository``, if there is one, in a thread, and unloads them; as often as is wanted.

    ``on_change`` is called with each version when its load begins and ends, ``on_loaded`` after the last, both in the
    threads that load; ``on_stop`` before the models are unloaded, perhaps twice.
    """

    def __init__(
        self,
        telemetry: WorkerTelemetry,
        repository: ModelRepository | None,
        publisher: Publisher | None,
        *,
        on_change: Callable[[ModelVersion], None],
        on_loaded: Callable[[], None],
        on_stop: Callable[[], None],
    ) -> None:
        self._telemetry = telemetry
        self._repository = repository
        self._publisher = publisher
        self._on_change = on_change
        self._on_loaded = on_loaded
        self._on_stop = on_stop
        self._loaded: Future[None] | None = None
        self._was_stopped = False
        self._lock = Lock()

    def start(self) -> Future[None]:
        """Begin to load, on the event loop that runs, unless it was begun; done when each load was attempted."""
        with self._lock:
            if self._loaded is not None:
                return self._loaded
            self._loaded = loaded = Future[None]()
            current_default_thread_limiter()  # anyio imports its backend then, and not at a prediction
            self._telemetry.start()
            if self._repository is None:
                loaded.set_result(None)
            else:
                self._begin_to_load(self._repository, loaded)
            return loaded

    async def stop(self) -> None:
        """Unload the models, after the calls under way, on the event loop that runs."""
        await self._telemetry.close()
        if self._repository is not None:
            await self._repository.cache.close()
        await asyncio.to_thread(self.stop_models)  # it waits for calls, and the loop has yet to send their answers

    def stop_models(self) -> None:
        """The same without an event loop, unless they are not loaded."""
        with self._lock:
            loaded, self._loaded = self._loaded, None
        if loaded is None:
            return
        self._was_stopped = True
        self._on_stop()
        if self._repository is not None:
            self._repository.close()
        if self._publisher is not None:
            self._publisher.close()

    def _begin_to_load(self, repository: ModelRepository, loaded: Future[None]) -> None:
        if self._was_stopped:
            repository.reopen()
        # a daemon, because an import of TensorFlow under way cannot be interrupted, and Ctrl-C must not wait for it
        Thread(target=self._load, args=[repository, loaded], name="mlbuffet-load", daemon=True).start()
        repository.cache.start()

    def _load(self, repository: ModelRepository, loaded: Future[None]) -> None:
        try:
            repository.load_all(self._on_change)
            if self._loaded is loaded:  # else it was stopped meanwhile
                self._on_loaded()
                if self._loaded is None:
                    self._on_stop()
        finally:
            loaded.set_result(None)
