"""The models beside an artifact, for one that calls others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mlbuffet.errors import LoadFailed
from mlbuffet.load_context import LoadContext
from mlbuffet.model import Model, load_artifact
from mlbuffet.runtimes import Runtimes, installed_runtimes


class Neighbour:
    """An `mlbuffet.hookspecs.OtherModel`, of which there is one version."""

    def __init__(self, name: str, model: Model) -> None:
        self.name = name
        self.signatures = model.signatures
        self._model = model

    def predict(
        self,
        inputs: Mapping[str, Any],
        *,
        signature: str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        deadline: float | None = None,
    ) -> dict[str, NDArray[Any]]:
        """See `mlbuffet.hookspecs.OtherModel`."""
        return self._model.predict(
            inputs, signature=signature, outputs=outputs, parameters=parameters, deadline=deadline
        )

    def held(self) -> "Neighbour":
        """See `mlbuffet.hookspecs.OtherModel`."""
        return self

    def __enter__(self) -> "Neighbour":
        return self

    def __exit__(self, *_: object) -> None:
        """It stays as long as its caller."""


class Neighbours:
    """An `mlbuffet.hookspecs.OtherModels` of the artifacts at ``paths``, which are loaded when they are asked for."""

    def __init__(self, paths: Mapping[str, Path], plugin: Runtimes) -> None:
        self._paths = paths
        self._plugin = plugin

    def __getitem__(self, name: str) -> Neighbour:
        """The model called ``name``. Raises `LoadFailed` where there is none."""
        if name not in self._paths:
            raise LoadFailed(f"it calls the model {name!r}, and there is none of that name beside it")
        path = self._paths[name]
        own = any(one.accepts(path) for one in self._plugin)
        return Neighbour(name, load_artifact(path, self._plugin if own else installed_runtimes(), None, {}))


def context_of(beside: Mapping[str, Path], plugin: Runtimes) -> LoadContext:
    """What an artifact is loaded with whose models ``beside`` are run by ``plugin``, or by installed runtimes."""
    return LoadContext(name="model", models=Neighbours(beside, plugin))
