"""A small disk, in memory, that can be filled; mounting it takes a mount namespace of one's own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FILLER = ".filler"


class Disk:
    """So many bytes at ``path``, which is made."""

    def __init__(self, path: Path, size: int) -> None:
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
        self.path = path

    def close(self) -> None:
        """It is gone with what is on it."""
        subprocess.run(["umount", "--lazy", self.path], check=True)

    @contextmanager
    def filled(self, *, leaving: int) -> Iterator[None]:
        """Leave so many bytes free."""
        filler = self.path / _FILLER
        try:
            with filler.open("wb") as file:
                found = os.statvfs(self.path)
                os.posix_fallocate(file.fileno(), 0, max(found.f_bavail * found.f_frsize - leaving, 1))
            yield
        finally:
            filler.unlink()
