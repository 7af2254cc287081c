"""Where bodies are decoded and encoded: on the event loop where that is quick, else in a thread."""

from collections.abc import Callable
from typing import TypeVar

from anyio.to_thread import run_sync

T = TypeVar("T")

LARGE = 64 * 1024
"""Bytes for which the way to a thread and back (0.08 ms) is worth its price.

To read the numbers in so much JSON takes 0.3 ms; the worst that such a body can hold keeps the loop for 7 ms.
"""


async def code(size: int, work: Callable[[], T]) -> T:
    """What ``work`` returns, which is to read or write about ``size`` bytes."""
    if size < LARGE:
        return work()
    return await run_sync(work, abandon_on_cancel=True)
