"""What a repository was told is on disk, by those who see it change and by those who change it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock

from mlbuffet.repository.layout import StoredModel
from mlbuffet.repository.sources import Sources
from mlbuffet.repository.stability import StabilityCheck


class Catalog:
    """The models at rest of all ``sources``; ``update`` is told all of them at every change."""

    def __init__(
        self, sources: Sources, models: list[StoredModel], update: Callable[[list[StoredModel]], None]
    ) -> None:
        self.sources = sources
        self._stability = StabilityCheck(models)
        self._update = update
        self._changes = 0
        self._lock = RLock()

    @property
    def waiting(self) -> bool:
        """Whether something was seen that is not at rest."""
        return self._stability.waiting

    def find(self, name: str) -> StoredModel | None:
        """The model of that name, as it was told."""
        with self._lock:
            return next((model for model in self._stability.models if model.name == name), None)

    def look(self) -> None:
        """See what changed on disk. Raises as `Sources.find` does."""
        with self._lock:
            before = self._changes
        models = self.sources.find(may_be_empty=True)
        with self._lock:
            if before != self._changes:  # what was seen may be older than the change; it is looked at again
                return
            settled = self._stability.observe(models, time.monotonic())
            if settled is not None:
                self._update(settled)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """While files are renamed, and until `take` is told of it."""
        with self._lock:
            self._changes += 1
            yield

    def take(self, name: str, version: int | None, found: StoredModel | None) -> None:
        """One version of a model, and its default, are as they were ``found`` from now on."""
        with self._lock:
            self._stability.take(name, version, found)
            self._update(self._stability.models)
