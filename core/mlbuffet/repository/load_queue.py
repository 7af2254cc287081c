"""Threads that work in the background, one piece at a time for each key."""

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread


class Workers:
    """A few threads, daemons: an import of TensorFlow cannot be interrupted, and Ctrl-C must not wait for it."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._threads: list[Thread] = []
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        self._turns: SimpleQueue[str | None] = SimpleQueue()
        self._lock = Lock()
        self._closed = False

    def submit(self, key: str, work: Callable[[], None]) -> None:
        """Call ``work``, which does not raise, once all that was submitted for ``key`` before has ended."""
        with self._lock:
            if self._closed:
                return
            busy = key in self._waiting
            self._waiting.setdefault(key, deque()).append(work)
            if not busy:
                self._turns.put(key)
            if len(self._threads) < min(self._count, len(self._waiting)):
                self._threads.append(Thread(target=self._run, name=self._name, daemon=True))
                self._threads[-1].start()

    def close(self) -> None:
        """Begin nothing more, and let the threads end."""
        with self._lock:
            self._closed = True
            for _ in self._threads:
                self._turns.put(None)

    def _run(self) -> None:
        while (key := self._turns.get()) is not None:
            with self._lock:
                work = self._waiting[key][0]
            if not self._closed:
                work()
            with self._lock:
                self._waiting[key].popleft()
                if self._waiting[key]:
                    self._turns.put(key)
                else:
                    del self._waiting[key]
