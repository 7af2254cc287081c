"""The models on disk that are at rest: a version that is still being written is none yet."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import RLock

from mlbuffet.repository.layout import StoredModel
from mlbuffet.repository.sources import Sources

STILL_SECONDS = 1.0

_Key = tuple[str, int | None]
"""A model's name and a version; without a version it is the model's configuration and default."""


class Catalog:
    """The models at rest of all ``sources``; ``update`` is called with all of them at every change."""

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
        return bool(self._stability.seen)

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

    def take_all(self) -> None:
        """Count all that is on disk now as at rest. Raises as `Sources.find` does."""
        with self._lock:
            self._changes += 1
            models = self.sources.find(may_be_empty=True)
            self._stability = StabilityCheck(models)
            self._update(models)

    @contextmanager
    def changing(self, folder: Path, version: int | None = None) -> Iterator[None]:
        """While files of the model in ``folder`` are renamed: then that version, and the default, are at rest."""
        with self._lock:
            self._changes += 1
            yield
            self._stability.take(folder.name, version, self.sources.finder.model(folder))
            self._update(self._stability.models)


class StabilityCheck:
    """The models at rest: each version and configuration as it last was for a second, or was renamed into place.

    A removal has to last as long, so that one thing put in the place of another is a change.
    """

    def __init__(self, models: Iterable[StoredModel]) -> None:
        self._settled = _parts(models)
        self.seen: dict[_Key, tuple[StoredModel | None, float]] = {}
        """What still changes, with the moment of its last change."""

    @property
    def models(self) -> list[StoredModel]:
        """All that is at rest."""
        found = []
        for name in sorted({name for name, _ in self._settled}):
            model = self._settled.get((name, None))
            versions = [one for (owner, _), part in self._settled.items() if owner == name for one in part.versions]
            if model is not None and versions:
                found.append(replace(model, versions=tuple(sorted(versions, key=lambda one: one.version))))
        return found

    def observe(self, models: Iterable[StoredModel], now: float) -> list[StoredModel] | None:
        """All that is at rest, given what is on disk at the moment ``now``, in seconds; ``None`` if nothing changed."""
        current = _parts(models)
        changed = False
        for key in current.keys() | self._settled.keys():
            part = current.get(key)
            if _is_same(part, self._settled.get(key)):
                self.seen.pop(key, None)
                continue
            before, since = self.seen.get(key, (None, now))
            if not _is_same(before, part):
                since = now
            self.seen[key] = (part, since)
            if now - since >= STILL_SECONDS or self._is_whole(key, part):
                changed = True
                del self.seen[key]
                self._settle(key, part)
        return self.models if changed else None

    def take(self, name: str, version: int | None, found: StoredModel | None) -> None:
        """Count the default, and one version, of a model as at rest, as they were ``found``."""
        if found is not None:
            model = self._settled.get((name, None), replace(found, versions=()))
            self._settled[name, None] = replace(model, default=found.default)
        if version is not None:
            self._settle((name, version), _parts([found] if found else []).get((name, version)))
            self.seen.pop((name, version), None)
        self.seen.pop((name, None), None)

    def _settle(self, key: _Key, part: StoredModel | None) -> None:
        if part is None:
            self._settled.pop(key, None)
        else:
            self._settled[key] = part

    def _is_whole(self, key: _Key, part: StoredModel | None) -> bool:
        if part is None:
            return False
        if part.versions:
            fingerprint = part.versions[0].fingerprint
            return fingerprint is not None and fingerprint.renamed
        return key not in self._settled  # of a new model, whose versions have to settle


def _parts(models: Iterable[StoredModel]) -> dict[_Key, StoredModel]:
    """The configuration and the versions of models, each by itself."""
    parts: dict[_Key, StoredModel] = {}
    for model in models:
        parts[model.name, None] = replace(model, versions=())
        parts.update({(model.name, one.version): StoredModel(model.name, (one,)) for one in model.versions})
    return parts


def _is_same(one: StoredModel | None, other: StoredModel | None) -> bool:
    if one is None or other is None:
        return one is other
    return str(one.error) == str(other.error) and replace(one, error=other.error) == other
