"""How often versions were loaded, and how that ended."""

from collections import defaultdict
from collections.abc import Callable
from threading import Lock

from mlbuffet.repository import ModelVersion, State


class Loads:
    """Counts what it is told by the threads that load models."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int, State], int] = defaultdict(int)
        self._lock = Lock()

    def note(self, version: ModelVersion) -> None:
        """Hear of a version whose state has changed."""
        if version.state in (State.READY, State.FAILED):
            with self._lock:
                self._counts[version.name, version.version, version.state] += 1

    def counts(self) -> list[tuple[tuple[str, int, State], int]]:
        """By name, version and how the loads ended, how many there were."""
        with self._lock:
            return list(self._counts.items())

    def forget(self, is_gone: Callable[[str, int], bool]) -> None:
        """Drop what was counted of versions that are gone."""
        with self._lock:
            for key in [one for one in self._counts if is_gone(*one[:2])]:
                del self._counts[key]
