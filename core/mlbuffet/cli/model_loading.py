"""The model that a command runs, and those beside it, which it may call."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbuffet.errors import LoadFailed
from mlbuffet.load_context import OtherModel
from mlbuffet.loading import load_from
from mlbuffet.model import Model
from mlbuffet.places import place_of
from mlbuffet.runtime_choice import Wanted
from mlbuffet.runtimes import Runtimes

if TYPE_CHECKING:
    from mlbuffet.repository.models_beside import ModelsBeside


@contextmanager
def loaded(
    path: str | os.PathLike[str], runtimes: Runtimes, wanted: Wanted, options: Mapping[str, Any]
) -> Iterator[Model]:
    """As `load_from`, until the command has ended."""
    with ExitStack() as stack:
        others = _Others(path, runtimes, wanted, stack)
        yield stack.enter_context(load_from(path, runtimes, wanted, options, others))


class _Others:
    """An `mlbuffet.hookspecs.OtherModels` of the folder of models that the path lies in; unloaded with ``stack``."""

    def __init__(self, path: str | os.PathLike[str], runtimes: Runtimes, wanted: Wanted, stack: ExitStack) -> None:
        self._path = path
        self._runtimes = runtimes
        self._wanted = wanted
        self._stack = stack

    def __getitem__(self, name: str) -> OtherModel:
        return self._models[name]

    @cached_property
    def _models(self) -> "ModelsBeside":
        from mlbuffet.repository.models_beside import models_beside  # few models need it

        place = place_of(self._path)
        if not isinstance(place, Path):
            raise LoadFailed("it calls other models, of which none is copied with it; serve the folder that holds them")
        return self._stack.enter_context(models_beside(place, self._runtimes, self._wanted))
