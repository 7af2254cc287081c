"""What is left of servers that have ended."""

from collections.abc import Collection
from pathlib import Path

import psutil

from mlbuffet.repository.staging import FOLDER_NAME
from soak.served import Served, shared_memory, temporary_folders

_PATIENCE = 10.0


class LeftBehind:
    """By a server that was killed after the next has started, or by one that has ended as it should."""

    def __init__(self, folder: Path) -> None:
        self.found: list[str] = []
        self._folder = folder
        self._shared = shared_memory()

    def look(self, dead: Served, *, servers: int) -> None:
        """Note what is left of ``dead``, where so many ``servers`` run now."""
        _, alive = psutil.wait_procs(dead.seen.values(), timeout=_PATIENCE)
        self._note("processes", [f"{one.pid} ({one.name()})" for one in alive if one.is_running()])
        self._note("names in /dev/shm", [one for one in shared_memory() - self._shared if "mlbuffet" in one])
        self._note("temporary folders", sorted(map(str, temporary_folders(self._folder)))[servers:])
        if not servers:
            self._note("folders of staging", list((self._folder / "models").glob(f"{FOLDER_NAME}/*")))

    def _note(self, what: str, found: Collection[object]) -> None:
        if found:
            self.found.append(f"{what}: {', '.join(map(str, found))}")
