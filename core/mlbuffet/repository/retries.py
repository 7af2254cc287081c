"""Loads that failed, and are tried again after 1, 2, 4... seconds."""

from collections.abc import Callable
from threading import Timer

LONGEST_RETRY = 300.0
_DOUBLINGS = 9
"""After so many it is the longest; a power of two that is much larger is no float any more."""


def retry_delay(failures: int) -> float:
    """How many seconds after so many failures in a row the next attempt is due."""
    return min(2.0 ** min(failures - 1, _DOUBLINGS), LONGEST_RETRY)


class Retries:
    """Timers, which end with the process; used under a lock."""

    def __init__(self) -> None:
        self._timers: list[Timer] = []

    def after(self, seconds: float, retry: Callable[[], None]) -> None:
        """Call ``retry`` then, in a thread of its own."""
        timer = Timer(seconds, retry)
        timer.daemon = True
        timer.start()
        self._timers = [*filter(Timer.is_alive, self._timers), timer]

    def close(self) -> None:
        """Call nothing any more."""
        for timer in self._timers:
            timer.cancel()
