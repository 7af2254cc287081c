"""One model from its folder, for a program without a server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlbuffet.artifact import check_artifact
from mlbuffet.errors import InvalidConfiguration, MLBuffetError
from mlbuffet.load_context import LoadContext
from mlbuffet.model import Model, load_artifact
from mlbuffet.repository.configuration import FILE_NAME, Configuration
from mlbuffet.repository.layout import Finder, StoredModel
from mlbuffet.repository.warmup import with_default_signature
from mlbuffet.runtimes import Runtimes


def load_model(folder: Path, runtimes: Runtimes, runtime: str | None, options: Mapping[str, Any]) -> Model:
    """The default version of the model in ``folder``, which may be an artifact itself.

    ``runtime`` and ``options`` go before those of its ``model.toml``. Raises what `load_artifact` does, and
    `InvalidConfiguration` or `DuplicateModel` for a folder that cannot be served either.
    """
    stored = Finder(runtimes, runtime).model(folder) or StoredModel(folder.name, ())
    if stored.error is not None:
        raise stored.error
    version, place = _default(folder, stored)
    if place == folder:
        check_artifact(folder)
    configuration = stored.configuration
    if runtime is not None and configuration.runtime not in (None, runtime):
        configuration = Configuration()  # what it says is meant for another runtime
    chosen = runtime or configuration.runtime
    artifact = Finder(runtimes, chosen).artifact(place)
    from_file = configuration.options.keys() - options.keys()
    all_options = {**configuration.options, **options}
    confined, context = folder if from_file else None, LoadContext(name=stored.name, version=version)
    model = load_artifact(artifact, runtimes, chosen, all_options, confined=confined, context=context)
    try:
        return with_default_signature(model, configuration)
    except MLBuffetError:
        model.close()
        raise


def _default(folder: Path, stored: StoredModel) -> tuple[int | None, Path]:
    """The default version, and its folder."""
    if not stored.versions:
        return None, folder
    served = stored.wanted
    if not served:
        numbers = ", ".join(str(one.version) for one in stored.versions)
        raise InvalidConfiguration(folder / FILE_NAME, f"versions: none of those there are is selected: {numbers}")
    number = stored.default if stored.default in served else max(served)
    return number, served[number].place or folder
