"""Where a worker leaves what it has counted: its seat in a folder that the workers of a server share."""

import os
import socket
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
        self._part.write_bytes(text)
        self._part.replace(self._file)

    def leave(self) -> None:
        """Take away what nobody will look for: where the supervisor has been killed, the folder too."""
        self._clear(keep_counts=os.getppid() == self.supervisor)
        if os.getppid() != self.supervisor:
            for seat in self.others:
                if not seat.is_taken:
                    seat._clear(keep_counts=False)
            with suppress(OSError):  # the last one removes it
                self.folder.rmdir()

    @property
    def is_taken(self) -> bool:
        """Whether a worker listens at its socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(0)
            try:
                connection.connect(str(self.socket))
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except OSError:  # it is too busy to say
                return True
        return True

    def _clear(self, *, keep_counts: bool) -> None:
        self.socket.unlink(missing_ok=True)
        for file in (self._part,) if keep_counts else (self._part, self._file):
            file.unlink(missing_ok=True)

    @property
    def _part(self) -> Path:
        return self.folder / f"{self.number}.part"

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.number}.counts"
