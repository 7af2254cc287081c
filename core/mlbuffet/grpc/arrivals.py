"""The wait for the message of a call, which has an end."""

import asyncio
import time

import grpc


class Arrivals:
    """Waits for messages at least ``seconds``, and at most half as long again.

    All calls share one timer: one for each would take longer than all else that is done to receive a message.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._is_timed = False

    async def message(self, context: grpc.aio.ServicerContext) -> bytes:
        """The message, or ``grpc.aio.EOF``. Raises ``TimeoutError``."""
        task = asyncio.current_task()
        assert task is not None
        self._since[task] = time.monotonic()
        if not self._is_timed:
            self._time()
        try:
            message: bytes = await context.read()
            return message
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            raise TimeoutError from None
        finally:
            del self._since[task]
            self._late.discard(task)

    def _time(self) -> None:
        self._is_timed = True
        asyncio.get_running_loop().call_later(self._seconds / 2, self._end_what_is_late)

    def _end_what_is_late(self) -> None:
        begun_before = time.monotonic() - self._seconds
        self._is_timed = False
        if self._since:
            self._time()
        for task, since in self._since.items():
            if since <= begun_before and task not in self._late:
                self._late.add(task)
                task.cancel()
