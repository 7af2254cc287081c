"""Whether calls of one kind are quick enough for the event loop, by what recent ones took."""

from collections import deque

QUICK = 0.0005
"""Seconds that a call may typically take in a thread before its kind is tried on the event loop."""
SLOW = 0.001
"""Seconds that calls on the loop may take in the mean; between this and `QUICK` a kind stays where it is."""
TOO_LONG = 0.005
"""A call on the loop that takes longer counts as so many seconds: two in a row move calls of its kind to threads.

A single one is more likely due to the machine, which was busy, than to the model.
"""
ERRATIC = 0.025
"""A longer call on the loop, in seconds, moves calls of its kind to threads; in a thread it halves the quick ones.

Neither Python's lock nor a machine that is merely busy often delays one so long.
"""

_TRIALS = 8
_MOST_TRIALS = 2**16
_FORGIVEN_AFTER = 1024


class LatencyEstimate:
    """The recent calls of one kind: of one signature, with inputs of about one size.

    The first run in threads. Where threads contend for Python's lock a quick call may seem slow but never the other way
    round, so that the quickest quarter counts. Each time that its kind leaves the loop, it takes four times as many
    good ones in threads until the next is trusted with it; a thousand good ones on the loop undo that.
    """

    __slots__ = ("_good", "_needed", "_recent", "mean", "quick")

    def __init__(self) -> None:
        self.quick = False
        """Whether the next call may run on the event loop."""
        self.mean = 0.0
        """Seconds of a recent call on the loop."""
        self._recent: deque[float] = deque(maxlen=_TRIALS)
        self._needed = _TRIALS
        self._good = 0

    def note_thread(self, seconds: float) -> None:
        """A call in a thread took so long."""
        self._recent.append(seconds)
        self._good = self._good + 1 if seconds < ERRATIC else self._good // 2
        typical = sorted(self._recent)[len(self._recent) // 4]
        if self._good >= self._needed and typical < QUICK:
            self.quick = True
            self._good = 0
            self.mean = typical

    def note_loop(self, seconds: float) -> None:
        """A call on the event loop took so long."""
        self.mean += (min(seconds, TOO_LONG) - self.mean) / 8
        self._good += 1
        if self._good == _FORGIVEN_AFTER:
            self._needed = max(self._needed // 4, _TRIALS)
            self._good = 0
        if seconds > ERRATIC or self.mean > SLOW:
            self._needed = min(4 * self._needed, _MOST_TRIALS)
            self.quick = False
            self._good = 0
            self._recent.clear()
