"""Responses to several clients, written together."""

import asyncio
from collections.abc import Callable
from time import perf_counter

LONGEST_WAIT = 0.0005
"""Seconds for which a response waits for others."""


class WriteBatch:
    """Collects the responses of one turn of the event loop.

    Each write wakes its reader, which takes longer than the write where that sleeps. Under load the readers are few
    processes: those that get several responses in a row are awake from the second on. After a turn with one response,
    the next is written immediately.
    """

    def __init__(self, on_end_of_turn: Callable[[], None] = lambda: None) -> None:
        self._on_end_of_turn = on_end_of_turn
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._number = 0
        """Of responses in this turn."""
        self._crowded = False
        """Whether there were several in the last turn."""
        self._begun = 0.0

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write ``data``, before this turn ends."""
        if not self._number:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._number += 1
        if self._number == 1 and not self._crowded:
            transport.write(data)
            return
        if not self._waiting:
            self._begun = perf_counter()
        self._waiting.append((transport, data))
        if perf_counter() - self._begun > LONGEST_WAIT:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)

    def _end_turn(self) -> None:
        self._crowded = self._number > 1
        self._number = 0
        self.flush()
        self._on_end_of_turn()
