"""Equal work that is requested several times at once is done once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Work by key, on one event loop; it is cancelled when no caller waits for it any more, whoever began it."""

    def __init__(self) -> None:
        self._tasks: dict[bytes, asyncio.Task[T]] = {}
        self._waiting = Counter["asyncio.Task[T]"]()

    def __contains__(self, key: bytes) -> bool:
        return key in self._tasks

    async def run(self, key: bytes, work: Callable[[], Awaitable[T]]) -> T:
        """The result or error of the work under way for ``key``, else of ``work``.

        ``work`` has begun when this returns or is cancelled.
        """
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.ensure_future(self._work(key, work))
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                if not task.done():
                    del self._tasks[key]
                    task.cancel()

    async def _work(self, key: bytes, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        finally:
            if self._tasks.get(key) is asyncio.current_task():  # a cancelled task may have a successor
                del self._tasks[key]
