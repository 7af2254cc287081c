"""Where bodies are decoded and encoded: on the event loop where that is quick, else in a thread."""

from collections.abc import Callable
from typing import TypeVar

from anyio.to_thread import run_sync

T = TypeVar("T")

LARGE = 64 * 1024
"""Bytes from which a thread is used, for the way there and back takes 0.08 ms.

To read the numbers in so much JSON takes 0.3 ms; the slowest JSON of that size holds up the loop for 7 ms.
"""


async def offload(size: int, work: Callable[[], T]) -> T:
    """The result of ``work``, which reads or writes about ``size`` bytes."""
    if size < LARGE:
        return work()
    return await run_sync(work, abandon_on_cancel=True)
