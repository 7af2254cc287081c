"""``mlbuffet.load``: an artifact as it is, or the default version of a model as its ``model.toml`` wants it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlbuffet.artifact import check_path, readable
from mlbuffet.model import Model, load_artifact
from mlbuffet.runtimes import Runtimes, installed_runtimes


def load(
    path: str | os.PathLike[str],
    *,
    runtime: str | None = None,
    options: Mapping[str, Any] | None = None,
    runtimes: Runtimes | None = None,
) -> Model:
    """Load the artifact at ``path``, a file or a folder, or the folder of a model.

    Of the folder of a model its default version is loaded, with the runtime, the options and the default signature of
    its ``model.toml``. ``runtime`` names the runtime to use; without it the one that accepts the artifact is chosen.
    ``options`` are that runtime's own, and go before those of ``model.toml``. ``runtimes`` are the runtimes to choose
    from; without it those installed.

    Raises `ArtifactNotFound`, `ArtifactUnreadable`, `NoRuntime`, `NotOneArtifact`, `AmbiguousRuntime`,
    `InvalidConfiguration`, `InvalidOptions` or `LoadFailed`.
    """
    place = Path(path)
    check_path(place)
    if runtimes is None:
        runtimes = installed_runtimes()
    if not place.is_dir():
        return load_artifact(place, runtimes, runtime, options or {})
    from mlbuffet.repository.single import load_model  # most programs load files, and need none of it

    with readable(place):
        return load_model(place, runtimes, runtime, options or {})
