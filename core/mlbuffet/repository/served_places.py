"""The models at paths and URLs, as settings have them served."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlbuffet.errors import NoModelLoaded
from mlbuffet.repository.catalog import Catalog
from mlbuffet.repository.named_place import NamedPlace, split_name
from mlbuffet.repository.publishing import Publisher
from mlbuffet.repository.remote import RemoteFolder, source_of
from mlbuffet.repository.repository import ModelRepository
from mlbuffet.repository.settings import RepositorySettings
from mlbuffet.repository.sources import Sources
from mlbuffet.repository.upload_policy import UploadPolicy
from mlbuffet.repository.version_lifecycle import State
from mlbuffet.repository.watcher import Watcher
from mlbuffet.running_calls import RunningCalls
from mlbuffet.runtimes import Runtimes
from mlbuffet.scheduling import Scheduling


class ServedPlaces:
    """A repository of the models at ``places``, not loaded yet, and what follows them on disk.

    With ``may_be_empty`` it is of use without a model, because some may come; it always is where ``settings`` have
    models followed or loaded on demand. ``options`` are those of models, by name, and go before those of their
    ``model.toml``. Calls are noted in ``running``; one that takes longer than ``timeout`` seconds ends the process
    of a model that has one. Raises as `Sources.find` does, and ``ValueError`` for the URL of a cache.
    """

    def __init__(
        self,
        places: Sequence[str | os.PathLike[str]],
        runtimes: Runtimes,
        settings: RepositorySettings,
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        may_be_empty: bool = False,
        running: RunningCalls | None = None,
        timeout: float | None = None,
    ) -> None:
        cache, residency = settings.make_cache(), settings.residency
        self.may_be_empty = may_be_empty or settings.watch or residency.on_demand
        self.sources = Sources([_place(one) for one in places], runtimes, settings.preference)
        models = self.sources.find(may_be_empty=self.may_be_empty)
        scheduling = Scheduling(batching=settings.batching, limits=settings.limits, running=running)
        self.repository = ModelRepository(
            runtimes, settings.preference, residency, scheduling, cache, options, settings.isolation(timeout)
        )
        self.repository.update(models)
        self.names = [model.name for model in models]
        """Those of the models that are there at the start."""
        self.versions = list(self.repository)
        """Theirs."""
        self._catalog = Catalog(self.sources, models, self.repository.update)
        self._watch = settings.watch
        self._watcher: Watcher | None = None

    def publisher(self, policy: UploadPolicy) -> Publisher | None:
        """Through which clients change the models; ``None`` where there is no folder that they can be added to."""
        root = self.sources.writable
        return None if root is None else Publisher(root, self._catalog, self.repository, policy=policy)

    def follow(self) -> None:
        """Begin to watch, if the settings want that: when the models are loaded."""
        if self._watch:
            self._watcher = Watcher(self._catalog)
            self._watcher.start()

    def unfollow(self) -> None:
        """Watch no more."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()

    def reload(self) -> None:
        """Serve what is on disk now, and wait until each load was attempted. Raises as `Sources.find` does."""
        self._catalog.take_all()
        self.repository.wait_for_loads()

    @property
    def is_useless(self) -> bool:
        """Whether there is no model, and none can come."""
        return not self.may_be_empty and not any(version.state is State.READY for version in self.versions)

    def check_loaded(self) -> None:
        """Raise why the models failed where all did, `NoModelLoaded` if there are several, unless others may come."""
        failures = [version.error for version in self.versions if version.error]
        if len(failures) == len(self.versions) and not self.may_be_empty:
            raise failures[0] if len(failures) == 1 else NoModelLoaded(failures)


def _place(place: str | os.PathLike[str]) -> Path | RemoteFolder | NamedPlace:
    """What a path, a URL or NAME=PATH means. Raises `InvalidPlace`."""
    if not isinstance(place, str):
        return source_of(place)
    name, path = split_name(place)
    return source_of(path) if name is None else NamedPlace(name, source_of(path))
