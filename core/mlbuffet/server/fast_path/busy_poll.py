"""An event loop that stays awake for a moment after a response, where requests follow each other quickly.

A client on the same machine that sends its next request immediately would find the server asleep, and to wake a process
takes as long as a small request.
"""

import asyncio
from time import perf_counter

SOON = 0.0002
"""Seconds between a response and the next request for which the loop stays awake."""
LONGEST = 0.0001
"""Seconds for which the loop stays awake."""


class BusyPoll:
    """Polls for sockets without waiting, where requests follow each other within `SOON`; otherwise it does nothing.

    It costs processor time of at most `LONGEST` after the last of such requests; each poll releases the GIL.
    """

    def __init__(self) -> None:
        self._answered = 0.0
        self._is_worth_it = False
        self._polls = False

    def note_request(self, now: float) -> None:
        """A request has arrived at ``now``, by `time.perf_counter`."""
        self._is_worth_it = now - self._answered < SOON

    def note_answers(self) -> None:
        """Every request of this turn of the event loop has its response."""
        self._answered = perf_counter()
        if self._is_worth_it and not self._polls:
            self._polls = True
            self._poll()

    def _poll(self) -> None:
        """A callback that is due keeps the loop from waiting for sockets."""
        self._polls = perf_counter() - self._answered < LONGEST
        if self._polls:
            asyncio.get_running_loop().call_soon(self._poll)
