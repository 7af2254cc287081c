"""An event loop that stays awake for a moment after an answer, where the next request comes sooner than it would wake.

A client on the same machine that asks again at once finds the server asleep, and to wake a process takes as long as a
small request itself.
"""

import asyncio
from time import perf_counter

SOON = 0.0002
"""Seconds between an answer and the next request for which it pays to stay awake."""
LONGEST = 0.0001
"""Seconds for which the loop stays awake."""


class BusyPoll:
    """Polls for sockets without waiting, where requests follow each other soon; otherwise it does nothing at all.

    No more processor time is lost than `LONGEST` after the last of such requests; each poll lets go of Python's lock.
    """

    def __init__(self) -> None:
        self._answered = 0.0
        self._pays = False
        self._polls = False

    def note_request(self, now: float) -> None:
        """A request has come, by `time.perf_counter`."""
        self._pays = now - self._answered < SOON

    def note_answers(self) -> None:
        """All there was to answer is answered."""
        self._answered = perf_counter()
        if self._pays and not self._polls:
            self._polls = True
            self._poll()

    def _poll(self) -> None:
        """What is called soon keeps the loop from waiting for sockets."""
        self._polls = perf_counter() - self._answered < LONGEST
        if self._polls:
            asyncio.get_running_loop().call_soon(self._poll)
