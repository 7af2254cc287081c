"""A prediction off the event loop, within its deadline, on a model that is not unloaded meanwhile."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException

from mlbuffet.model import Model
from mlbuffet.repository import ModelVersion

T = TypeVar("T")


async def run_with_model(version: ModelVersion, work: Callable[[Model], T], timeout: float | None) -> T:
    """What ``work`` returns for the model of ``version``, in a thread.

    Raises `ModelNotReady`, what ``work`` raises, or after ``timeout`` seconds `HTTPException` 504. A call that still
    runs then cannot be stopped, and keeps the model from being unloaded until it ends.
    """

    def leased() -> T:
        with version.in_use() as model:
            return work(model)

    try:
        async with asyncio.timeout(timeout):
            return await run_sync(leased, abandon_on_cancel=True)
    except TimeoutError:
        raise HTTPException(504, f"the model did not answer within {timeout:g} seconds") from None
