"""A prediction off the event loop, within its deadline, on a model that is not unloaded meanwhile."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException

from mlbuffet.errors import ModelNotReady
from mlbuffet.model import Model
from mlbuffet.repository import Handle, ModelRepository, ModelVersion

T = TypeVar("T")


async def acquire(repository: ModelRepository, find: Callable[[], ModelVersion]) -> Handle:
    """A handle of the version that ``find`` finds, once it is loaded where that is done on demand.

    Raises what ``find`` raises, and `ModelNotReady`.
    """
    while True:
        version = find()
        try:
            return version.use()
        except ModelNotReady:
            loading = repository.demand(version)
            if loading is None:
                raise
        await asyncio.shield(asyncio.wrap_future(loading))  # others wait for it too


async def run_with_model(handle: Handle, work: Callable[[Model], T], timeout: float | None) -> T:
    """What ``work`` returns for the model of ``handle``, in a thread.

    Raises what ``work`` raises, or after ``timeout`` seconds `HTTPException` 504. A call that still runs then cannot be
    stopped, and keeps the model from being unloaded until it ends.
    """

    def leased() -> T:
        with handle.again() as own:
            return work(own.model)

    try:
        async with asyncio.timeout(timeout):
            return await run_sync(leased, abandon_on_cancel=True)
    except TimeoutError:
        raise HTTPException(504, f"the model did not answer within {timeout:g} seconds") from None
