"""Where the files of one model lie, so that a replica looks at no other."""

from collections.abc import Sequence
from pathlib import Path

from mlbuffet.repository import NamedPlace, RemoteFolder, StoredModel, source_of, split_name
from mlbuffet.version_numbers import version_number


def place_from(text: str) -> Path | RemoteFolder | NamedPlace:
    """What a path, a URL or NAME=PLACE means. Raises `InvalidPlace`."""
    name, path = split_name(text)
    return source_of(path) if name is None else NamedPlace(name, source_of(path))


def places_of(model: StoredModel, places: Sequence[Path | RemoteFolder | NamedPlace]) -> tuple[str, ...]:
    """``NAME=PLACE`` for each folder or file that holds versions of ``model``, which was found at ``places``."""
    found = []
    for stored in model.versions:
        path = stored.place or stored.path
        is_version = path.is_dir() and path.name != model.name and version_number(path.name) is not None
        place = f"{model.name}={_address(path.parent if is_version else path, places)}"
        if place not in found:
            found.append(place)
    return tuple(found)


def _address(path: Path, places: Sequence[Path | RemoteFolder | NamedPlace]) -> str:
    """The URL of what was copied from one, else the path."""
    for one in places:
        remote = one.place if isinstance(one, NamedPlace) else one
        if isinstance(remote, RemoteFolder) and path.is_relative_to(remote.path):
            below = path.relative_to(remote.path).as_posix()
            return remote.url if below == "." else f"{remote.url.rstrip('/')}/{below}"
    return str(path.absolute())
