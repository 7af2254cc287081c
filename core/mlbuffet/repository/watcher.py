"""A thread that looks for changes on disk."""

import logging
import os
import time
from threading import Event, Thread, current_thread

from watchfiles import watch

from mlbuffet.errors import MLBuffetError
from mlbuffet.repository.catalog import Catalog

TICK = 0.25
"""How often it is checked whether what was seen is at rest, in seconds."""
POLL = 5.0
"""How often everything is looked through without an event: network file systems have none for what others change."""

logger = logging.getLogger(__name__)


class Watcher:
    """Looks through the sources of ``catalog`` at every event of the file system, and every few seconds without one."""

    def __init__(self, catalog: Catalog, *, events: bool = True, poll: float = POLL) -> None:
        self._catalog = catalog
        self._paths = catalog.sources.paths
        self._events = events
        self._poll = poll
        self._looked = time.monotonic()
        self._rearm_at = 0.0
        self._complaint = ""
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="mlbuffet-watch", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more, and wait for the thread."""
        self._stopping.set()
        if self._thread is not current_thread():  # in which garbage may be collected that is watched
            self._thread.join()

    def _run(self) -> None:
        self._look()  # at what changed since the models were found
        while not self._stopping.is_set():
            if self._events and time.monotonic() >= self._rearm_at:
                moved = self._follow_events()
                self._rearm_at = time.monotonic() + (0.0 if moved else self._poll)
            if not self._stopping.wait(TICK):
                self._look_if_due(changed=False)

    def _follow_events(self) -> bool:
        """Look at every event, until there can be none: a root was removed, or the system has no watches left.

        Events come from where a root is at the beginning; the result says whether a link to one has moved since.
        """
        places = self._places()
        try:
            for changes in watch(
                *self._paths,
                watch_filter=None,
                stop_event=self._stopping,
                debounce=int(TICK * 1000),
                rust_timeout=int(TICK * 1000),
                yield_on_timeout=True,
                raise_interrupt=False,
            ):
                moved = self._places() != places
                self._look_if_due(changed=bool(changes) or moved)
                if moved or not all(path.exists() for path in self._paths):
                    return moved
        except (OSError, RuntimeError) as error:  # watchfiles raises its own as RuntimeError
            self._complain(f"no events from the file system, which is looked at every {self._poll:g} s: {error}")
        return False

    def _places(self) -> list[str]:
        return [os.path.realpath(path) for path in self._paths]

    def _look_if_due(self, *, changed: bool) -> None:
        if changed or self._catalog.waiting or time.monotonic() - self._looked >= self._poll:
            self._look()

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            self._catalog.look()
        except (MLBuffetError, OSError) as error:  # a root that was removed does not unload its models
            self._complain(f"the models stay as they were: {error}")

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            self._complaint = what
            logger.warning(what)
