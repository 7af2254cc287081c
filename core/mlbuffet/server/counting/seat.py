"""Where a worker leaves what it has counted: its seat in a folder that the workers of a server share."""

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """One of ``count`` seats, which workers have one after the other: a file that outlives them, and a socket."""

    folder: Path
    """Where nobody but the user of the server can read, write or connect."""
    number: int
    count: int
    supervisor: int
    """The process that made the folder, and removes it."""

    @property
    def socket(self) -> Path:
        """Where the worker that has the seat is asked for what it has counted by now."""
        return self.folder / f"{self.number}.socket"

    @property
    def others(self) -> "list[Seat]":
        """Those beside it."""
        return [replace(self, number=number) for number in range(self.count) if number != self.number]

    def read(self) -> bytes:
        """What was written last, whole, by whoever had the seat. Raises ``OSError``."""
        return self._file.read_bytes()

    def write(self, text: bytes) -> None:
        """Replace what was written. Raises ``OSError``."""
        part = self._file.with_suffix(".part")
        part.write_bytes(text)
        part.replace(self._file)

    def leave(self) -> None:
        """Take away what nobody will look for: where the supervisor has been killed, the folder too."""
        self.socket.unlink(missing_ok=True)
        if os.getppid() != self.supervisor:
            self._file.unlink(missing_ok=True)
            with suppress(OSError):  # the last one removes it
                self.folder.rmdir()

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.number}.counts"
