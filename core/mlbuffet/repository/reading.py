"""The files of a version, which stay until they are copied elsewhere, though it be removed meanwhile."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition
from typing import BinaryIO

from mlbuffet.repository import configuration
from mlbuffet.repository.layout import StoredVersion


class Files:
    """All files of a version, by their paths below its folder; a context manager."""

    def __init__(self, stored: StoredVersion) -> None:
        place = stored.place or stored.path
        self._folder = os.open(place if place.is_dir() else place.parent, os.O_RDONLY | os.O_DIRECTORY)
        self.names = sorted(self._found()) if place.is_dir() else [place.name]

    def open(self, name: str) -> BinaryIO:
        """One of the files. Raises ``OSError``."""
        return os.fdopen(os.open(name, os.O_RDONLY, dir_fd=self._folder), "rb")

    def close(self) -> None:
        """Open no more files."""
        os.close(self._folder)

    def _found(self) -> Iterator[str]:
        seen = set()
        for parent, folders, names, descriptor in os.fwalk(dir_fd=self._folder, follow_symlinks=True):
            place = os.fstat(descriptor)
            if (place.st_dev, place.st_ino) in seen:  # a link leads back
                folders.clear()
                continue
            seen.add((place.st_dev, place.st_ino))
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = os.path.normpath(Path(parent, name))
                if not name.startswith(".") and path != configuration.FILE_NAME:
                    yield path


class Readers:
    """Who is reading which version, so that those who remove it wait for them."""

    def __init__(self) -> None:
        self._reading: Counter[Path] = Counter()
        self._ended = Condition()

    @contextmanager
    def reading(self, stored: StoredVersion) -> Iterator[Files]:
        """The files of a version. Raises ``FileNotFoundError`` where it was removed."""
        place = stored.place or stored.path
        with self._ended:
            self._reading[place] += 1
        try:
            files = Files(stored)
            try:
                yield files
            finally:
                files.close()
        finally:
            with self._ended:
                self._reading[place] -= 1
                self._ended.notify_all()

    def wait(self, place: Path) -> None:
        """Until nobody reads what was at ``place``."""
        with self._ended:
            self._ended.wait_for(lambda: not self._reading[place])
            del self._reading[place]
