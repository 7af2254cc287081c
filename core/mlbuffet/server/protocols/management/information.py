"""What is told about the versions of a model."""

from datetime import UTC, datetime
from pathlib import Path

from mlbuffet.repository import ModelRepository, State, StoredVersion
from mlbuffet.repository.uploads import read_provenance
from mlbuffet.server.protocols.management.answers import ModelInformation, VersionInformation, status


def model_information(repository: ModelRepository, name: str) -> ModelInformation:
    """All versions on disk of a model, and its default. Raises `ModelNotFound`."""
    stored = repository.stored(name)
    served = {version.version: version for version in repository.versions(name)}
    listed = {}
    for one in stored.versions:
        version = served.get(one.version)
        library = version.model.runtime.name if version and version.state is State.READY else ""
        listed[str(one.version)] = _version_information(one, stored.configuration.description, library)
    default = repository.get(name).version
    told = status(200, f"{len(listed)} versions; {default} is the default")
    return ModelInformation(http_status=told, tag_list_versions=listed, default_version=default)


def _version_information(stored: StoredVersion, description: str, library: str) -> VersionInformation:
    place = stored.place or stored.path
    uploaded = read_provenance(place)
    return VersionInformation(
        path=_relative(stored),
        file=uploaded.file if uploaded else stored.path.name,
        time=uploaded.time if uploaded else _changed(place),
        description=uploaded.description if uploaded and uploaded.description else description,
        ml_library=library,
        library_version=uploaded.library_version if uploaded else "",
    )


def _relative(stored: StoredVersion) -> str:
    """Where the artifact lies, from the folder of models on."""
    place = stored.place or stored.path
    top = place if place.is_file() or place.name == stored.name else place.parent
    return stored.path.relative_to(top.parent).as_posix()


def _changed(place: Path) -> str:
    try:
        return datetime.fromtimestamp(place.stat().st_mtime, UTC).isoformat(timespec="seconds")
    except FileNotFoundError:  # it is being removed
        return ""
