"""A hidden place in a folder of models, where a server prepares what it adds and puts what it removes."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from threading import Lock

from mlbuffet.repository.disk import discard

HALL = ".mlbuffet"


class Staging:
    """A folder in the same file system, so that what it holds comes and goes by renaming.

    Each process has one of its own, and holds a lock on it as long as it lives: what a process that died left behind
    is swept by the next.
    """

    def __init__(self, root: Path) -> None:
        self._hall = root / HALL
        self._folder: Path | None = None
        self._descriptor = -1
        self._lock = Lock()
        self._sweep()

    def new(self) -> Path:
        """A path in the staging at which there is nothing yet."""
        with self._lock:
            while self._folder is None:
                self._open()
            return self._folder / token_hex(8)

    def close(self) -> None:
        """Remove the staging with all that is in it."""
        with self._lock:
            if self._folder is not None:
                discard(self._folder)
                os.close(self._descriptor)
                self._folder = None
        with suppress(OSError):  # another process works there
            self._hall.rmdir()

    def _open(self) -> None:
        self._hall.mkdir(exist_ok=True)
        folder = self._hall / token_hex(8)
        with suppress(FileNotFoundError):  # another process swept the hall meanwhile
            folder.mkdir()
            if (descriptor := locked(folder)) is None:
                return
            if not folder.exists():
                os.close(descriptor)
                return
            self._folder, self._descriptor = folder, descriptor

    def _sweep(self) -> None:
        if not self._hall.is_dir():
            return
        for folder in self._hall.iterdir():
            with suppress(OSError):  # another process sweeps too, or it is not ours to sweep
                if (descriptor := locked(folder)) is not None:
                    discard(folder)
                    os.close(descriptor)
        with suppress(OSError):
            self._hall.rmdir()


def locked(folder: Path) -> int | None:
    """A descriptor that holds the lock on ``folder``, unless another process does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
