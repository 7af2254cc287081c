"""How deadlines are enforced."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from mlbuffet.errors import DeadlineExceeded
from mlbuffet.scheduling import Deadline

T = TypeVar("T")


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
