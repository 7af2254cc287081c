"""A version that is being uploaded: its file as it arrives, and its folder before it is published."""

import os
import re
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mlbuffet.archives import DAMAGED, METHODS, Budget, checked, opened, pieces, refused
from mlbuffet.errors import LoadFailed, UploadRefused, UploadTooLarge
from mlbuffet.repository.configuration import FILE_NAME as CONFIGURATION_FILE
from mlbuffet.repository.disk import Disk, discard, storing

PROVENANCE_FILE = ".upload.json"
MAX_FILES = 10_000
MAX_NESTED = 8
_SUFFIX = re.compile(r"\.[A-Za-z0-9_]{1,16}")
_ZIP = b"PK\3\4"


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Where an uploaded version came from, as the hidden file in its folder says."""

    file: str
    """The name of the file that was sent."""
    time: str
    """When, in UTC as ISO 8601 has it."""
    description: str = ""
    library_version: str = ""
    runtime: str | None = None
    """The runtime that the client named."""
    options: dict[str, Any] = {}
    """The options that the client gave."""


def is_uploaded(version_folder: Path) -> bool:
    """Whether the version in this folder was uploaded; no file of an upload has a name that begins with a dot."""
    return os.path.exists(version_folder / PROVENANCE_FILE)  # noqa: PTH110  what cannot be read is no error


def came_with_an_upload(place: Path) -> bool:
    """Whether ``place`` was uploaded, as a version or within one, wherever a link leads."""
    folders = {folder for one in (place.absolute(), place.resolve()) for folder in (one, *one.parents)}
    return any(map(is_uploaded, folders))


def read_provenance(version_folder: Path) -> Provenance | None:
    """Where a version came from, if it was uploaded; what lies within one, or beside a damaged file, came from nobody
    who can be named.
    """
    nobody = Provenance(file="", time="")
    try:
        return msgspec.json.decode((version_folder / PROVENANCE_FILE).read_bytes(), type=Provenance)
    except msgspec.DecodeError:
        return nobody
    except OSError:
        return nobody if came_with_an_upload(version_folder) else None


class Upload:
    """A place for one version in ``folder``, which is made; nothing in it is served before it is published."""

    def __init__(self, folder: Path, limit: int, disk: Disk) -> None:
        self._folder = folder
        self._limit = limit
        self._disk = disk
        disk.make_folder(folder)
        self._received = folder / "received"
        self._file: BinaryIO = disk.create(self._received)
        self._size = 0
        self.content = folder / "content"
        """The folder of the version, after `unpack`."""

    def write(self, data: bytes) -> None:
        """Take more of the file. Raises `UploadTooLarge` and `StorageFailed`."""
        self._size += len(data)
        if self._size > self._limit:
            raise UploadTooLarge(self._limit)
        with storing():
            self._disk.write(self._file, data)

    def unpack(self, provenance: Provenance) -> None:
        """Make the version's folder of the file, which is its only one or a zip of all. Raises `UploadRefused`."""
        self._file.close()
        if not self._size:
            raise UploadRefused("the upload is empty")
        budget = Budget(self._size, self._limit)
        try:
            self._fill(Path(provenance.file).suffix.lower(), budget)
            for file in self.content.rglob("*"):
                if file.is_file():
                    _spend(file, budget, self._folder / "nested", self._disk)
        except LoadFailed as error:
            raise UploadTooLarge(self._limit) if budget.is_exceeded else UploadRefused(error.reason) from error
        self._disk.write_file(self.content / PROVENANCE_FILE, msgspec.json.encode(provenance))

    def _fill(self, suffix: str, budget: Budget) -> None:
        if suffix == ".zip":
            _unpack(self._received, self.content, budget, self._disk)
            match list(self.content.iterdir()):
                case [only] if only.is_dir():  # the folder was zipped, and not what is in it
                    self.content = only
        else:
            self._disk.make_folder(self.content)
            name = "model" + (suffix if _SUFFIX.fullmatch(suffix) else "")
            self._disk.rename(self._received, self.content / name)

    def discard(self) -> None:
        """Remove what was not published."""
        self._file.close()
        discard(self._folder)


def _unpack(archive: Path, folder: Path, budget: Budget, disk: Disk) -> None:
    """Write what is in the zip file ``archive`` to the new ``folder``. Raises `LoadFailed`: nothing is mended."""
    with opened(archive) as source:
        entries = checked(source, budget, MAX_FILES)
        for entry in entries:
            if any(part.startswith(".") for part in entry.filename.split("/")):
                raise refused(entry, "a name that begins with a dot, which is not part of a model")
        disk.make_folder(folder)
        for entry in entries:
            target = folder / entry.filename
            if target.name == CONFIGURATION_FILE:  # an upload says nothing of how it is run, wherever its files go
                continue
            parent = target if entry.is_dir() else target.parent
            missing = [one for one in (parent, *parent.parents) if one.is_relative_to(folder) and not one.is_dir()]
            for one in reversed(missing):
                disk.make_folder(one)
            if not entry.is_dir():
                _write(source, entry, target, disk)


def _spend(file: Path, budget: Budget, scratch: Path, disk: Disk, *, deeper: int = MAX_NESTED) -> None:
    """Spend what a runtime could unpack: what is in ``file``, if it is a zip file, and in the zip files in it.

    Those are written to ``scratch``, a path at which there is nothing, one after the other. Raises `LoadFailed`.
    """
    if not zipfile.is_zipfile(file):
        return
    if not deeper:
        raise LoadFailed(f"more than {MAX_NESTED} zip files lie in each other")
    with suppress(*DAMAGED), zipfile.ZipFile(file) as archive:  # what cannot be unpacked does no harm
        entries = archive.infolist()
        budget.spend(sum(entry.file_size for entry in entries))
        for entry in entries:
            if _is_zip(archive, entry):
                with suppress(*DAMAGED):
                    _write(archive, entry, scratch, disk)
                    _spend(scratch, budget, scratch.with_suffix(f".{deeper}"), disk, deeper=deeper - 1)
            discard(scratch)


def _is_zip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    with suppress(*DAMAGED), archive.open(entry) as content:
        return entry.compress_type in METHODS and content.read(len(_ZIP)) == _ZIP
    return False


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, disk: Disk) -> None:
    with disk.create(target) as file:
        for piece in pieces(archive, entry):
            disk.write(file, piece)
