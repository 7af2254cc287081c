"""Where an uploaded version came from: the small file that lies hidden in its folder."""

from pathlib import Path

import msgspec

FILE_NAME = ".upload.json"


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """What was told when a version was uploaded."""

    file: str
    """The name of the file that was sent."""
    time: str
    """When, in UTC as ISO 8601 has it."""
    description: str = ""
    library_version: str = ""

    def encoded(self) -> bytes:
        """The content of the file."""
        return msgspec.json.encode(self)


def is_uploaded(version_folder: Path) -> bool:
    """Whether the version in this folder was uploaded; no file of an upload has a name that begins with a dot."""
    return (version_folder / FILE_NAME).exists()


def read_provenance(version_folder: Path) -> Provenance | None:
    """What was told about a version, if it was uploaded."""
    try:
        return msgspec.json.decode((version_folder / FILE_NAME).read_bytes(), type=Provenance)
    except (OSError, msgspec.DecodeError):
        return None
