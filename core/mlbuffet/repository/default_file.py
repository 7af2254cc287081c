"""The hidden file beside a model's versions that says which of them is the default."""

from contextlib import suppress
from pathlib import Path

from mlbuffet.repository.disk import Disk
from mlbuffet.version_numbers import version_number

FILE_NAME = ".default"


def read_default_version(model_folder: Path) -> int | None:
    """The version that was chosen, if one was; a file without a version's number is ignored."""
    with suppress(OSError):
        return version_number((model_folder / FILE_NAME).read_bytes().decode("latin-1").removesuffix("\n"))
    return None


def write_default_version(model_folder: Path, version: int | None, prepared: Path, disk: Disk) -> None:
    """Choose a version, or none; ``prepared`` is a path in the same file system for the new file."""
    pointer = model_folder / FILE_NAME
    if version is not None:
        disk.write_file(prepared, b"%d\n" % version)
        disk.sync(prepared)
        disk.rename(prepared, pointer)
    elif pointer.exists():
        disk.unlink(pointer)
    disk.sync(model_folder)
