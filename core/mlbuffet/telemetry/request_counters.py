"""How many requests there were, how they ended, and how long they took."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from typing import TypeAlias

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""The upper bounds of the buckets that durations are counted in, in seconds."""

Subject: TypeAlias = tuple[str, str, int]
"""Protocol, model and version; without a model, and version 0, what led to none."""


class Tally:
    """The requests of one subject."""

    __slots__ = ("buckets", "seconds", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = defaultdict(int)
        self.buckets = [0] * (len(BOUNDS) + 1)
        """So many took no longer than each bound and longer than the one before; the last bucket has no bound."""
        self.seconds = 0.0
        """How long all of them took."""


class Traffic:
    """Counts on the event loop alone, and so without a lock.

    A subject is a version that was asked, never a name that a client made up.
    """

    def __init__(self) -> None:
        self._tallies: dict[Subject, Tally] = defaultdict(Tally)

    def count(self, subject: Subject, status: int, seconds: float) -> None:
        """Count one request."""
        tally = self._tallies[subject]
        tally.statuses[status] += 1
        tally.buckets[bisect_left(BOUNDS, seconds)] += 1
        tally.seconds += seconds

    def refuse(self, status: int) -> None:
        """Count a request whose head was refused, of which no more is known."""
        self.count(("other", "", 0), status, 0.0)

    def tallies(self) -> list[tuple[Subject, Tally]]:
        """All that was counted."""
        return list(self._tallies.items())

    def forget(self, is_gone: Callable[[Subject], bool]) -> None:
        """Drop what was counted of what is gone."""
        for subject in [one for one in self._tallies if is_gone(one)]:
            del self._tallies[subject]
