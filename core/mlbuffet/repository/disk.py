"""The operations of a file system by which models are stored, each of which can fail."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from mlbuffet.errors import StorageFailed, StorageFull

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Disk:
    """What was written survives a crash once it was synced, and the folder that holds its name was too."""

    def make_folder(self, path: Path) -> None:
        """Make a folder that is not there yet."""
        path.mkdir()

    def create(self, path: Path) -> BinaryIO:
        """A file that is not there yet, to write to."""
        return path.open("xb", buffering=0)

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Write all of ``data``: a disk that is nearly full takes a part, and fails at the next."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file.fileno(), rest) :]

    def sync(self, path: Path) -> None:
        """Wait until the content of a file, or the names in a folder, would survive a crash."""
        descriptor = os.open(path, os.O_RDONLY | (0 if path.is_dir() else os.O_NOFOLLOW))  # a folder may be a link
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Rename a file or folder atomically; a folder never replaces one that is not empty."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def write_file(self, path: Path, data: bytes) -> None:
        """Write a new file with this content."""
        with self.create(path) as file:
            self.write(file, data)

    def sync_all(self, folder: Path) -> None:
        """Sync a folder with all that is in it."""
        for parent, _, names in os.walk(folder, topdown=False):
            for name in names:
                self.sync(Path(parent, name))
            self.sync(Path(parent))


def discard(path: Path) -> None:
    """Remove a file or folder as far as possible; the rest is removed at the next start."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def storing() -> Iterator[None]:
    """Raises `StorageFull` or `StorageFailed` where the file system fails."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise (StorageFull if error.errno in _FULL else StorageFailed)(reason) from error
