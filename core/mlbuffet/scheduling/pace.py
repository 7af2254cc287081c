"""Whether calls of one kind are quick enough for the event loop, by what recent ones took."""

from collections import deque

QUICK = 0.0005
"""Seconds that a call may typically take in a thread before its kind is tried on the event loop."""
SLOW = 0.001
"""Seconds that calls on the loop may take in the mean; between this and `QUICK` a kind stays where it is."""
TOO_LONG = 0.005
"""Seconds of one call on the loop after which its kind leaves it at once."""
ERRATIC = 0.025
"""Seconds of one call in a thread after which its kind has to prove itself anew; Python's lock delays none so long."""

_TRIALS = 8
_MOST_TRIALS = 2**16


class Pace:
    """The recent calls of one kind: of one signature, with inputs of about one size.

    The first run in threads. Where threads contend for Python's lock a quick call may seem slow but never the other way
    round, so that the quickest quarter counts. Each time that a call keeps the loop for too long, it takes four times
    as many good ones in threads until the next is trusted with the loop.
    """

    __slots__ = ("_good", "_mean", "_needed", "_recent", "quick")

    def __init__(self) -> None:
        self.quick = False
        """Whether the next call may run on the event loop."""
        self._recent: deque[float] = deque(maxlen=_TRIALS)
        self._needed = _TRIALS
        self._good = 0
        self._mean = 0.0

    def note_thread(self, seconds: float) -> None:
        """A call in a thread took so long."""
        self._recent.append(seconds)
        self._good = self._good + 1 if seconds < ERRATIC else 0
        if self._good >= self._needed and sorted(self._recent)[_TRIALS // 4] < QUICK:
            self.quick = True
            self._mean = QUICK

    def note_loop(self, seconds: float) -> None:
        """A call on the event loop took so long."""
        self._mean += (seconds - self._mean) / 8
        if seconds > TOO_LONG:
            self._needed = min(4 * self._needed, _MOST_TRIALS)
        if seconds > TOO_LONG or self._mean > SLOW:
            self.quick = False
            self._good = 0
            self._recent.clear()
