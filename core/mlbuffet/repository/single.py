"""One model from its folder, for a program without a server."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from msgspec.structs import replace as replaced

from mlbuffet.artifact import check_artifact, own_name
from mlbuffet.errors import InvalidConfiguration, MLBuffetError
from mlbuffet.load_context import LoadContext, OtherModels
from mlbuffet.model import Model
from mlbuffet.repository.configuration import FILE_NAME, Configuration
from mlbuffet.repository.layout import Finder, StoredModel, StoredVersion
from mlbuffet.repository.load_settings import load_settings
from mlbuffet.repository.received_upload import Provenance
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
    upload: Provenance | None
    """What the client said that sent the version, if one did; without what is meant for another runtime."""


def load_model(
    folder: Path, runtimes: Runtimes, runtime: Wanted, options: Mapping[str, Any], others: OtherModels
) -> Model:
    """The default version of the model in ``folder``, which may be an artifact itself.

    ``runtime`` and ``options`` go before those of its ``model.toml``, but for a `Preference`; it may call ``others``.
    Raises what `load_artifact` does, and `InvalidConfiguration` or `DuplicateModel` for a folder that cannot be served
    either.
    """
    found = find_artifact(folder, runtimes, runtime)
    settings = replace(load_settings(folder, found.configuration, found.upload, options, None), runtime=found.runtime)
    model = settings.load(found.path, runtimes, LoadContext(name=found.name, version=found.version, models=others))
    try:
        return with_default_signature(model, found.configuration)
    except MLBuffetError:
        model.close()
        raise


def find_artifact(folder: Path, runtimes: Runtimes, runtime: Wanted) -> FoundArtifact:
    """What `load_model` loads. Raises `InvalidConfiguration`, `DuplicateModel` or `ArtifactUnreadable`."""
    stored = Finder(runtimes, runtime).model(folder) or StoredModel(own_name(folder), ())
    if stored.error is not None:
        raise stored.error
    version = _default(folder, stored)
    place = (version.place if version else None) or folder
    if place == folder:
        check_artifact(folder)
    configuration = stored.configuration
    upload, number = (version.upload, version.version) if version else (None, None)
    stated = configuration.runtime or (upload.runtime if upload else None)
    if not runtime or not stated or isinstance(runtime, Preference):
        wanted = stated or runtime
        artifact = Finder(runtimes, wanted).artifact(place)
        return FoundArtifact(artifact, wanted, configuration, stored.name, number, upload)
    artifact = Finder(runtimes, runtime).artifact(place)
    chosen = _chosen(artifact, runtimes, runtime)  # what was said for another runtime is not meant for this one
    if configuration.runtime and chosen not in names_of(configuration.runtime):
        configuration = Configuration()
    if upload is not None and upload.runtime not in (None, chosen):
        upload = replaced(upload, runtime=None, options={})
    return FoundArtifact(artifact, runtime, configuration, stored.name, number, upload)


def _chosen(artifact: Path, runtimes: Runtimes, runtime: Wanted) -> str | None:
    try:
        return runtimes.select(artifact, runtime).name
    except MLBuffetError:  # loading raises it, with more to say
        return None


def _default(folder: Path, stored: StoredModel) -> StoredVersion | None:
    """The default version; ``None`` where the folder has none."""
    if not stored.versions:
        return None
    served = stored.wanted
    if not served:
        numbers = ", ".join(str(one.version) for one in stored.versions)
        raise InvalidConfiguration(folder / FILE_NAME, f"versions: none of those there are is selected: {numbers}")
    number = stored.default if stored.default in served else max(served)
    return served[number]
