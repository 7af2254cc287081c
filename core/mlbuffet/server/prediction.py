"""From a call to its outputs, within its deadline, on a model that is not unloaded meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from mlbuffet.caching import Question
from mlbuffet.errors import ModelNotReady
from mlbuffet.repository import Handle, ModelRepository, ModelVersion
from mlbuffet.scheduling import Call, Prediction
from mlbuffet.server.coding import code
from mlbuffet.server.eager import Pending, begin
from mlbuffet.server.exchange import concerns
from mlbuffet.server.gone import Watch
from mlbuffet.tensors import rough_size

T = TypeVar("T")


async def acquire(
    repository: ModelRepository, find: Callable[[], ModelVersion], found: ModelVersion | None = None
) -> Handle:
    """A handle of the version that ``find`` finds, once it is loaded where that is done on demand.

    ``found`` is what it found a moment ago, and is taken where it still answers. Raises what ``find`` raises, and
    `ModelNotReady`.
    """
    if found is not None:
        with suppress(ModelNotReady):
            return found.use()
    while True:
        version = concerns(find())
        try:
            return version.use()
        except ModelNotReady:
            loading = repository.demand(version)
            if loading is None:
                raise
        await asyncio.shield(asyncio.wrap_future(loading))  # others wait for it too


async def within(seconds: float | None, work: Awaitable[T]) -> T:
    """The result of ``work``. Raises `HTTPException` 504 where it waits for longer than ``seconds``.

    A call that still runs then cannot be stopped, and keeps the model from being unloaded until it ends.
    """
    first = begin(work)
    if not isinstance(first, Pending):
        return first
    try:
        async with asyncio.timeout(seconds):
            return await first
    except TimeoutError:
        raise HTTPException(504, f"the model did not answer within {seconds:g} seconds") from None


async def predict(handle: Handle, call: Call, receive: Receive) -> Prediction:
    """What the model of ``handle`` answers to ``call``.

    Raises what `mlbuffet.Model.predict` raises, `Overloaded`, and `ClientDisconnect` once ``receive``, from which the
    request was read, says that nobody waits for the answer.
    """
    if handle.version.configuration.cache is not None:
        return await _kept_or_computed(handle, call, receive)
    at_once = handle.scheduler.run_now(call)
    if at_once is not None:
        return at_once
    return await _unless_gone(handle.scheduler.submit(call, handle.again), receive)


def check_room(version: ModelVersion) -> None:
    """Raises `Overloaded` where a call could not even wait; one whose answer may be kept already is let through."""
    scheduler = version.scheduler
    if scheduler is not None and version.configuration.cache is None:
        scheduler.check_room()


async def _kept_or_computed(handle: Handle, call: Call, receive: Receive) -> Prediction:
    cache, question = handle.version.cache, _question(handle, call)
    await code(rough_size(question.inputs), lambda: question.key)
    kept = cache.kept(question)
    if kept is not None:
        return kept

    async def compute(own: Handle) -> Prediction:
        return own.scheduler.run_now(call) or await own.scheduler.submit(call, own.again)

    return await _unless_gone(asyncio.ensure_future(cache.answer(question, handle.again, compute)), receive)


def _question(handle: Handle, call: Call) -> Question:
    """``call`` as the cache knows it; raises `InvalidInput` as the model would."""
    model, version = handle.model, handle.version
    name = model.signatures.resolve(call.signature)
    declared = model.signatures[name].variant_for(call.inputs)
    wanted = declared.check_outputs(call.outputs)
    return Question(
        model=version.name,
        content=version.content,
        signature=name,
        outputs={output: declared.outputs[output] for output in wanted},
        inputs=declared.check_inputs(call.inputs, any_shape=call.any_shape and model.runtime.takes_any_shape),
        seconds=version.configuration.cache.seconds if version.configuration.cache else 0.0,
    )


async def _unless_gone(answer: asyncio.Future[Prediction], receive: Receive) -> Prediction:
    watch = Watch(answer, receive)
    try:
        return await answer
    except asyncio.CancelledError:
        if watch.is_gone:
            raise ClientDisconnect from None
        raise
    finally:
        watch.end()
