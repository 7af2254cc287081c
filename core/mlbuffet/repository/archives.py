"""Zip files that are uploaded: unpacked, and weighed where they lie in others."""

import zipfile
from contextlib import suppress
from pathlib import Path

from mlbuffet.archives import DAMAGED, METHODS, Budget, checked, opened, pieces, refused
from mlbuffet.errors import LoadFailed
from mlbuffet.repository.disk import Disk, discard

MAX_FILES = 10_000
MAX_NESTED = 8
_ZIP = b"PK\3\4"


def unpack(archive: Path, folder: Path, budget: Budget, disk: Disk) -> None:
    """Write what is in the zip file ``archive`` to the new ``folder``. Raises `LoadFailed`: nothing is mended."""
    with opened(archive) as source:
        entries = checked(source, budget, MAX_FILES)
        for entry in entries:
            if any(part.startswith(".") for part in entry.filename.split("/")):
                raise refused(entry, "a name that begins with a dot, which is not part of a model")
        disk.make_folder(folder)
        for entry in entries:
            target = folder / entry.filename
            _make_folders(folder, target if entry.is_dir() else target.parent, disk)
            if not entry.is_dir():
                _write(source, entry, target, disk)


def weigh(file: Path, budget: Budget, scratch: Path, disk: Disk, *, deeper: int = MAX_NESTED) -> None:
    """Spend what a runtime could unpack: what is in ``file``, if it is a zip file, and in those that are in it.

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
            if _is_copied(archive, entry, scratch, disk):
                weigh(scratch, budget, scratch.with_suffix(f".{deeper}"), disk, deeper=deeper - 1)
            discard(scratch)


def _is_copied(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, disk: Disk) -> bool:
    """Whether ``entry`` begins as a zip file, and was written to ``target``."""
    if entry.compress_type not in METHODS:
        return False
    with suppress(*DAMAGED), archive.open(entry) as content:
        if content.read(len(_ZIP)) == _ZIP:
            _write(archive, entry, target, disk)
            return True
    return False


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, disk: Disk) -> None:
    with disk.create(target) as file:
        for piece in pieces(archive, entry):
            disk.write(file, piece)


def _make_folders(top: Path, folder: Path, disk: Disk) -> None:
    missing = [one for one in (folder, *folder.parents) if one.is_relative_to(top) and not one.is_dir()]
    for one in reversed(missing):
        disk.make_folder(one)
