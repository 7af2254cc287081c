"""Information about the versions of a model."""

from datetime import UTC, datetime
from pathlib import Path

from mlbuffet.description import described
from mlbuffet.repository import ModelRepository, Provenance, State, StoredVersion
from mlbuffet.repository.received_upload import read_provenance
from mlbuffet.server.protocols.management.answers import ModelInformation, VersionInformation, status


def model_information(repository: ModelRepository, name: str) -> ModelInformation:
    """All versions on disk of a model, and its default. Raises `ModelNotFound`."""
    stored = repository.stored(name)
    served = {version.version: version for version in repository.versions(name)}
    listed = {}
    for one in stored.versions:
        version = served.get(one.version)
        about = _version_information(one, stored.configuration.description)
        if version and version.state is State.READY:
            about["ml_library"] = version.model.runtime.name
            about["signatures"] = described(version.model.signatures)
        if version and version.reason:
            about["reason"] = version.reason
        listed[str(one.version)] = about
    default = repository.get(name).version
    known = status(200, f"{len(listed)} versions; {default} is the default")
    return ModelInformation(http_status=known, tag_list_versions=listed, default_version=default)


def _version_information(stored: StoredVersion, description: str) -> VersionInformation:
    place = stored.place or stored.path
    unknown = Provenance(file=stored.path.name, time=_changed(place), description="", library_version="")
    uploaded = read_provenance(place) or unknown
    return VersionInformation(
        path=_relative(stored),
        file=uploaded.file,
        time=uploaded.time,
        description=uploaded.description or description,
        ml_library="",
        library_version=uploaded.library_version,
        options=uploaded.options,
    )


def _relative(stored: StoredVersion) -> str:
    """The path of the artifact below the folder of models."""
    place = stored.place or stored.path
    top = place if place.is_file() or place.name == stored.name else place.parent
    return stored.path.relative_to(top.parent).as_posix()


def _changed(place: Path) -> str:
    try:
        return datetime.fromtimestamp(place.stat().st_mtime, UTC).isoformat(timespec="seconds")
    except FileNotFoundError:  # it is being removed
        return ""
