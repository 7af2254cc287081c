"""One model at a path or a URL under a name that is given: ``NAME=PATH``."""

from dataclasses import dataclass
from pathlib import Path

from mlbuffet.errors import InvalidPlace
from mlbuffet.repository.names import MODEL_NAME
from mlbuffet.repository.remote import RemoteFolder


@dataclass(frozen=True, slots=True)
class NamedPlace:
    """An artifact, or the folder of one model, served under ``name``."""

    name: str
    place: Path | RemoteFolder


def split_name(text: str) -> tuple[str | None, str]:
    """The name and the path of ``NAME=PATH``; without a name for a path or a URL, in which ``=`` follows a slash.

    Raises `InvalidPlace` for what cannot be a model's name, and for no path.
    """
    name, equals, path = text.partition("=")
    if not equals or "/" in name:
        return None, text
    if MODEL_NAME.fullmatch(name) is None:
        raise InvalidPlace(
            text,
            f"{name!r} cannot be a model's name, which starts with a letter or digit and goes on with letters, digits, "
            f"'.', '_' and '-', 128 characters at most; a path that holds '=' is written './{text}'",
        )
    if not path:
        raise InvalidPlace(text, "write NAME=PATH, such as iris=/mnt/models")
    return name, path
