"""Loads in the background: the versions of a model one after the other, and each once for all who ask."""

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, suppress

from mlbuffet.repository.gc_pause import GcPause
from mlbuffet.repository.load_queue import Workers
from mlbuffet.repository.version import ModelVersion
from mlbuffet.runtimes import Runtimes

LOADERS = 4
"""How many models may be loaded at once, so that one that takes long does not hold up the others."""


class Loading:
    """The loads of one repository, which changes under ``lock``.

    ``begins`` is called with a version before it is loaded, ``ended`` after that, under the lock.
    """

    def __init__(
        self,
        lock: AbstractContextManager[object],
        runtimes: Runtimes,
        runtime: str | None,
        *,
        begins: Callable[[ModelVersion], None],
        ended: Callable[[ModelVersion], None],
    ) -> None:
        self._lock = lock
        self._runtimes = runtimes
        self._runtime = runtime
        self._begins = begins
        self._ended = ended
        self._workers = Workers(LOADERS, "mlbuffet-load")
        self._collector = GcPause()
        self._closed = False

    def request(self, version: ModelVersion) -> Future[None]:
        """The load of ``version``, begun unless it is under way; one for all who ask."""
        with self._lock:
            if version.loading is None:
                request = version.loading = Future()
                if self._closed:
                    request.set_result(None)
                else:
                    self._workers.submit(version.name, lambda: self._load(version, request))
            return version.loading

    def close(self) -> None:
        """Begin nothing more."""
        with self._lock:
            self._closed = True
        self._workers.close()

    def give_up(self, version: ModelVersion) -> None:
        """Let nobody wait for a load that will not begin."""
        if version.loading is not None:
            _end(version.loading)

    def _load(self, version: ModelVersion, request: "Future[None]") -> None:
        try:
            self._begins(version)
            with self._collector.during_load():
                version.load(self._runtimes, self._runtime)
            with self._lock:
                version.loading = None
                self._ended(version)
        finally:
            _end(request)


def _end(request: "Future[None]") -> None:
    with suppress(InvalidStateError):  # a repository that was closed ended it already
        request.set_result(None)
