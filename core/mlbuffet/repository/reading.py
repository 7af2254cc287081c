"""The files of a version, which stay until they are read to the end, also where it is removed meanwhile."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Condition
from typing import BinaryIO

from mlbuffet.repository.configuration import FILE_NAME
from mlbuffet.repository.layout import StoredVersion


class Files:
    """All files of a version, by their paths below its folder."""

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
                if not name.startswith(".") and path != FILE_NAME:
                    yield path


class Readers:
    """Counts the readers of each version, so that its files are removed after the last."""

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
            with closing(Files(stored)) as files:
                yield files
        finally:
            with self._ended:
                self._reading[place] -= 1
                self._ended.notify_all()

    def wait(self, place: Path) -> None:
        """Wait until the last reader of what was at ``place`` has ended."""
        with self._ended:
            self._ended.wait_for(lambda: not self._reading[place])
            del self._reading[place]
