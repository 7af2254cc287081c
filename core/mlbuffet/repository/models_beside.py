"""The models that one may call which lies in no repository of this process."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mlbuffet.load_context import OtherModel
from mlbuffet.repository.callable_models import CallableModels
from mlbuffet.repository.configuration import Configuration
from mlbuffet.repository.eviction import Residency
from mlbuffet.repository.layout import DEFAULTS, StoredVersion
from mlbuffet.repository.named_place import NamedPlace
from mlbuffet.repository.repository import ModelRepository
from mlbuffet.repository.sources import Sources
from mlbuffet.repository.version_lifecycle import ModelVersion
from mlbuffet.runtime_choice import Wanted
from mlbuffet.runtimes import Runtimes
from mlbuffet.scheduling import Scheduling


class ModelsBeside:
    """An `mlbuffet.hookspecs.OtherModels` of the models at ``places``, each loaded when it is asked for.

    ``name`` is the model that asks, whose artifact is at ``path``. As a context manager it unloads them.
    """

    def __init__(
        self,
        places: Sequence[Path | NamedPlace],
        name: str,
        path: Path,
        runtimes: Runtimes,
        wanted: Wanted = None,
        configuration: Configuration = DEFAULTS,
    ) -> None:
        self._places = places
        self._name = name
        self._path = path
        self._runtimes = runtimes
        self._wanted = wanted
        self._configuration = configuration
        self._repositories: list[ModelRepository] = []

    def __getitem__(self, name: str) -> OtherModel:
        return self._models[name]

    def __enter__(self) -> "ModelsBeside":
        return self

    def __exit__(self, *_: Any) -> None:
        for repository in self._repositories:
            repository.close()

    @cached_property
    def _models(self) -> CallableModels:
        self._runtimes.discover()  # they may be of others than the one that asks
        repository = ModelRepository(self._runtimes, self._wanted, Residency(lazy=True))
        self._repositories.append(repository)
        repository.update(Sources(self._places, self._runtimes, self._wanted).find(may_be_empty=True))
        asking = ModelVersion(
            StoredVersion(self._name, 0, self._path), Scheduling(), self._configuration, None, lambda _: None
        )
        return CallableModels(repository, asking)


def models_beside(path: Path, runtimes: Runtimes, wanted: Wanted) -> ModelsBeside:
    """Those in the folder of models in which the model at ``path``, or its version, lies."""
    model = _absolute(path)
    if model.name.isdigit():
        model = model.parent
    return ModelsBeside([model.parent], model.stem if model.is_file() else model.name, path, runtimes, wanted)


def _absolute(path: Path) -> Path:
    """``path`` without ``..``; a link is followed only before one, for it names the model where it lies."""
    parts = path.absolute().parts
    upward = len(parts) - parts[::-1].index("..") if ".." in parts else 0
    return Path(*parts[:upward]).resolve().joinpath(*parts[upward:])
