"""Loads in the background: the versions of a model one after the other, each once for all callers, and again later."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from queue import SimpleQueue
from threading import Thread, Timer, current_thread

from mlbuffet.load_context import NoOtherModels, OtherModels
from mlbuffet.load_turn import load_turns_given_up
from mlbuffet.repository.gc_pause import GcPause
from mlbuffet.repository.version_lifecycle import ModelVersion
from mlbuffet.runtime_choice import Preference
from mlbuffet.runtimes import Runtimes

LOADERS = 4
"""How many models may be loaded at once, so that one that takes long does not hold up the others."""


class LoadQueue:
    """The loads of one repository, which changes under ``lock``.

    ``begins`` is called with a version before it is loaded, ``ended`` after that, under the lock; ``others`` gives the
    models that it may call. The threads are daemons: an import of TensorFlow cannot be interrupted, and Ctrl-C must not
    wait for it.
    """

    def __init__(
        self,
        lock: AbstractContextManager[object],
        runtimes: Runtimes,
        preference: Preference | None,
        *,
        begins: Callable[[ModelVersion], None],
        ended: Callable[[ModelVersion], None],
        others: Callable[[ModelVersion], AbstractContextManager[OtherModels]] = lambda _: nullcontext(NoOtherModels()),
    ) -> None:
        self._lock = lock
        self._runtimes = runtimes
        self._preference = preference
        self._begins = begins
        self._ended = ended
        self._others = others
        self._threads: list[Thread] = []
        self._blocked = 0
        """How many threads wait in a load for another load."""
        self._waiting: dict[str, deque[tuple[ModelVersion, Future[None]]]] = {}
        """By model; the first is under way, or will be in the model's turn."""
        self._turns = SimpleQueue[str | None]()
        self._timers: list[Timer] = []
        self._gc_pause = GcPause()
        self._closed = False

    def request(self, version: ModelVersion) -> Future[None]:
        """The load of ``version``, begun unless it is under way; one for all callers."""
        with self._lock:
            if version.loading is None:
                version.loading = Future()
                if self._closed:
                    version.loading.set_result(None)
                else:
                    self._submit(version, version.loading)
            return version.loading

    def request_later(self, version: ModelVersion, seconds: float) -> None:
        """Load ``version`` then, unless it is retired by that time."""
        with self._lock:
            if not self._closed:
                timer = Timer(seconds, self._request_if_in_use, [version])
                timer.daemon = True
                timer.start()
                self._timers = [*filter(Timer.is_alive, self._timers), timer]

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While the load in this thread, if there is one, waits for another: a thread takes its place."""
        is_load = current_thread() in self._threads
        with self._lock:
            self._blocked += is_load
            self._add_thread()
        try:
            with load_turns_given_up():
                yield
        finally:
            with self._lock:
                self._blocked -= is_load

    def close(self) -> None:
        """Begin nothing more, and let the threads end."""
        with self._lock:
            self._closed = True
            for timer in self._timers:
                timer.cancel()
            for _ in self._threads:
                self._turns.put(None)

    def _request_if_in_use(self, version: ModelVersion) -> None:
        with self._lock:
            if not version.retired:
                self.request(version)

    def _submit(self, version: ModelVersion, request: Future[None]) -> None:
        if version.name not in self._waiting:
            self._turns.put(version.name)
        self._waiting.setdefault(version.name, deque()).append((version, request))
        self._add_thread()

    def _add_thread(self) -> None:
        if not self._closed and len(self._threads) < min(LOADERS + self._blocked, len(self._waiting)):
            self._threads.append(Thread(target=self._run, name="mlbuffet-load", daemon=True))
            self._threads[-1].start()

    def _run(self) -> None:
        while (model := self._turns.get()) is not None:
            with self._lock:
                waiting = self._waiting[model]
            if not self._closed:
                self._load(*waiting[0])
            with self._lock:
                waiting.popleft()
                if waiting:
                    self._turns.put(model)
                else:
                    del self._waiting[model]
                if len(self._threads) > LOADERS + self._blocked:
                    self._threads.remove(current_thread())
                    return

    def _load(self, version: ModelVersion, request: Future[None]) -> None:
        try:
            self._begins(version)
            with self._gc_pause.during_load(), self._others(version) as others:
                version.load(self._runtimes, self._preference, others)
            with self._lock:
                version.loading = None
                self._ended(version)
        finally:
            end_request(request)


def end_request(request: Future[None]) -> None:
    """End the waiting for a load."""
    with suppress(InvalidStateError):  # a repository that was closed ended it already
        request.set_result(None)
