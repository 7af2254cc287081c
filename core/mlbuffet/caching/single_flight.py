"""Equal work under way at once is done once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Flight(Generic[T]):
    """Work under way, and how many wait for it."""

    def __init__(self, task: "asyncio.Task[T]") -> None:
        self.task = task
        self.waiting = 0


class SingleFlight(Generic[T]):
    """Work by key, on one event loop. Whoever began it may go away; it is given up when nobody waits any more."""

    def __init__(self) -> None:
        self._flights: dict[bytes, _Flight[T]] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._flights

    async def run(self, key: bytes, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work`` returns or raises, or what the work under way for ``key`` does.

        Where it is called, its first step is made before this can return, or be given up.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(self._work(key, work)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                del self._flights[key]
                flight.task.cancel()

    async def _work(self, key: bytes, work: Callable[[], Awaitable[T]]) -> T:
        task = asyncio.current_task()
        try:
            return await work()
        finally:
            flight = self._flights.get(key)
            if flight is not None and flight.task is task:  # one that was given up may have a successor
                del self._flights[key]
