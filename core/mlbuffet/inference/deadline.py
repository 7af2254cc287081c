"""Deadlines, and how they are enforced."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from mlbuffet.errors import DeadlineExceeded

T = TypeVar("T")


class Deadline(msgspec.Struct, frozen=True, gc=False):
    """Until when a call may take, and how long that was when it began."""

    at: float
    """In seconds, by `time.monotonic`."""
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The deadline of a call that begins now."""
        return cls(time.monotonic() + seconds, seconds)


async def within(deadline: Deadline | None, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``. Cancels ``work`` at the deadline, and raises `DeadlineExceeded`.

    A call that runs already cannot be stopped, and keeps the model from being unloaded until it ends.
    """
    if deadline is None:
        return await work
    left = deadline.at - time.monotonic()
    try:
        if left > 0:
            async with asyncio.timeout(left):
                return await work
        work.close()
    except TimeoutError:
        pass
    raise DeadlineExceeded(deadline.seconds)
