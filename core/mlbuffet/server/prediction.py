"""From a call to its outputs, within its deadline, on a model that is not unloaded meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyio.to_thread import run_sync
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from mlbuffet.errors import ModelNotReady
from mlbuffet.repository import Handle, ModelRepository, ModelVersion
from mlbuffet.scheduling import Call


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


@asynccontextmanager
async def deadline(seconds: float | None) -> AsyncIterator[None]:
    """Raises `HTTPException` 504 after so many seconds in its block.

    A call that still runs then cannot be stopped, and keeps the model from being unloaded until it ends.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise HTTPException(504, f"the model did not answer within {seconds:g} seconds") from None


async def predict(handle: Handle, call: Call) -> dict[str, NDArray[Any]]:
    """The outputs that ``call`` wants of the model of ``handle``; raises what `mlbuffet.Model.predict` raises."""

    def leased() -> dict[str, NDArray[Any]]:
        with handle.again() as own:
            return own.model.predict(
                call.inputs, signature=call.signature, outputs=call.outputs, any_shape=call.any_shape
            )

    return await run_sync(leased, abandon_on_cancel=True)
