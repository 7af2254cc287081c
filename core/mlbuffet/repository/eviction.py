"""Which models are in memory, and which are evicted for another."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from mlbuffet.repository.version_lifecycle import ModelVersion, State

_EVICTABLE_AFTER = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Residency:
    """Which models are in memory; with a limit, the least recently used are evicted until they are used again."""

    lazy: bool = False
    """Whether a model is loaded when it is first used."""
    max_loaded: int | None = None
    """How many versions are loaded at most; more while all of them are in use."""
    max_memory: int | None = None
    """How many bytes all loaded versions take at most, as their runtimes say, or as their files have; likewise."""

    @property
    def on_demand(self) -> bool:
        """Whether a version that is not loaded is loaded for the first request."""
        return self.lazy or self.max_loaded is not None or self.max_memory is not None


def to_evict(residency: Residency, version: ModelVersion, versions: Iterable[ModelVersion]) -> list[ModelVersion]:
    """The least recently used of ``versions`` that no call uses, so far as ``version`` needs their room."""
    count, memory = residency.max_loaded, residency.max_memory
    loaded = [one for one in versions if one.state in (State.READY, State.LOADING) and one is not version]
    evicted: list[ModelVersion] = []
    for one in sorted(loaded, key=lambda one: one.last_used):
        fits = count is None or len(loaded) < count
        if fits and (memory is None or sum(other.size for other in loaded) + version.size <= memory):
            break
        # the requests for which it was loaded have had time to use it
        is_due = one.last_used >= one.loaded_at or time.monotonic() - one.loaded_at > _EVICTABLE_AFTER
        if one.state is State.READY and not one.users and is_due:
            loaded.remove(one)
            evicted.append(one)
    return evicted
