"""A hidden folder in a folder of models, where a server prepares what it adds and puts what it removes."""

import fcntl
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from threading import Lock

from mlbuffet.repository.disk import discard

FOLDER_NAME = ".mlbuffet"


class Staging:
    """A folder in the same file system, so that files are moved from and to it by renaming.

    Each process has one of its own, and holds a lock on it as long as it lives: what a process that died left behind
    is removed by the next.
    """

    def __init__(self, root: Path) -> None:
        self._parent = root / FOLDER_NAME
        self._folder: Path | None = None
        self._descriptor = -1
        self._lock = Lock()
        sweep(self._parent.glob("*"))
        self._remove_parent()

    def new(self) -> Path:
        """A path in the staging at which there is nothing yet."""
        with self._lock:
            while self._folder is None:
                self._parent.mkdir(exist_ok=True)
                folder = self._parent / token_hex(8)
                with suppress(FileNotFoundError):  # another process removed the parent meanwhile
                    folder.mkdir()
                    if (descriptor := locked(folder)) is not None:
                        self._folder, self._descriptor = folder, descriptor
            return self._folder / token_hex(8)

    def close(self) -> None:
        """Remove the staging with all that is in it."""
        with self._lock:
            if self._folder is not None:
                discard(self._folder)
                os.close(self._descriptor)
                self._folder = None
        self._remove_parent()

    def _remove_parent(self) -> None:
        with suppress(OSError):  # it is not there, or another process works in it
            self._parent.rmdir()


def sweep(folders: Iterable[Path], before: Callable[[Path], object] = lambda _: None) -> None:
    """Remove those of ``folders`` that no living process has locked, each of which ``before`` is called with."""
    for folder in folders:
        with suppress(OSError):  # it belongs to another user, or another process sweeps too
            if (descriptor := locked(folder)) is not None:
                before(folder)
                discard(folder)
                os.close(descriptor)


def locked(folder: Path) -> int | None:
    """A descriptor that holds the lock on ``folder``, unless another process does or has removed it."""
    with suppress(FileNotFoundError):
        descriptor = os.open(folder, os.O_RDONLY)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.exists():
                return descriptor
        os.close(descriptor)
    return None
