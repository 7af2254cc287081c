"""One model from its folder, for a program without a server."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbuffet.artifact import check_artifact
from mlbuffet.errors import InvalidConfiguration, MLBuffetError
from mlbuffet.load_context import LoadContext
from mlbuffet.model import Model, load_artifact
from mlbuffet.repository.configuration import FILE_NAME, Configuration
from mlbuffet.repository.layout import Finder, StoredModel
from mlbuffet.repository.warmup import with_default_signature
from mlbuffet.runtime_choice import Preference, Wanted, names_of
from mlbuffet.runtimes import Runtimes


@dataclass(frozen=True, slots=True)
class FoundArtifact:
    """The artifact of a model's default version, and how it is to be loaded."""

    path: Path
    runtime: Wanted
    configuration: Configuration
    name: str
    version: int | None


def load_model(folder: Path, runtimes: Runtimes, runtime: Wanted, options: Mapping[str, Any]) -> Model:
    """The default version of the model in ``folder``, which may be an artifact itself.

    ``runtime`` and ``options`` go before those of its ``model.toml``, but for a `Preference`. Raises what
    `load_artifact` does, and `InvalidConfiguration` or `DuplicateModel` for a folder that cannot be served either.
    """
    found = find_artifact(folder, runtimes, runtime)
    configuration = found.configuration
    from_file = configuration.options.keys() - options.keys()
    all_options = {**configuration.options, **options}
    confined, context = folder if from_file else None, LoadContext(name=found.name, version=found.version)
    model = load_artifact(found.path, runtimes, found.runtime, all_options, confined=confined, context=context)
    try:
        return with_default_signature(model, configuration)
    except MLBuffetError:
        model.close()
        raise


def find_artifact(folder: Path, runtimes: Runtimes, runtime: Wanted) -> FoundArtifact:
    """What `load_model` loads. Raises `InvalidConfiguration`, `DuplicateModel` or `ArtifactUnreadable`."""
    stored = Finder(runtimes, runtime).model(folder) or StoredModel(folder.name, ())
    if stored.error is not None:
        raise stored.error
    version, place = _default(folder, stored)
    if place == folder:
        check_artifact(folder)
    configuration = stored.configuration
    configured = configuration.runtime
    if configured is None or isinstance(runtime, Preference):
        wanted = configured or runtime
        artifact = Finder(runtimes, wanted).artifact(place)
        return FoundArtifact(artifact, wanted, configuration, stored.name, version)
    wanted = runtime or configured
    artifact = Finder(runtimes, wanted).artifact(place)
    if wanted is runtime and _chosen(artifact, runtimes, runtime) not in names_of(configured):
        configuration = Configuration()  # what it says is meant for another runtime
    return FoundArtifact(artifact, wanted, configuration, stored.name, version)


def _chosen(artifact: Path, runtimes: Runtimes, runtime: Wanted) -> str | None:
    try:
        return runtimes.select(artifact, runtime).name
    except MLBuffetError:  # loading raises it, with more to say
        return None


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
